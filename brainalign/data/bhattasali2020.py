"""The Alice data set: whole-brain fMRI of 26 listeners, word annotations, and how well each listener understood.

References
----------
Bhattasali, Brennan, Luh, Franzluebbers & Hale (2020). The Alice Datasets: fMRI & EEG observations of natural language
comprehension. LREC 2020. OpenNeuro ds002322.
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from brainalign.arrays import Recording, Responses, read_tsv
from brainalign.data import _volumes
from brainalign.data._bids_query import BidsFile, parse_name, sidecars
from brainalign.data._content import sha256_of_inputs
from brainalign.data._fmri import Run
from brainalign.data._fmri_targets import VolumeTargets, responses_of_person, target_files, target_problems, tr_of
from brainalign.data._manifest import (
    Manifest,
    check_files,
    chosen_subjects,
    distinct_subjects,
    load_manifest,
    provenance_of,
    require_folder,
    verified,
    verified_files,
)
from brainalign.data._side_by_side import side_by_side
from brainalign.data._word_alignment import timed_words, words_in_recording
from brainalign.errors import BrainalignError, Misaligned, MissingData

NAME = "bhattasali2020"
ANNOTATIONS = "code/annotations.tsv"
PARTICIPANTS = "participants.tsv"
RUN = "1"
EVENTS = "events"

COLUMNS = {
    "Words": "word",
    "Word Onset": "onset",
    "Word Offset": "offset",
    "IsLex": "is_lexical",
    "LogFreq": "log_frequency",
    "ProsBreak": "prosodic_break",
    "2-gram lexSurprisal": "surprisal_2gram",
    "3-gram lexSurprisal": "surprisal_3gram",
    "2-gram posSurprisal": "surprisal_pos_2gram",
    "3-gram posSurprisal": "surprisal_pos_3gram",
    "CFG Surprisal": "surprisal_cfg",
    "CFG BU nodeCount": "nodes_cfg_bottom_up",
    "CFG TD nodeCount": "nodes_cfg_top_down",
    "MG BU nodeCount": "nodes_mg_bottom_up",
    "MG TD nodeCount": "nodes_mg_top_down",
}
QUANTITIES = tuple(name for name in COLUMNS.values() if name not in ("word", "onset", "offset"))
LEAST_EQUAL = 0.8  # share of words that must be found unchanged for two texts to be the same text


class Config(VolumeTargets):
    """Settings of the data set."""

    subjects: tuple[str, ...] | Literal["all"] = Field(
        "all", description="listeners, e.g. 's18'; all: the 23 with a preprocessed, or the 26 with a raw recording"
    )
    recording: Literal["preprocessed", "raw"] = Field(
        "preprocessed", description="the authors' volumes in MNI space without the first ten, or those of the scanner"
    )
    annotations: bool = Field(False, description="give the words their frequencies and surprisals")
    sound_onset: float | Literal["events"] = Field(
        0.0,
        description="when the sound begins, s from the first volume of the scanner: 0 as in brennan2016; events: as "
        "each listener's events.tsv has it",
    )
    onset_tolerance: float = Field(
        0.0, ge=0, description="s by which onsets may differ between listeners (events); those of the first count"
    )
    header_tr: Literal["agrees", "ignored"] = Field(
        "agrees", description="the TR in the headers: must agree with the sidecars' 2 s, or is not looked at"
    )
    late_tolerance: float = Field(
        2.0, ge=0, description="s after the end of the run at which words may begin: left out and counted; later: error"
    )

    _distinct = field_validator("subjects")(distinct_subjects)


def check(config: Config, data_dir: Path) -> list[str]:
    """List what stands in the way of loading, before any work."""
    try:
        data_dir = require_folder(data_dir)
        paths = bold_paths(config, load_manifest(NAME))
        for path in paths.values() if config.sound_onset == EVENTS else ():
            _sound_onset(config, path, data_dir)
    except BrainalignError as error:
        return [str(error)]
    return check_files(NAME, data_dir, [ANNOTATIONS, PARTICIPANTS, *paths.values()]) + target_problems(config, data_dir)


def load(config: Config, data_dir: Path) -> Recording:
    """Load the words of the story and the volumes of its listeners.

    Returns
    -------
    recording : Recording
        `events`: 2,101 words, run "1", `onset`, `duration` (s from the first volume of the file), `word`,
        `interpolated` (true where the annotations have an impossible time), with `annotations` also `QUANTITIES`.
        `responses`, float32: volume i covers [2 i, 2 i + 2) s; columns `subject` ("s18"), `target` ("12-30-8" with
        `i, j, k`, or a parcel). Voxels that are constant for somebody are left out for everybody; raw recordings are in
        each listener's own space: one at a time, or means of regions. `participants`: as `read_participants`.
        Provenance: how many words were joined or left out, the volumes that are missing at the beginning, digests.

    Raises
    ------
    UnknownName
        A listener is not in the data set.
    MissingData
        A file is absent or is not the published one; somebody has no such recording.
    Misaligned
        A recording has neither 372 nor 362 volumes, or another TR; listeners heard the sound at different times.
    """
    data_dir = require_folder(data_dir)
    manifest = load_manifest(NAME)
    paths = bold_paths(config, manifest)
    files = verified_files(NAME, data_dir, [ANNOTATIONS, PARTICIPANTS, *paths.values()])
    words, counts = read_words(data_dir)
    inputs = set(target_files(config, data_dir))
    recordings, clocks = [], {}
    for subject, path in paths.items():
        run, stated = _open_run(config, path, files[path], data_dir)
        n_missing = _missing_volumes(run, manifest)
        sound_onset, tables = _sound_onset(config, path, data_dir)
        events, inside = words_in_recording(
            words,
            run.source,
            run=RUN,
            shift=sound_onset - n_missing * run.tr,
            seconds=run.tr * run.image.n_samples,
            late_tolerance=config.late_tolerance,
        )
        clocks[subject] = {"sound_onset_seconds": sound_onset, "n_missing_volumes": n_missing} | inside
        inputs.update({*stated, *tables})
        responses = responses_of_person({RUN: run}, config, _volumes, subject=subject, data_dir=data_dir)
        recordings.append(Recording(events, responses))
    joined = side_by_side(recordings, unusable=config.unusable, onset_tolerance=config.onset_tolerance)
    provenance = {
        "data_set": NAME,
        "config": config.model_dump(mode="json"),
        "files": provenance_of(NAME, files) | sha256_of_inputs(inputs, root=data_dir),
        "words": counts,
        "clocks": clocks,
        "subjects": {
            subject: recording.responses.provenance for subject, recording in zip(paths, recordings, strict=True)
        },
    }
    events = joined.events
    if config.annotations:
        values, mismatches = annotate(events["word"], read_annotations(data_dir))
        events = pd.concat([events, values], axis=1)
        provenance["annotation_mismatches"] = mismatches.to_dict("records")
    participants = read_participants(data_dir).set_index("subject").loc[list(paths)].reset_index()
    responses = Responses(joined.responses.values, joined.responses.rows, joined.responses.columns, provenance)
    return Recording(events, responses, participants)


def bold_paths(config: Config, manifest: Manifest) -> dict[str, str]:
    """Give where the volumes of each listener are, below the data set's folder; listeners sorted.

    Raises
    ------
    UnknownName
        A listener is not in the data set.
    MissingData
        Somebody who is named has no preprocessed recording.
    """
    raw, preprocessed = (
        {f"s{file.entities['sub']}": path for path in manifest.by_path if (file := _bold(path, suffix))}
        for suffix in ("bold.nii.gz", "bold_preprocessed.nii.gz")
    )
    recorded = raw if config.recording == "raw" else preprocessed
    requested = sorted(recorded) if config.subjects == "all" else config.subjects
    subjects, _ = chosen_subjects(manifest, requested, present=raw)
    if absent := [subject for subject in subjects if subject not in recorded]:
        raise MissingData(f"{NAME}: no preprocessed recording of {absent} was published; recording = 'raw' has them")
    return {subject: recorded[subject] for subject in subjects}


def _bold(path: str, suffix: str) -> BidsFile | None:
    """Take the name of a recording apart; None for other files."""
    name = PurePosixPath(path).name
    return parse_name(Path(name.replace(suffix, "bold.nii.gz"))) if name.endswith(f"_{suffix}") else None


def read_words(data_dir: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read the words of the story with their times in the sound.

    A clitic has a row of its own without times: it is joined to the word before it ("she" and "’d" are "she’d", "would"
    and "nt" are "wouldnt", as they are spelt there).

    Returns
    -------
    words : DataFrame of 2,101 rows
        `word`, `start`, `end` (s in the sound), `interpolated`: see `_word_alignment.timed_words`.
    counts : dict
        `n_joined` clitics, and those of `timed_words`.

    Raises
    ------
    MissingData
        The file is absent or is not the published one.
    """
    annotations = read_annotations(data_dir)
    clitic = annotations["onset"].isna()
    number = (~clitic).cumsum()
    words = annotations.groupby(number).agg(word=("word", "".join), start=("onset", "first"), end=("offset", "first"))
    given, counts = timed_words(words.reset_index(drop=True), ANNOTATIONS, untimed="interpolate")
    return given, counts | {"n_joined": int(clitic.sum())}


def _raw_file(path: str, data_dir: Path) -> BidsFile:
    """Give the raw recording that a recording is or was made of, whose sidecars and events apply to it."""
    file = _bold(path, "bold_preprocessed.nii.gz") or _bold(path, "bold.nii.gz")
    folder = data_dir / NAME / f"sub-{file.entities['sub']}" / "func"
    return BidsFile(folder / file.path, file.entities, file.suffix, file.extension)


def _open_run(config: Config, path: str, local: Path, data_dir: Path) -> tuple[Run, list[Path]]:
    image = _volumes.open_run((local,))
    header = image.header_tr if config.header_tr == "agrees" else None
    published = load_manifest(NAME).facts["tr"]
    tr, stated = tr_of(data_dir / NAME, _raw_file(path, data_dir), str(local), header=header, published=published)
    return Run(image, tr, str(local)), stated


def _missing_volumes(run: Run, manifest: Manifest) -> int:
    """Tell from the number of volumes how many of the first were discarded.

    Raises
    ------
    Misaligned
        It is neither that of the scanner nor ten less.
    """
    of_scanner, of_authors = (manifest.published["n_volumes"].value[kind] for kind in ("raw", "preprocessed"))
    if run.image.n_samples not in (of_scanner, of_authors):
        raise Misaligned(
            f"{run.source}: {run.image.n_samples} volumes, expected {of_scanner} as recorded, or {of_authors} without "
            "the first ten; with another number it is not known which moment of the sound volume 0 is"
        )
    return of_scanner - run.image.n_samples


def _sound_onset(config: Config, path: str, data_dir: Path) -> tuple[float, list[Path]]:
    """Give when the sound begins, s from the first volume of the scanner, and the table that says so.

    Raises
    ------
    MissingData
        There is no table, or it has not one event.
    """
    if config.sound_onset != EVENTS:
        return float(config.sound_onset), []
    file = _raw_file(path, data_dir)
    tables = sidecars(data_dir / NAME, file, "events", ".tsv")
    if not tables:
        raise MissingData(
            f"{data_dir / NAME}: no events.tsv of {file.path.name}; those of participants 18 and 39 come with "
            f"`brainalign fetch {NAME}`, the others are in git at github.com/OpenNeuroDatasets/ds002322; or give "
            "sound_onset in seconds"
        )
    table = read_tsv(tables[-1])
    if len(table) != 1 or "onset" not in table or not np.isfinite(table["onset"].iloc[0]):
        raise MissingData(f"{tables[-1]}: expected one event with an onset, got {table.to_dict('records')}")
    return float(table["onset"].iloc[0]), tables[-1:]


def read_participants(data_dir: Path) -> pd.DataFrame:
    """Read who listened and how well they understood.

    Returns
    -------
    participants : DataFrame of 26 rows
        `subject` ("s18", as in brennan2016), `age` (years), `sex`, `quiz_score` (0-12 right answers), `final_dB`
        (volume of the story), the numbers as float.

    Raises
    ------
    MissingData
        The file is absent or is not the published one.
    """
    table = read_tsv(verified(NAME, data_dir, PARTICIPANTS), dtype={"participant_id": str, "sex": str})
    table.insert(0, "subject", "s" + table.pop("participant_id"))
    return table.astype({"age": float, "quiz_score": float, "final_dB": float})


def read_annotations(data_dir: Path) -> pd.DataFrame:
    """Read the annotations of the words of the story.

    A word made of two ("Alice's") has both their values in one cell, with a comma between: their mean is given. The
    later parts of compounds ("waistcoat-pocket") have surprisal 0 in the file, and here.

    Returns
    -------
    annotations : DataFrame of 2,132 rows
        `word`; `onset`, `offset` (s in the sound file); the columns `QUANTITIES`, float. NaN where the file has an
        empty cell: clitics have no times and no prosodic break, "she" at 169.07 s has no surprisal of any kind.

    Raises
    ------
    MissingData
        The file is absent or is not the published one.
    """
    raw = read_tsv(verified(NAME, data_dir, ANNOTATIONS), dtype=dict.fromkeys(COLUMNS, str))
    annotations = raw[list(COLUMNS)].rename(columns=COLUMNS)
    for name in annotations.columns.drop("word"):
        annotations[name] = [_mean_of_cell(cell) for cell in annotations[name]]
    n_grams = annotations[["surprisal_2gram", "surprisal_3gram", "surprisal_pos_2gram", "surprisal_pos_3gram"]]
    annotations.loc[n_grams.isna().all(axis=1), "surprisal_cfg"] = np.nan  # the file says 0 there, beside empty cells
    return annotations


def _mean_of_cell(cell: str) -> float:
    return float(np.mean([float(part) for part in cell.split(",")])) if cell.strip() else float("nan")


def spelling(word: str) -> str:
    """Give the form in which words are compared: lower case, without apostrophes."""
    return re.sub("['’]", "", word).lower()


def match_words(words: Sequence[str], annotated: Sequence[str]) -> tuple[list[range], pd.DataFrame]:
    """Find for each word of a text the annotated words it corresponds to.

    Words are aligned by `difflib.SequenceMatcher` on their `spelling`. A stretch that differs ("upon" and "up on",
    "labled" and "labelled") is taken as one block: each of its words corresponds to all annotated words of the block.

    Parameters
    ----------
    words : sequence of str, length n_words
    annotated : sequence of str, length n_annotated

    Returns
    -------
    blocks : list of n_words ranges
        Positions in `annotated`; never empty.
    mismatches : DataFrame
        Everything that is not the same letter by letter, in order: `kind` ("spelling": only case or apostrophe;
        "replaced"; "annotation only"), `position` in `words`, `words`, `annotated` (text).

    Raises
    ------
    Misaligned
        Words have no counterpart, all of them listed; or fewer than 80 % of the words are the same: it is another text.
    """
    words, annotated = list(words), list(annotated)
    matcher = SequenceMatcher(None, [spelling(w) for w in words], [spelling(w) for w in annotated], autojunk=False)
    blocks: list[range] = []
    mismatches, alone, n_equal = [], [], 0
    for kind, start, stop, first, last in matcher.get_opcodes():
        if kind == "equal":
            n_equal += stop - start
            blocks += [range(first + i, first + i + 1) for i in range(stop - start)]
            pairs = zip(range(start, stop), words[start:stop], annotated[first:last], strict=True)
            mismatches += [("spelling", i, word, other) for i, word, other in pairs if word != other]
            continue
        blocks += [range(first, last)] * (stop - start)
        alone += (
            [f"{word!r} (word {i + 1})" for i, word in enumerate(words[start:stop], start)] if first == last else []
        )
        name = "annotation only" if start == stop else "replaced"
        mismatches.append((name, start, " ".join(words[start:stop]), " ".join(annotated[first:last])))
    if n_equal < LEAST_EQUAL * len(words):
        raise Misaligned(f"annotations of another text: only {n_equal} of {len(words)} words are the same")
    if alone:
        raise Misaligned(f"words without an annotation: {', '.join(alone)}")
    return blocks, pd.DataFrame(mismatches, columns=["kind", "position", "words", "annotated"])


def annotate(words: Sequence[str], annotations: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give every word of a text the annotations of its counterpart, the mean of them where there are several.

    Parameters
    ----------
    words : sequence of str, length n_words
    annotations : DataFrame
        `word` and the columns `QUANTITIES`, from `read_annotations`.

    Returns
    -------
    values : DataFrame of n_words rows
        The columns `QUANTITIES`, without NaN: where the annotations have no value, the mean of all words is given.
    mismatches : DataFrame
        From `match_words`, and a row of kind "no value" for each word that got a mean of all words, with the quantities
        in `annotated`.

    Raises
    ------
    Misaligned
        See `match_words`.
    """
    words = list(words)
    blocks, mismatches = match_words(words, annotations["word"])
    table = annotations[list(QUANTITIES)].to_numpy()  # (n_annotated, n_quantities)
    present = np.isfinite(table)
    n_present = np.array([present[block].sum(axis=0) for block in blocks])  # (n_words, n_quantities)
    sums = np.array([np.where(present, table, 0)[block].sum(axis=0) for block in blocks])
    means = np.divide(sums, n_present, out=np.full_like(sums, np.nan), where=n_present > 0)
    values = pd.DataFrame(means, columns=list(QUANTITIES))
    without = [
        ("no value", i, words[i], ", ".join(values.columns[values.loc[i].isna()]))
        for i in np.flatnonzero((n_present == 0).any(1))
    ]
    listed = pd.DataFrame(without, columns=mismatches.columns)
    return values.fillna(values.mean()), pd.concat([mismatches, listed], ignore_index=True)
