"""Brains (and, later, networks) whose right answer is known."""
