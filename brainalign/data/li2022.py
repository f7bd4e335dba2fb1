"""Le Petit Prince: fMRI of people listening to the whole book in English, Chinese or French, nine runs of ten minutes.

Read are the authors' preprocessed volumes (multi-echo independent components, space MNIColin27, 2 mm) and the table of
words (`annotation/<language>/lpp<language>_word_information.csv`), whose times count from the beginning of each sound.

When does a sound begin? In English eight seconds were recorded before it, and the first four volumes are left out of
the preprocessed recordings: volume 0 is the beginning of the sound. In French the recordings have two volumes more than
the sound, at its end: the same. In Chinese the README says that the raw recordings go on for eight seconds after the
sound and that the preprocessed ones, four volumes shorter, have its length; whether these four were the first or the
last, it does not say: `sound_onset` must be given (0: volume 0 is the beginning of the sound; -8: it is 8 s later).

References
----------
Li, Bhattasali, Zhang, Franzluebbers, Luh, Spreng, Brennan, Yang, Pallier & Hale (2022). Le Petit Prince multilingual
naturalistic fMRI corpus. Scientific Data 9:530. doi:10.1038/s41597-022-01625-7. OpenNeuro ds003643 (README of commit
0653a5f).
"""

import csv
import logging
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator, model_validator

from brainalign.arrays import Recording, Responses, read_tsv
from brainalign.data import _volumes
from brainalign.data._content import sha256_of_inputs
from brainalign.data._fmri import Run
from brainalign.data._fmri_targets import VolumeTargets, responses_of_person, target_files, target_problems
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
from brainalign.data._repetition_time import agreed_tr
from brainalign.data._side_by_side import side_by_side
from brainalign.data._word_alignment import timed_words, words_in_recording
from brainalign.errors import BrainalignError, Misaligned, MissingData, UnknownName

log = logging.getLogger(__name__)

NAME = "li2022"
PARTICIPANTS = "participants.tsv"
RUNS = tuple(range(1, 10))
SPACE = "MNIColin27"
COLUMNS = ("word", "onset", "offset", "section")
SUFFIX = f"_space-{SPACE}_desc-preproc_bold.nii.gz"


class Config(VolumeTargets):
    """Settings of the data set."""

    language: Literal["EN", "CN", "FR"] = Field(description="of the book, and so of its listeners")
    subjects: tuple[str, ...] | Literal["all"] = Field("all", description="listeners, e.g. 'sub-EN057'")
    runs: tuple[int, ...] = Field(RUNS, description="sections of the book, 1 to 9")
    sound_onset: float | None = Field(
        None, description="when the sound of a run begins, s from volume 0; none: 0, in English and French; see above"
    )
    left_out: tuple[int, ...] | Literal["known"] = Field(
        "known", description="rows of the table of words, counted from 0, that are no words; known: the manifest's"
    )
    annotations: tuple[str, ...] = Field(
        (), description="further columns of the table of words that the events get, by their names in the file"
    )
    header_tr: Literal["agrees", "ignored"] = Field(
        "agrees", description="the TR in the headers: must agree with the published 2 s, or is not looked at"
    )
    n_volumes: Literal["published", "any"] = Field(
        "published", description="refuse runs with another number of volumes than the README has, or take them"
    )
    late_tolerance: float = Field(
        2.0, ge=0, description="s after the end of a run at which words may begin: left out and counted; later: error"
    )

    _distinct_subjects = field_validator("subjects")(distinct_subjects)

    @field_validator("runs")
    @classmethod
    def _sections(cls, runs):
        if not runs or len(set(runs)) != len(runs) or not set(runs) <= set(RUNS):
            raise ValueError(f"needs numbers from 1 to 9, none twice; got {list(runs)}")
        return tuple(sorted(runs))

    @model_validator(mode="after")
    def _chinese_clock(self):
        """Ask for what the README leaves open."""
        if self.language == "CN" and self.sound_onset is None:
            raise ValueError(
                "sound_onset must be given in Chinese: the README does not say whether the four volumes that the "
                "preprocessed recordings lack were the first (-8.0: volume 0 is 8 s into the sound) or not (0.0)"
            )
        return self


def check(config: Config, data_dir: Path) -> list[str]:
    """List what stands in the way of loading, before any work."""
    try:
        data_dir = require_folder(data_dir)
        subjects, _ = _listeners(config, load_manifest(NAME))
    except BrainalignError as error:
        return [str(error)]
    return check_files(NAME, data_dir, _paths(config, subjects)) + target_problems(config, data_dir)


def load(config: Config, data_dir: Path) -> Recording:
    """Load the words of the book and the time courses of its listeners in one language.

    Returns
    -------
    recording : Recording
        `events`: `run` ("1" to "9"), `onset`, `duration` (s from volume 0), `word`, `interpolated` (true where the time
        is between those of the neighbours) and the `annotations`. `responses`, float32: volume i of a run covers
        [2 i, 2 i + 2) s; columns `subject` ("sub-EN057"), `target` ("12-30-8" with `i, j, k`, or a parcel). Voxels that
        are constant in some run are left out for everybody. `participants`: `subject, age, sex, correct_quiz_questions,
        total_quiz_questions, quiz_score` (share of right answers; NaN in French). Provenance: by run how many words
        were left out, the files' digests.

    Raises
    ------
    UnknownName
        A listener or a column of the table of words is not there.
    MissingData
        A file is absent or is not the published one.
    Misaligned
        A run has another number of volumes than published or another TR; words do not fit.
    """
    data_dir = require_folder(data_dir)
    manifest = load_manifest(NAME)
    subjects, warnings = _listeners(config, manifest)
    for warning in warnings:
        log.warning("%s: %s", NAME, warning)
    files = verified_files(NAME, data_dir, _paths(config, subjects))
    words, counts = read_words(files[_words_path(config.language)], config, manifest)
    recordings = []
    for subject in subjects:
        runs, tables, paths = {}, [], bold_paths(subject, manifest)
        for run in config.runs:
            opened = _open_run(config, run, files[paths[run]], manifest)
            events, inside = words_in_recording(
                words[run],
                opened.source,
                run=str(run),
                shift=config.sound_onset or 0.0,
                seconds=opened.tr * opened.image.n_samples,
                late_tolerance=config.late_tolerance,
            )
            runs[str(run)] = opened
            tables.append(events)
            counts[str(run)] |= inside
        responses = responses_of_person(runs, config, _volumes, subject=subject, data_dir=data_dir)
        recordings.append(Recording(pd.concat(tables, ignore_index=True), responses))
    joined = side_by_side(recordings, unusable=config.unusable)
    provenance = {
        "data_set": NAME,
        "config": config.model_dump(mode="json"),
        "files": provenance_of(NAME, files) | sha256_of_inputs(target_files(config, data_dir), root=data_dir),
        "words": counts,
        "sound_onset_seconds": config.sound_onset or 0.0,
        "subjects": {
            subject: recording.responses.provenance for subject, recording in zip(subjects, recordings, strict=True)
        },
    }
    responses = Responses(joined.responses.values, joined.responses.rows, joined.responses.columns, provenance)
    participants = read_participants(data_dir).set_index("subject").loc[subjects].reset_index()
    return Recording(joined.events, responses, participants)


def read_participants(data_dir: Path) -> pd.DataFrame:
    """Read who listened and how well they understood, (112 rows); see `load`.

    Raises
    ------
    MissingData
        The file is absent or is not the published one.
    """
    path = verified(NAME, data_dir, PARTICIPANTS)
    table = read_tsv(path, dtype={"participant_id": str, "sex": str}).rename(columns={"participant_id": "subject"})
    table = table.astype(dict.fromkeys(("age", "correct_quiz_questions", "total_quiz_questions"), float))
    return table.assign(quiz_score=table["correct_quiz_questions"] / table["total_quiz_questions"])


def read_words(
    path: Path, config: Config, manifest: Manifest
) -> tuple[dict[int, pd.DataFrame], dict[str, dict[str, int]]]:
    """Read the table of words, by section.

    Rows whose word is empty are left out, and so are those that the settings name.

    Returns
    -------
    words : dict
        Section to its words: `word`, `start`, `end` (s in the sound of the section), `interpolated`, the annotations.
    counts : dict
        Section, as text, to how many rows were left out and how many words were interpolated.

    Raises
    ------
    MissingData
        The table is damaged or lacks a column.
    UnknownName
        It has no such annotation.
    Misaligned
        A section is missing, its times run backwards, or a row that is to be left out is not there.
    """
    table = _read_csv(path)
    for name in config.annotations:
        if name not in table:
            raise UnknownName(f"column of {path.name}", name, table.columns)
    published = manifest.published["left_out_rows"].value[config.language]
    rows = published if config.left_out == "known" else list(config.left_out)
    if beyond := [row for row in rows if not 0 <= row < len(table)]:
        raise Misaligned(f"{path}: rows {beyond} are to be left out, it has {len(table)}")
    listed = np.isin(np.arange(len(table)), rows)
    empty = (table["word"].str.strip() == "").to_numpy()
    table = table.assign(word=table["word"].str.strip(), start=_numbers(table, "onset", path))
    table = table.assign(end=_numbers(table, "offset", path), section=_numbers(table, "section", path))
    words, counts = {}, {}
    for run in config.runs:
        of_run = (table["section"] == run).to_numpy()
        kept = table.loc[of_run & ~listed & ~empty, ["word", "start", "end", *config.annotations]]
        source = f"{path}, section {run}"
        words[run], counted = timed_words(kept.reset_index(drop=True), source, untimed="interpolate")
        counts[str(run)] = counted | {
            "n_rows_left_out": int((of_run & listed).sum()),
            "n_empty_rows": int((of_run & empty & ~listed).sum()),
        }
    return words, counts


def _read_csv(path: Path) -> pd.DataFrame:
    """Read the table as text: the words `null` and `nan` stay words."""
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except UnicodeDecodeError as error:
        raise MissingData(f"{path}: not UTF-8 at byte {error.start}") from None
    header, *lines = rows or [[]]
    if missing := [name for name in COLUMNS if name not in header]:
        raise MissingData(f"{path}: columns {missing} missing, the columns are {header}")
    lines = [line for line in lines if line]
    for i_line, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise MissingData(f"{path}, line {i_line}: {len(line)} cells, the header has {len(header)}")
    return pd.DataFrame(lines, columns=header, dtype=str)


def _numbers(table: pd.DataFrame, name: str, path: Path) -> pd.Series:
    numbers = pd.to_numeric(table[name].replace("", "nan"), errors="coerce")
    wrong = numbers.isna() & ~table[name].str.strip().str.lower().isin(["", "nan", "na", "n/a"])
    if wrong.any():
        raise MissingData(f"{path}: {name} of row {int(wrong.to_numpy().argmax())} is {table[name][wrong].iloc[0]!r}")
    return numbers.astype(float)


def bold_paths(subject: str, manifest: Manifest) -> dict[int, str]:
    """Give where the preprocessed volumes of a person's sections are, below the data set's folder.

    The numbers of the files are those of the scanner's series ("run-15" to "run-23" for sub-EN057): the nine files of a
    person in the order of these numbers are the nine sections. Their sizes follow the published numbers of volumes.

    Raises
    ------
    MissingData
        The list of files has not nine for this person.
    """
    paths = sorted(path for path in manifest.by_path if path.startswith(f"derivatives/{subject}/func/"))
    if len(paths) != len(RUNS):
        raise MissingData(f"{NAME}: {len(paths)} preprocessed recordings of {subject} are listed, {len(RUNS)} expected")
    return dict(zip(RUNS, paths, strict=True))  # the numbers have two digits: the order of text is that of numbers


def _words_path(language: str) -> str:
    return f"annotation/{language}/lpp{language}_word_information.csv"


def _paths(config: Config, subjects: list[str]) -> list[str]:
    manifest = load_manifest(NAME)
    volumes = [bold_paths(subject, manifest)[run] for subject in subjects for run in config.runs]
    return [PARTICIPANTS, _words_path(config.language), *volumes]


def _listeners(config: Config, manifest: Manifest) -> tuple[list[str], list[str]]:
    names = {PurePosixPath(path).name for path in manifest.by_path if path.endswith(SUFFIX)}
    present = {name.split("_")[0] for name in names}
    return chosen_subjects(
        manifest, config.subjects, present={name for name in present if name.startswith(f"sub-{config.language}")}
    )


def _open_run(config: Config, run: int, path: Path, manifest: Manifest) -> Run:
    image = _volumes.open_run((path,))
    expected = manifest.published["n_volumes"].value[config.language][run - 1]
    if config.n_volumes == "published" and image.n_samples != expected:
        raise Misaligned(
            f"{path}: {image.n_samples} volumes, {expected} published for section {run} in {config.language}; "
            "n_volumes = 'any' takes it as it is"
        )
    header = image.header_tr if config.header_tr == "agrees" else None
    tr = agreed_tr(str(path), header=header, sidecar=None, setting=manifest.published["tr"].value)
    return Run(image, tr, str(path))
