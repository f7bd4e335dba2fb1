"""Narratives: which stories each listener heard, and how well they understood them.

References
----------
Nastase et al. (2021). The "Narratives" fMRI dataset for evaluating models of naturalistic language comprehension.
Scientific Data 8:250. doi:10.1038/s41597-021-01033-3. OpenNeuro ds002345.
Caucheteux, Gramfort & King (2022). Deep language algorithms predict semantic comprehension from brain activity.
Scientific Reports 12:16327.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.arrays import read_tsv
from brainalign.data._manifest import verified
from brainalign.errors import MissingData

NAME = "nastase2021"
PARTICIPANTS = "participants.tsv"
PER_STORY = ("age", "sex", "task", "condition", "comprehension")
HIGHEST = {"shapesphysical": 10.0, "shapessocial": 10.0}  # of a score; of the other stories it is 1


def read_comprehension(data_dir: Path) -> pd.DataFrame:
    """Read how well listeners understood stories, all scores in 0..1.

    Returns
    -------
    comprehension : DataFrame of 376 rows, one per listener and story that has a score
        `subject` ("sub-001"), `story`, `condition` ("" where there is none), `score` (0-1), `highest` (the score in the
        file is `score * highest`: 10 for the two Shapes stories, else 1), `questionnaire`: stories whose scores are the
        same for everybody have one questionnaire, e.g. "bronx+forgot"; they are one observation of a listener, not two.

    Raises
    ------
    MissingData
        The file is absent or is not the published one, a listener's cells have different numbers of values, or a score
        is none.
    """
    path = verified(NAME, data_dir, PARTICIPANTS)
    heard = stories_heard(read_tsv(path, dtype=dict.fromkeys(PER_STORY, str), na_values=()), str(path))
    comprehension = scaled_scores(heard[heard["comprehension"] != ""], str(path))
    shared = {story: stories for stories in shared_questionnaires(comprehension) for story in stories}
    comprehension["questionnaire"] = ["+".join(shared.get(story, (story,))) for story in comprehension["story"]]
    return comprehension


def stories_heard(participants: pd.DataFrame, source: str) -> pd.DataFrame:
    """Give every story of a listener a row of its own.

    Parameters
    ----------
    participants : DataFrame of text, one row per listener
        `participant_id` and `age, sex, task, condition, comprehension`, each with one value per story, with commas
        between; "n/a" where there is none.
    source : str
        Where they come from, for the errors.

    Returns
    -------
    heard : DataFrame of text, one row per listener and story
        `subject`, `age`, `sex`, `story`, `condition`, `comprehension`; "" where there is none.

    Raises
    ------
    MissingData
        A listener's cells have different numbers of values.
    """
    rows = []
    for listener in participants.to_dict("records"):
        values = {name: listener[name].split(",") for name in PER_STORY}
        n_values = {name: len(parts) for name, parts in values.items()}
        if len(set(n_values.values())) > 1:
            raise MissingData(f"{source}, {listener['participant_id']}: cells of different lengths: {n_values}")
        rows += [(listener["participant_id"], *story) for story in zip(*values.values(), strict=True)]
    heard = pd.DataFrame(rows, columns=["subject", *PER_STORY]).rename(columns={"task": "story"})
    return heard.replace("n/a", "")


def scaled_scores(scored: pd.DataFrame, source: str) -> pd.DataFrame:
    """Divide scores by the highest score of their story.

    Parameters
    ----------
    scored : DataFrame
        `subject, story, condition`, and `comprehension` as text.
    source : str
        Where they come from, for the errors.

    Returns
    -------
    comprehension : DataFrame
        `subject, story, condition, score` (0-1), `highest`.

    Raises
    ------
    MissingData
        A score is no number, or lies outside of 0 to the highest.
    """
    comprehension = scored[["subject", "story", "condition"]].reset_index(drop=True)
    highest = comprehension["story"].map(HIGHEST).fillna(1.0)
    score = pd.to_numeric(scored["comprehension"], errors="coerce").to_numpy(float) / highest
    wrong = ~score.between(0, 1)  # also of what is no number
    if wrong.any():
        first = scored.iloc[int(np.flatnonzero(wrong)[0])]
        raise MissingData(
            f"{source}: {wrong.sum()} scores are not between 0 and the highest of their story; the first: "
            f"{first['subject']}, {first['story']}: {first['comprehension']!r}"
        )
    return comprehension.assign(score=score, highest=highest)


def shared_questionnaires(comprehension: pd.DataFrame) -> list[tuple[str, ...]]:
    """Find stories that were scored for the same listeners, each of whom has the same score in all of them.

    Parameters
    ----------
    comprehension : DataFrame
        `subject, story, score`.

    Returns
    -------
    groups : list of tuple of str
        Two stories or more, in alphabetical order. Equal scores of one listener alone are no evidence.
    """
    groups: dict[tuple, list[str]] = {}
    for story, scored in sorted(comprehension.groupby("story")):
        scores = tuple(sorted(zip(scored["subject"], scored["score"], strict=True)))
        groups.setdefault(scores, []).append(story)
    return [tuple(stories) for scores, stories in groups.items() if len(stories) > 1 and len(scores) > 1]
