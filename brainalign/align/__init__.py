"""Activations onto the recording's clock: samples (TR), events and delays."""
