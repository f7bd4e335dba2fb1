"""Features and responses to held-out scores: splits, ridge regression, metrics and noise ceilings, on bare arrays."""

import importlib

from brainalign.registry import Registry

ESTIMATORS = Registry(
    "encoding model",
    {
        "ridge": lambda: importlib.import_module("brainalign.encode.ridge").RidgeCV,
        "banded": lambda: importlib.import_module("brainalign.encode.banded").BandedRidgeCV,
    },
)
