"""The events of one BIDS run."""

import pytest

from brainalign.data._bids_events import read_run_events
from brainalign.errors import Misaligned, MissingData


def read(tmp_path, text, *, rename=None, keep=None):
    path = tmp_path / "events.tsv"
    path.write_text(text)
    return read_run_events(path, run="r", rename=rename or {}, keep=keep or {}, stimuli=tmp_path / "stimuli")


TEXT = "onset\tduration\ttrial_type\tvalue\n0.5\t0.2\tword\tnull\n0.5\t1\tpress\tn/a\n\n2\t0.3\tword\t1e5\n"


def test_rows_are_kept_and_columns_renamed_as_text(tmp_path):
    events = read(tmp_path, TEXT, rename={"word": "value"}, keep={"trial_type": ("word",)})
    assert events["word"].tolist() == ["null", "1e5"]
    assert events["run"].tolist() == ["r", "r"]
    assert events["onset"].tolist() == [0.5, 2.0]
    assert list(events) == ["run", "onset", "duration", "trial_type", "word"]


def test_what_is_not_kept_may_be_anything(tmp_path):
    text = "onset\tduration\tstim\n0\tn/a\tfixation\n1\t2\tword\n"
    assert len(read(tmp_path, text, keep={"stim": ("word",)})) == 1
    with pytest.raises(Misaligned, match="line 2: duration is missing"):
        read(tmp_path, text)


def test_times_may_have_other_names(tmp_path):
    text = "onset\tduration\tstart\tlength\n0\tn/a\t3.5\t2\n"
    with pytest.raises(MissingData, match=r"\['onset', 'duration'\] is already the name of a column"):
        read(tmp_path, text, rename={"onset": "start", "duration": "length"})
    events = read(tmp_path, "start\tlength\n3.5\t2\n", rename={"onset": "start", "duration": "length"})
    assert events[["onset", "duration"]].to_numpy().tolist() == [[3.5, 2.0]]


def test_lines_of_the_file_are_counted_in_errors(tmp_path):
    with pytest.raises(Misaligned, match="line 5: onset is missing"):
        read(tmp_path, TEXT.replace("2\t0.3", "n/a\t0.3"), keep={"trial_type": ("word",)})
    with pytest.raises(MissingData, match="line 3: word is n/a; choose the rows that are stimuli with `keep`"):
        read(tmp_path, TEXT.replace("0.5\t1", "0.7\t1"), rename={"word": "value"})


def test_bad_spans_are_no_events(tmp_path):
    text = "onset\tduration\ttrial_type\n0\t1\ta\n0\t9\tBAD_jump\n1\t1\tbad\n2\t1\tb\n"
    assert read(tmp_path, text)["trial_type"].tolist() == ["a", "b"]
    with pytest.raises(MissingData, match="1 rows, none of them an event"):
        read(tmp_path, "onset\tduration\ttrial_type\n0\t9\tBAD_jump\n")


def test_a_column_run_of_the_file_gives_way_to_the_name_of_the_run(tmp_path):
    assert read(tmp_path, "run\tonset\tduration\n3\t0\t1\n")["run"].tolist() == ["r"]


def test_cells_and_columns_that_are_not_there_list_those_that_are(tmp_path):
    with pytest.raises(MissingData, match=r"no row has trial_type 'words'; there are \['press', 'word'\]"):
        read(tmp_path, TEXT, keep={"trial_type": ("words",)})
    with pytest.raises(MissingData, match=r"no column 'valu' \(did you mean 'value'\?\); the columns are \['onset'"):
        read(tmp_path, TEXT, rename={"word": "valu"})
    with pytest.raises(MissingData, match=r"\['trial_type'\] is already the name of a column"):
        read(tmp_path, TEXT, rename={"trial_type": "value"}, keep={"trial_type": ("word",)})


def test_fault_66_spaces_in_place_of_tabs_are_recognised(tmp_path):
    with pytest.raises(MissingData, match="separate the cells by tabs"):
        read(tmp_path, "onset duration\n0 1\n")


def test_fault_67_a_table_that_is_cut_inside_a_line_is_refused(tmp_path):
    with pytest.raises(MissingData, match=r"line 5.*may be cut"):
        read(tmp_path, TEXT[:68])


def test_fault_68_missing_stimuli_are_all_listed_with_what_is_there(tmp_path):
    folder = tmp_path / "stimuli"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a")
    (folder / "B.png").write_bytes(b"b")
    (folder / "d.png").symlink_to(folder / "nowhere.png")
    rows = "".join(f"{i}\t1\t{name}.png\n" for i, name in enumerate("abcda"))
    with pytest.raises(MissingData, match="3 of 4 stimulus files are missing") as error:
        read(tmp_path, f"onset\tduration\tstim_file\n{rows}", rename={"image": "stim_file"})
    assert f"{folder / 'b.png'} (there is 'B.png')" in str(error.value)
    assert f"{folder / 'c.png'}\n" in str(error.value)
    assert "broken link to" in str(error.value)
    events = read(tmp_path, "onset\tduration\tstim_file\n0\t1\ta.png\n", rename={"image": "stim_file"})
    assert events["image"].tolist() == [str((folder / "a.png").resolve())]
