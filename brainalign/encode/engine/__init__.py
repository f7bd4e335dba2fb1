"""The arithmetic under the ridge estimators: where it runs, in which precision, and in how few products."""
