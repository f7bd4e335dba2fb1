"""Annotations and quiz of the Alice data set; words matched to another spelling of the same text."""

import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import read_tsv
from brainalign.data import DATASETS, bhattasali2020, brennan2016
from brainalign.data._manifest import load_manifest, verified
from brainalign.errors import Misaligned, MissingData, UnknownName

SAME = [f"same{i}" for i in range(20)]


def annotations_of(words, **columns):
    table = pd.DataFrame({"word": words} | dict.fromkeys(bhattasali2020.QUANTITIES, 0.0))
    return table.assign(**columns)


def test_equal_words_are_matched_one_by_one():
    blocks, mismatches = bhattasali2020.match_words(SAME, SAME)
    assert blocks == [range(i, i + 1) for i in range(20)]
    assert mismatches.empty


def test_every_kind_of_difference_is_matched_and_listed():
    words = [*SAME, "to", "night", "upon", "she'd", "'ll", "labled", *SAME, "true"]
    annotated = [*SAME, "tonight", "up", "on", "she", "’d", "ll", "labelled", *SAME[:10], "had", *SAME[10:], "TRUE"]
    blocks, mismatches = bhattasali2020.match_words(words, annotated)
    assert all(len(block) for block in blocks)
    assert [annotated[i] for i in blocks[24]] == ["ll"]
    assert mismatches["kind"].tolist() == ["replaced", "spelling", "replaced", "annotation only", "spelling"]
    assert mismatches.loc[0, "words"] == "to night upon she'd"
    assert mismatches.loc[0, "annotated"] == "tonight up on she ’d"
    assert mismatches.loc[3, ["position", "annotated"]].tolist() == [36, "had"]
    listed = " ".join(mismatches["annotated"]).split()
    equal = [annotated[i] for block, word in zip(blocks, words, strict=True) for i in block if word == annotated[i]]
    assert sorted(listed + equal) == sorted(annotated)


def test_a_word_without_an_annotation_is_refused_by_name():
    with pytest.raises(Misaligned, match=r"'white' \(word 11\), 'rabbit' \(word 12\)"):
        bhattasali2020.match_words([*SAME[:10], "white", "rabbit", *SAME[10:]], SAME)


def test_annotations_of_another_text_are_refused():
    with pytest.raises(Misaligned, match="another text: only 1 of 20"):
        bhattasali2020.match_words(SAME, ["other"] * 10 + [SAME[0]] + ["words"] * 10)


def test_blocks_give_the_mean_of_their_annotations():
    words = [*SAME, "upon", "book", "shelves"]
    values = np.arange(23.0)
    annotations = annotations_of([*SAME, "up", "on", "bookshelves"], log_frequency=values)
    matched, _ = bhattasali2020.annotate(words, annotations)
    assert list(matched.columns) == list(bhattasali2020.QUANTITIES)
    np.testing.assert_allclose(matched["log_frequency"], [*range(20), 21, 21, 21])


def test_a_missing_value_is_the_mean_of_all_words_and_is_listed():
    values = np.arange(20.0)
    values[3] = np.nan
    matched, mismatches = bhattasali2020.annotate(SAME, annotations_of(SAME, surprisal_cfg=values))
    assert matched["surprisal_cfg"].iloc[3] == pytest.approx(np.nanmean(values))
    assert mismatches.to_dict("records") == [
        {"kind": "no value", "position": 3, "words": "same3", "annotated": "surprisal_cfg"}
    ]


def test_the_mean_of_a_block_is_over_the_values_there_are():
    annotations = annotations_of([*SAME, "she", "’d"], surprisal_cfg=[0.0] * 20 + [3.0, np.nan])
    matched, mismatches = bhattasali2020.annotate([*SAME, "she'd"], annotations)
    assert matched["surprisal_cfg"].iloc[-1] == 3.0
    assert mismatches["kind"].tolist() == ["replaced"]


def test_facts(data_dir):
    facts = load_manifest("bhattasali2020").facts
    participants = bhattasali2020.read_participants(data_dir)
    assert len(participants) == participants["subject"].nunique() == facts["n_participants"]
    assert participants["quiz_score"].agg(["min", "max"]).tolist() == [
        facts["quiz_score_least"],
        facts["quiz_score_most"],
    ]
    listed = read_tsv(verified("bhattasali2020", data_dir, "files.tsv"))["path"]
    assert len(listed) == facts["n_recordings"]
    assert listed.str.endswith("_bold_preprocessed.nii.gz").sum() == facts["n_preprocessed"]
    annotations = bhattasali2020.read_annotations(data_dir)
    assert len(annotations) == facts["n_annotations"]
    assert annotations["word"].iloc[[0, -1]].tolist() == ["Alice", "cake"]
    assert annotations["log_frequency"].notna().all()
    assert (annotations[["surprisal_2gram", "surprisal_cfg"]].isna().sum() == 1).all()
    assert annotations["onset"].isna().sum() == 31
    [at] = np.flatnonzero(annotations["word"] == "Alice's")
    assert annotations["surprisal_2gram"].iloc[at] == pytest.approx(
        (5.58306489130818 + 5.30887294635255) / 2, rel=1e-12
    )


def test_every_word_of_the_textgrid_gets_an_annotation_spoken_at_the_same_time(data_dir):
    facts = load_manifest("bhattasali2020").facts
    events = brennan2016.load(brennan2016.Config(subjects=("s18",)), data_dir).events
    annotations = bhattasali2020.read_annotations(data_dir)
    blocks, mismatches = bhattasali2020.match_words(events["word"], annotations["word"])
    assert len(blocks) == facts["n_textgrid_words"]
    assert mismatches["kind"].value_counts().to_dict() == {"spelling": 51, "replaced": 16, "annotation only": 2}
    only = mismatches[mismatches["kind"] == "annotation only"]
    assert only["annotated"].tolist() == ["had", "I"]
    assert len(only) == facts["n_annotation_only"]
    spoken = annotations["onset"].to_numpy()
    apart = [spoken[block[0]] - onset - 20.0 for block, onset in zip(blocks, events["onset"], strict=True)]
    assert np.nanmax(np.abs(apart)) < 1.0
    assert np.nanmedian(np.abs(apart)) < 0.05


def test_whole_brain_recordings_are_said_to_be_absent(data_dir):
    module = DATASETS["bhattasali2020"]
    with pytest.raises(
        MissingData, match=r"2 of 2 preprocessed NIfTI recordings named in files.tsv are absent.*sub-18"
    ):
        module.load(module.Config(subjects=("s18", "s22")), data_dir)
    with pytest.raises(UnknownName, match="s40"):
        module.load(module.Config(subjects=("s40",)), data_dir)
    [problem] = module.check(module.Config(), data_dir)
    assert "brennan2016" in problem
