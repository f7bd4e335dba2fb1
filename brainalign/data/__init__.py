"""Data sets: one module per publication, each with a `Config` and `load` or, of dissimilarities, `load_rdms`.

Recordings of objects that are in memory are made by `from_raw`, `from_epochs`, `from_image`, `from_surface`,
`from_frame` and `from_array`; `side_by_side` joins people. `mne_sample` reads averages, which are no recordings.
"""

import importlib

from brainalign.registry import registry_of_folder

DATASETS = registry_of_folder("data set", __name__, __path__)

OBJECTS = (
    "Cleaning", "from_array", "from_epochs", "from_frame", "from_image", "from_raw", "from_surface", "side_by_side",
)  # fmt: skip
AVERAGES = ("mne_sample",)


def __getattr__(name):
    """Import what makes recordings of objects, and readers of averages, when first used: they need mne and nilearn."""
    if name in AVERAGES:
        return importlib.import_module(f"brainalign.data._{name}")
    if name not in OBJECTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("brainalign.data._objects"), name)
