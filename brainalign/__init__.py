"""Encoding models that compare what happens in brains with what happens in neural networks."""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "Activations": "brainalign.arrays",
    "Recording": "brainalign.arrays",
    "Responses": "brainalign.arrays",
    "DATASETS": "brainalign.data",
    "EXTRACTORS": "brainalign.extract",
    "METRICS": "brainalign.encode.metrics",
    "BandedRidgeCV": "brainalign.encode.banded",
    "Ridge": "brainalign.encode.ridge",
    "RidgeCV": "brainalign.encode.ridge",
    "StackingCV": "brainalign.encode.stacking",
    "cross_validate": "brainalign.encode.score",
    "delay": "brainalign.align.delays",
    "evoked_functions": "brainalign.export",
    "evoked_scores": "brainalign.export",
    "from_array": "brainalign.data",
    "from_epochs": "brainalign.data",
    "from_frame": "brainalign.data",
    "from_image": "brainalign.data",
    "from_raw": "brainalign.data",
    "from_surface": "brainalign.data",
    "partition_variance": "brainalign.encode.partition",
    "plan_ridge": "brainalign.encode.engine.plan",
    "read_experiment": "brainalign.config",
    "score_image": "brainalign.export",
    "score_surface": "brainalign.export",
    "scores_frame": "brainalign.export",
    "to_samples": "brainalign.align.samples",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name):
    """Import a public name when it is first used, so that `import brainalign` costs nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'brainalign' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
