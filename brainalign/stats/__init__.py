"""Nulls, many comparisons and intervals for measures taken over people."""
