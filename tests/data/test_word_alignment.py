"""Words by gentle, words without times, words outside of the recording."""

import json

import numpy as np
import pandas as pd
import pytest

from brainalign.data._word_alignment import read_gentle, timed_words, words_in_recording
from brainalign.errors import Misaligned, MissingData

TRANSCRIPT = 'He said: "null, (she\'s) gone!" Then well-known rain.'
CSV = "He,he,0.5,0.7\nsaid,said,0.8,1.0\nnull,<unk>,1.1,1.4\nshe's,,,\ngone,gone,2.0,2.5\n"


def gentle_json(transcript, times, *, heard=()):
    """Write what gentle writes; `times` by word in order, None where it was not found."""
    words, position = [], 0
    for word, span in times:
        at = transcript.index(word, position)
        position = at + len(word)
        entry = {"word": word, "startOffset": at, "endOffset": position}
        found = {"case": "success", "alignedWord": word.lower(), "start": span[0], "end": span[1]} if span else {}
        words.append(entry | (found or {"case": "not-found-in-audio"}))
    return json.dumps({"transcript": transcript, "words": [*words, *heard]})


def words_of(*rows):
    return pd.DataFrame(rows, columns=["word", "start", "end"]).astype({"start": float, "end": float})


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_the_csv_of_gentle(tmp_path):
    words = read_gentle(write(tmp_path / "align.csv", CSV))
    assert words["word"].tolist() == ["He", "said", "null", "she's", "gone"]
    assert np.isnan(words.loc[3, ["start", "end"]].astype(float)).all()
    assert words.loc[4, ["start", "end"]].tolist() == [2.0, 2.5]


def test_the_json_of_gentle_has_punctuation(tmp_path):
    times = [
        ("He", (0.5, 0.7)), ("said", (0.8, 1.0)), ("null", (1.1, 1.4)), ("she's", None), ("gone", (2.0, 2.5)),
        ("Then", (3, 3.5)), ("well", (3.6, 3.8)), ("known", (3.8, 4)), ("rain", (4, 5)),
    ]  # fmt: skip
    text = gentle_json(TRANSCRIPT, times, heard=[{"case": "not-found-in-transcript", "word": "um"}])
    words = read_gentle(write(tmp_path / "align.json", text))
    assert words["word"].tolist() == [
        "He", "said:", "null,", "she's)", 'gone!"', "Then", "well-", "known", "rain."
    ]  # fmt: skip
    assert words["start"].isna().tolist() == [False] * 3 + [True] + [False] * 5


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("align.csv", "a,a,0.5\n", "line 1: expected word, aligned word"),
        ("align.csv", "a,a,zero,1\n", "line 1"),
        ("align.json", '{"transcript": "a", "wor', "not an alignment by gentle"),
        ("align.json", '{"transcript": "a"}', "KeyError: 'words'"),
        ("align.json", '{"transcript": "a", "words": []}', "no words"),
        ("align.json", gentle_json("a", [("a", None)]).replace("not-found-in-audio", "lost"), "KeyError: 'lost'"),
        (
            "align.json",
            gentle_json("a b", [("a", None)]).replace('"a b"', '"b a"'),
            "'a' is not in the transcript at 0",
        ),
        ("align.csv", "", "empty, a stub"),
    ],
)
def test_what_gentle_did_not_write_is_refused(tmp_path, name, text, said):
    with pytest.raises(MissingData, match=said):
        read_gentle(write(tmp_path / name, text))


def test_words_without_a_time_are_interpolated_as_pandas_does():
    start = [0.5, np.nan, np.nan, 2.0, 3.0, np.nan, 5.0]
    end = [0.7, np.nan, np.nan, 2.5, 3.3, np.nan, 5.1]
    words = pd.DataFrame({"word": list("abcdefg"), "start": start, "end": end})
    given, counts = timed_words(words, "x", untimed="interpolate")
    np.testing.assert_allclose(given["start"], pd.Series(start).interpolate())
    np.testing.assert_allclose(given["end"], pd.Series(end).interpolate())
    assert given["interpolated"].tolist() == [False, True, True, False, False, True, False]
    assert (counts["n_without_time"], counts["n_interpolated"], counts["n_untimed_left_out"]) == (3, 3, 0)
    given, counts = timed_words(words, "x", untimed="leave_out")
    assert given["word"].tolist() == ["a", "d", "e", "g"]
    assert (counts["n_interpolated"], counts["n_untimed_left_out"]) == (0, 3)


def test_words_without_a_time_at_the_ends_are_left_out():
    words = words_of(("a", None, None), ("b", 1, 2), ("c", 3, 4), ("d", None, None))
    given, counts = timed_words(words, "x", untimed="interpolate")
    assert given["word"].tolist() == ["b", "c"]
    assert counts["n_untimed_left_out"] == 2


def test_impossible_times_are_mended_and_counted():
    words = words_of(("a", 1, 2), ("b", 3, 2.5), ("c", 4, 5), ("d", 6, 6), ("e", 6, 6.5))
    given, counts = timed_words(words, "x", untimed="interpolate")
    assert given["start"].tolist() == [1, 3, 4, 5, 6]
    assert given["end"].tolist() == [2, 4, 5, 5.75, 6.5]
    assert (counts["n_ends_mended"], counts["n_impossible_times"], counts["n_interpolated"]) == (1, 1, 1)


def test_of_two_words_that_start_together_the_second_has_no_time():
    words = words_of(("a", 1, 2), ("b", 3, 3.5), ("c", 3, 3.6), ("d", 5, 6))
    given, counts = timed_words(words, "x", untimed="interpolate")
    assert given["start"].tolist() == [1, 3, 4, 5]
    assert counts["n_impossible_times"] == 1


def test_words_that_run_backwards_are_refused():
    words = words_of(("z", 90, 91), *((f"w{i}", i, i + 0.5) for i in range(1, 20)), ("y", 95, 96))
    with pytest.raises(Misaligned, match=r"19 of 21 words .* the first is word 2, 'w1', 1 to 1.5 s"):
        timed_words(words, "x", untimed="interpolate")


def test_no_times_are_refused():
    with pytest.raises(Misaligned, match="1 of 2 words"):
        timed_words(words_of(("a", 1, 2), ("b", None, None)), "x", untimed="interpolate")


def test_words_are_put_on_the_clock_of_the_recording():
    words = words_of(("a", 1, 2), ("b", 5, 5.5), ("c", 9, 9.5), ("d", 14.9, 16), ("e", 15, 15.5))
    events, counts = words_in_recording(words, "x", run="1", shift=-5, seconds=10, late_tolerance=1)
    assert events["word"].tolist() == ["b", "c", "d"]
    np.testing.assert_allclose(events["onset"], [0, 4, 9.9])
    np.testing.assert_allclose(events["duration"], [0.5, 0.5, 1.1])
    assert counts == {"n_before_recording": 1, "n_after_recording": 1, "n_events": 3}


@pytest.mark.parametrize(("shift", "tolerance"), [(0.0, 3.9), (-30.0, 100.0), (30.0, 100.0)])
def test_words_of_another_sound_are_refused(shift, tolerance):
    words = words_of(("a", 1, 2), ("b", 5, 5.5), ("c", 14, 14.5))
    with pytest.raises(Misaligned, match="the recording of run 7 is 10 s long"):
        words_in_recording(words, "x", run="run 7", shift=shift, seconds=10, late_tolerance=tolerance)
