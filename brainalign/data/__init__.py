"""Data sets: one module per publication, each with a `Config` and `load` or, of dissimilarities, `load_rdms`.

Recordings of objects that are in memory are made by `from_raw`, `from_epochs`, `from_image`, `from_surface`,
`from_frame` and `from_array`; `side_by_side` joins people.
"""

import importlib

from brainalign.registry import registry_of_folder

DATASETS = registry_of_folder("data set", __name__, __path__)

OBJECTS = (
    "Cleaning", "from_array", "from_epochs", "from_frame", "from_image", "from_raw", "from_surface", "side_by_side",
)  # fmt: skip


def __getattr__(name):
    """Import what makes recordings of objects when it is first used: it needs mne and nilearn."""
    if name not in OBJECTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("brainalign.data._objects"), name)
