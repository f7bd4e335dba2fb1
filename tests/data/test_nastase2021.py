"""Comprehension of Narratives: one row per listener and story, one scale, shared questionnaires found."""

import pandas as pd
import pytest

from brainalign.arrays import read_tsv
from brainalign.data import _nastase2021
from brainalign.data._manifest import load_manifest
from brainalign.errors import MissingData


@pytest.fixture(scope="module")
def comprehension(data_dir):
    if not (data_dir / "nastase2021").is_dir():
        pytest.skip(f"{data_dir / 'nastase2021'} is absent")
    return _nastase2021.read_comprehension(data_dir)


def listener(**cells):
    values = dict.fromkeys(_nastase2021.PER_STORY, "n/a,n/a")
    return pd.DataFrame([{"participant_id": "sub-1", **values, "task": "black,bronx", **cells}])


def scored(*rows):
    return pd.DataFrame(rows, columns=["subject", "story", "score"])


def test_the_published_scores(comprehension):
    facts = load_manifest("nastase2021").facts
    assert len(comprehension) == facts["n_comprehension_scores"] == 376
    assert comprehension["subject"].nunique() == facts["n_subjects_with_comprehension"] == 179
    assert not comprehension.duplicated(["subject", "story"]).any()
    by_story = comprehension.groupby("story")["score"]
    assert by_story.size().to_dict() == facts["n_comprehension"]
    assert by_story.mean().to_dict() == pytest.approx(facts["comprehension_mean"], abs=5e-4)
    assert by_story.std(ddof=0).to_dict() == pytest.approx(facts["comprehension_sd"], abs=5e-4)
    assert comprehension["score"].between(0, 1).all()


def test_shapes_were_scored_from_0_to_10(comprehension):
    shapes = comprehension["story"].isin(["shapesphysical", "shapessocial"])
    assert set(comprehension.loc[shapes, "highest"]) == {10.0}
    assert set(comprehension.loc[~shapes, "highest"]) == {1.0}
    original = comprehension.loc[shapes, "score"] * 10
    assert original.mean() == pytest.approx(8.72, abs=5e-3)
    assert ((original % 0.5).round(9) == 0).all()


def test_both_pairs_of_stories_with_one_questionnaire_are_found_and_no_other(comprehension):
    expected = [tuple(pair) for pair in load_manifest("nastase2021").facts["one_questionnaire"]]
    assert _nastase2021.shared_questionnaires(comprehension) == expected
    assert expected == [("bronx", "forgot"), ("shapesphysical", "shapessocial")]
    names = comprehension.groupby("story")["questionnaire"].unique().str[0]
    assert names[["bronx", "forgot"]].tolist() == ["bronx+forgot"] * 2
    assert names["shapessocial"] == "shapesphysical+shapessocial"
    assert names["black"] == "black"
    assert comprehension["questionnaire"].nunique() == 10


def test_who_heard_what(data_dir, comprehension):
    facts = load_manifest("nastase2021").facts
    table = read_tsv(
        data_dir / "nastase2021/participants.tsv", dtype=dict.fromkeys(_nastase2021.PER_STORY, str), na_values=()
    )
    heard = _nastase2021.stories_heard(table, "participants.tsv")
    assert heard["subject"].nunique() == len(table) == facts["n_subjects"]
    assert heard.groupby("story")["subject"].nunique().to_dict() == facts["n_listeners"]
    assert not heard.duplicated(["subject", "story"]).any()
    assert (heard["comprehension"] != "").sum() == len(comprehension)
    recorded = {
        file.path.split("/")[-1].split("_bold")[0].split("_run")[0] for file in load_manifest("nastase2021").listed
    }
    missing = set(heard["subject"] + "_task-" + heard["story"]) - recorded
    assert missing == {"sub-278_task-forgot", "sub-278_task-black", "sub-280_task-piemanpni"}


def test_cells_are_taken_apart_in_the_order_of_the_stories():
    heard = _nastase2021.stories_heard(listener(age="20,21", comprehension="n/a,0.5", condition="x,n/a"), "p.tsv")
    assert heard[["story", "age", "condition", "comprehension"]].to_numpy().tolist() == [
        ["black", "20", "x", ""],
        ["bronx", "21", "", "0.5"],
    ]


def test_cells_of_different_lengths_are_refused():
    with pytest.raises(MissingData, match=r"p\.tsv, sub-1: cells of different lengths.*'comprehension': 1"):
        _nastase2021.stories_heard(listener(comprehension="0.5"), "p.tsv")


@pytest.mark.parametrize(
    ("story", "score"), [("black", "8"), ("black", "-0.1"), ("shapessocial", "10.5"), ("black", "x")]
)
def test_scores_outside_their_scale_are_refused(story, score):
    table = pd.DataFrame({"subject": "sub-1", "story": [story], "condition": "", "comprehension": score})
    with pytest.raises(MissingData, match=rf"p\.tsv: 1 scores.*sub-1, {story}: '{score}'"):
        _nastase2021.scaled_scores(table, "p.tsv")


def test_one_questionnaire_needs_the_same_listeners_and_all_their_scores():
    first, second = scored(("s1", "a", 0.5), ("s2", "a", 0.7)), scored(("s2", "b", 0.7), ("s1", "b", 0.5))
    assert _nastase2021.shared_questionnaires(pd.concat([first, second])) == [("a", "b")]
    third = second.assign(story="c")
    assert _nastase2021.shared_questionnaires(pd.concat([third, second, first])) == [("a", "b", "c")]
    for other in (
        second.assign(score=[0.7, 0.6]),
        second.assign(subject=["s2", "s3"]),
        second.iloc[:1],
        pd.concat([second, scored(("s3", "b", 0.1))]),
    ):
        assert _nastase2021.shared_questionnaires(pd.concat([first, other])) == []


def test_one_listener_is_no_evidence():
    assert _nastase2021.shared_questionnaires(scored(("s1", "a", 0.5), ("s1", "b", 0.5))) == []
