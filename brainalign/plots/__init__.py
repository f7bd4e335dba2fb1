"""One figure per function: tables in, Figure out; computes no statistic."""
