import numpy as np
import pytest

from brainalign.pipeline.cell_files import read_arrays, write_arrays


def test_arrays_are_read_as_written_and_subfolders_left_alone(tmp_path):
    written = {"b": np.arange(3, dtype=np.float32), "a": np.array([[True], [False]])}
    write_arrays(tmp_path, written)
    (tmp_path / "functions").mkdir()
    write_arrays(tmp_path / "functions", {"weights": np.ones(2)})
    found = read_arrays(tmp_path)
    assert list(found) == ["a", "b"]
    for name, values in written.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def test_pickles_are_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="pickle"):
        write_arrays(tmp_path, {"objects": np.array([{}], dtype=object)})
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):
        read_arrays(tmp_path)
