"""Ways to compare a model with a brain that fit no weights: dissimilarities of patterns, and kernel alignment."""
