import json

import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Activations, Recording, Responses, read_tsv, write_tsv
from brainalign.errors import Misaligned, MissingData

HOSTILE = [
    "null",
    "None",
    "NA",
    "nan",
    "n/a",
    "true",
    "1e5",
    '"',
    '"half',
    "=cmd",
    "naïve",
    "e\u0301",
    "🙂",
    " spaced",
    "",
]


def activations(values=None, words=HOSTILE):
    n = len(words)
    values = np.arange(2.0 * n, dtype=np.float32).reshape(n, 2) if values is None else values
    rows = pd.DataFrame({"run": "01", "onset": np.arange(n) / 3, "duration": 0.1, "word": words})
    return Activations(values, rows, pd.DataFrame({"layer": ["03", "03"], "unit": ["0", "1"]}), {"seed": 1})


def test_what_is_saved_is_read_back(tmp_path):
    saved = activations()
    saved.save(tmp_path)
    read = Activations.load(tmp_path)
    assert np.array_equal(read.values, saved.values)
    assert read.values.dtype == np.float32
    assert isinstance(read.values, np.memmap)
    assert read.rows["word"].tolist() == HOSTILE
    assert read.rows["run"].tolist() == ["01"] * len(HOSTILE)
    assert np.array_equal(read.rows["onset"], saved.rows["onset"])
    assert read.columns["layer"].tolist() == ["03", "03"]
    assert read.provenance == {"seed": 1}


@pytest.mark.parametrize("name", ["values.npy", "rows.tsv", "columns.tsv"])
def test_a_changed_file_is_refused(tmp_path, name):
    activations().save(tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[-2] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MissingData, match=f"{name}: changed since it was saved"):
        Activations.load(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    activations().save(tmp_path)
    (tmp_path / "rows.tsv").unlink()
    with pytest.raises(MissingData, match=r"rows\.tsv: missing"):
        Activations.load(tmp_path)
    with pytest.raises(MissingData, match="not a saved Activations"):
        Activations.load(tmp_path / "elsewhere")


def test_another_type_is_refused(tmp_path):
    activations().save(tmp_path)
    with pytest.raises(Misaligned, match="holds Activations, not Responses"):
        Responses.load(tmp_path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_never_written(tmp_path, bad):
    values = np.zeros((3, 2), np.float32)
    values[1, 0] = bad
    with pytest.raises(Misaligned, match=r"'word': 'b'.*'layer': '03'"):
        activations(values, ["a", "b", "c"]).save(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_no_pickle_is_ever_read(tmp_path):
    activations().save(tmp_path)
    np.save(tmp_path / "values.npy", np.array([{"a": 1}], object), allow_pickle=True)
    sidecar = json.loads((tmp_path / "provenance.json").read_text())
    from brainalign.files import sha256_of

    sidecar["sha256"]["values.npy"] = sha256_of(tmp_path / "values.npy")
    (tmp_path / "provenance.json").write_text(json.dumps(sidecar))
    with pytest.raises(ValueError, match=r"allow_pickle|pickled|Python objects"):
        Activations.load(tmp_path)


def test_tables_must_fit_the_matrix():
    rows = pd.DataFrame({"run": ["1"], "onset": [0.0], "duration": [0.1]})
    columns = pd.DataFrame({"layer": ["0"], "unit": ["0"]})
    with pytest.raises(Misaligned, match="values have 2 rows, the table of rows has 1"):
        Activations(np.zeros((2, 1)), rows, columns)
    with pytest.raises(Misaligned, match=r"table of columns lacks \['unit'\]"):
        Activations(np.zeros((1, 1)), rows, columns[["layer"]])
    with pytest.raises(Misaligned, match="2-D"):
        Activations(np.zeros(1), rows, columns)


def test_taking_columns_takes_their_labels():
    taken = activations().take_columns(np.array([False, True]))
    assert taken.columns["unit"].tolist() == ["1"]
    assert taken.values[0, 0] == 1
    rows = activations().take_rows(np.array([2, 0]))
    assert rows.rows["word"].tolist() == ["NA", "null"]
    assert rows.values[0, 0] == 4


def test_to_frame_keeps_the_labels():
    frame = activations().to_frame()
    assert frame.index.names == ["run", "onset", "duration", "word"]
    assert frame.shape == (len(HOSTILE), 2)


def test_a_cell_with_a_tab_is_refused(tmp_path):
    with pytest.raises(Misaligned, match="row 1 holds a tab"):
        write_tsv(pd.DataFrame({"word": ["a", "b\tc"]}), tmp_path / "x.tsv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no header"),
        (b"run\tonset\n1\n", "line 2: 1 cells, the header has 2"),
        (b"word\ncaf\xe9\n", "not UTF-8"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, content, message):
    (tmp_path / "x.tsv").write_bytes(content)
    with pytest.raises(MissingData, match=message):
        read_tsv(tmp_path / "x.tsv")


@pytest.mark.parametrize("content", ["word\tonset\nnull\t1.5\n", "\ufeffword\tonset\r\nnull\t1.5\r\n"])
def test_byte_order_marks_and_crlf_are_read(tmp_path, content):
    (tmp_path / "x.tsv").write_text(content, encoding="utf-8", newline="")
    table = read_tsv(tmp_path / "x.tsv")
    assert table["word"].tolist() == ["null"]
    assert table["onset"].tolist() == [1.5]


def test_events_need_a_recorded_run():
    responses = Responses(
        np.zeros((1, 1)),
        pd.DataFrame({"run": ["1"], "time": [0.0], "duration": [2.0]}),
        pd.DataFrame({"subject": ["s"], "target": ["t"]}),
    )
    with pytest.raises(Misaligned, match=r"events of run \['2'\]"):
        Recording(pd.DataFrame({"run": ["2"], "onset": [0.0], "duration": [0.1]}), responses)


def test_to_xarray_keeps_the_labels():
    array = activations().to_xarray()
    assert array.dims == ("row", "column")
    assert array.coords["word"].values.tolist() == HOSTILE
    assert array.coords["layer"].values.tolist() == ["03", "03"]
    assert np.array_equal(array.values, activations().values)
