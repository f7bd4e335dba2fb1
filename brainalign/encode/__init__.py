"""Features and responses to held-out scores: splits, ridge regression, metrics and noise ceilings, on bare arrays."""
