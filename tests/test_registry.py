import pytest

from brainalign.errors import UnknownName
from brainalign.registry import Registry, registry_of, registry_of_folder


def test_listing_names_imports_nothing():
    def refuse():
        raise AssertionError("imported")

    registry = Registry("thing", {"a": refuse})
    assert list(registry) == ["a"]
    assert "a" in registry
    assert len(registry) == 1


def test_an_unknown_name_helps():
    with pytest.raises(UnknownName, match="did you mean 'ridge'"):
        registry_of("estimator", {"ridge": 1})["rigde"]


def test_a_folder_lists_its_public_modules():
    import brainalign.jobs.executors as folder

    registry = registry_of_folder("executor", folder.__name__, folder.__path__)
    assert set(registry) == {"serial"}
    assert callable(registry["serial"].map_cells)
