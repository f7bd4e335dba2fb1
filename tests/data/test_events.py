"""The reader of events: what is text stays text, what is not a time is refused with its line."""

import logging

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brainalign.data._events import check_events, read_events
from brainalign.errors import Misaligned, MissingData

HEADER = "run\tonset\tduration\tword\n"


def write(tmp_path, text, name="events.tsv"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def table(tmp_path, *rows, header=HEADER):
    return write(tmp_path, header + "".join("\t".join(row) + "\n" for row in rows))


def test_words_that_look_like_missing_values_or_quotes_stay_words(tmp_path):
    words = ["null", "None", "NA", "nan", "n/a", "true", "1e5", '"', "'", "café", "#", "=cmd", "01"]
    path = table(tmp_path, *(("01", str(i), "0.5", word) for i, word in enumerate(words)))
    events = read_events(path)
    assert events["word"].tolist() == words
    assert set(events["run"]) == {"01"}
    assert events["onset"].dtype == float
    assert events["duration"].dtype == float


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_word_survives(tmp_path, words):
    path = table(tmp_path, *(("1", str(i), "0.5", word) for i, word in enumerate(words)))
    assert read_events(path)["word"].tolist() == words


def test_byte_order_mark_crlf_and_missing_last_line_break(tmp_path):
    text = "\ufeffrun\tonset\tduration\tword\r\n1\t0.0\t0.5\ta\r\n1\t1.0\t0.5\tb"
    assert read_events(write(tmp_path, text))["word"].tolist() == ["a", "b"]


def test_a_file_without_runs_gets_the_one_that_is_named(tmp_path):
    path = table(tmp_path, ("0", "1", "a"), header="onset\tduration\tword\n")
    assert read_events(path, run="7")["run"].tolist() == ["7"]
    with pytest.raises(MissingData, match=r"\['run'\] missing"):
        read_events(path)


@pytest.mark.parametrize("name", ["onset", "duration"])
@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ("nan", "is missing"),
        ("n/a", "is missing"),
        ("", "is missing"),
        ("-1", "is negative"),
        ("1,5", "is not a number"),
        ("soon", "is not a number"),
        ("inf", "is not finite"),
    ],
)
def test_a_bad_time_is_refused_with_its_line(tmp_path, name, cell, what):
    row = {"run": "1", "onset": "2", "duration": "0.5", "word": "b"} | {name: cell}
    path = table(tmp_path, ("1", "0", "0.5", "a"), tuple(row.values()), ("1", "4", "0.5", "c"))
    with pytest.raises(Misaligned, match=rf"events.tsv, line 3: {name} {what}"):
        read_events(path)


def test_lines_are_counted_with_empty_ones(tmp_path):
    path = write(tmp_path, HEADER + "1\t0\t0.5\ta\n\n\n1\tnan\t0.5\tb\n")
    with pytest.raises(Misaligned, match="line 5: onset is missing"):
        read_events(path)


def test_a_line_that_was_cut_is_refused(tmp_path):
    with pytest.raises(MissingData, match=r"line 3.*cut"):
        read_events(write(tmp_path, HEADER + "1\t0\t0.5\ta\n1\t1\t0."))


def test_a_file_cut_at_the_end_of_a_line_is_refused_by_its_count(tmp_path):
    path = table(tmp_path, ("1", "0", "0.5", "a"))
    assert len(read_events(path, n_expected=1)) == 1
    with pytest.raises(MissingData, match="1 events, 2 expected"):
        read_events(path, n_expected=2)


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("run\tonset \tduration\tword\n", r"extra spaces in \['onset '\]"),
        ("run\tOnset\tduration\tword\n", "names are lower case"),
        ("run,onset,duration,word\n", "separate the cells by tabs"),
        ("run onset duration word\n", "separate the cells by tabs"),
        (
            "run\tstart\tduration\tword\n",
            r"\['onset'\] missing, the columns are \['run', 'start', 'duration', 'word'\]",
        ),
    ],
)
def test_a_missing_column_lists_the_columns(tmp_path, header, hint):
    with pytest.raises(MissingData, match=hint):
        read_events(write(tmp_path, header))


def test_empty_words_are_refused(tmp_path):
    with pytest.raises(Misaligned, match="line 2: word is empty"):
        read_events(table(tmp_path, ("1", "0", "0.5", " ")))


def test_unsorted_events_are_sorted_aloud_and_keep_their_words(tmp_path, caplog):
    path = table(tmp_path, ("b", "3", "1", "z"), ("b", "1", "1", "y"), ("a", "2", "1", "w"), ("a", "0", "1", "v"))
    with caplog.at_level(logging.WARNING):
        events = read_events(path)
    assert list(events["run"]) == ["b", "b", "a", "a"]
    assert list(events["onset"]) == [1, 3, 0, 2]
    assert list(events["word"]) == ["y", "z", "v", "w"]
    assert "4 events were not in order of time (the first: line 2); sorted" in caplog.text


def test_events_in_order_are_not_remarked_upon(tmp_path, caplog):
    read_events(table(tmp_path, ("b", "1", "1", "y"), ("b", "3", "1", "z"), ("a", "0", "1", "v")))
    assert not caplog.records


def test_two_events_at_one_time_are_refused(tmp_path):
    rows = (("1", "0", "1", "a"), ("2", "0", "1", "b"), ("1", "0", "2", "c"))
    with pytest.raises(Misaligned, match="line 4: a second event with the same onset"):
        read_events(table(tmp_path, *rows))


def test_an_onset_beyond_the_recording_is_refused(tmp_path):
    rows = [("1", str(i), "0.5", "a") for i in range(9)]
    path = table(tmp_path, *rows, ("1", "724", "0.5", "late"))
    assert len(read_events(path, recorded=724.1)) == 10
    with pytest.raises(Misaligned, match=r"line 11: onset beyond the recording, which is 724 s long.*late"):
        read_events(path, recorded=724.0)
    with pytest.raises(Misaligned, match="line 11"):
        read_events(path, recorded={"1": 100.0})


def test_a_run_that_was_not_recorded_is_refused(tmp_path):
    with pytest.raises(Misaligned, match=r"line 2: no recording of this run; recorded: \['2'\]"):
        read_events(table(tmp_path, ("1", "0", "1", "a")), recorded={"2": 10.0})


def test_milliseconds_are_recognised(tmp_path):
    rows = [("1", str(20059 + 400 * i), "350", "a") for i in range(200)]
    path = table(tmp_path, *rows)
    with pytest.raises(Misaligned, match="must be seconds: 100% of the onsets are beyond the recording"):
        read_events(path, recorded=724.0)
    with pytest.raises(Misaligned, match=r"the median duration of a word is 350 s.*have the same decimals"):
        read_events(path)


def test_whole_seconds_and_blocks_are_not_taken_for_milliseconds():
    words = pd.DataFrame({"run": "1", "onset": range(100), "duration": 0.4, "word": "a"})
    blocks = pd.DataFrame({"run": "1", "onset": [60.0 * i for i in range(12)], "duration": 30.0})
    story = pd.DataFrame({"run": "1", "onset": [0.657], "duration": [748.0]})
    for events in (words, blocks, story):
        assert len(check_events(events, "here", recorded=724.0)) == len(events)


def test_events_that_are_in_no_file_are_counted():
    events = pd.DataFrame({"run": "1", "onset": [0.0, -1.0], "duration": 1.0, "word": "a", "line": ["x", "y"]})
    with pytest.raises(Misaligned, match="somewhere, event 2: onset is negative"):
        check_events(events, "somewhere")
    assert check_events(events[:1], "somewhere")["line"].tolist() == ["x"]


def test_an_empty_table_stays_empty(tmp_path):
    assert len(read_events(write(tmp_path, HEADER))) == 0


def test_the_table_that_was_given_is_not_changed():
    events = pd.DataFrame({"run": ["1", "1"], "onset": [2, 1], "duration": [1, 1], "word": ["b", "a"]})
    before = events.copy()
    check_events(events, "here")
    pd.testing.assert_frame_equal(events, before)
