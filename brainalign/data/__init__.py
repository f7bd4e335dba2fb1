"""Data sets: one module per publication, each with a `Config` and `load` or, of dissimilarities, `load_rdms`."""

from brainalign.registry import registry_of_folder

DATASETS = registry_of_folder("data set", __name__, __path__)
