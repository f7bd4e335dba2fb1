"""Narratives: fMRI of 345 people listening to stories, on the fsaverage6 surface, with the words of each story.

What the authors cleaned with AFNI (`derivatives/afni-nosmooth`, `afni-smooth`) and the words that gentle aligned
(`stimuli/gentle/<story>`) are distributed through DataLad. Their digests are not known here: the provenance has the
sha256 of what was read.

Three clocks: the sound begins `sound_onset_seconds` after volume 0 (onsets of the authors' events.tsv); words are in
seconds of the sound; the story itself, after its music, is heard in the volumes `story_onset_trs` to
`story_onset_trs + n_trs` (the authors' event_meta.json). All three are in the manifest (`brainalign info nastase2021`).
"Slumlord" and "Reach for the Stars One Small Step at a Time" were heard in one scan: one run, cut from the onset of the
first to the end of the second, with the music between them.

References
----------
Nastase et al. (2021). The "Narratives" fMRI dataset for evaluating models of naturalistic language comprehension.
Scientific Data 8:250. doi:10.1038/s41597-021-01033-3. OpenNeuro ds002345. github.com/snastase/narratives.
Caucheteux, Gramfort & King (2022). Deep language algorithms predict semantic comprehension from brain activity.
Scientific Reports 12:16327.
"""

import logging
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from brainalign.arrays import Recording, Responses, read_tsv
from brainalign.data import _surfaces
from brainalign.data._bids_query import parse_name
from brainalign.data._content import sha256_of_inputs
from brainalign.data._fmri import Run
from brainalign.data._fmri_targets import (
    Targets,
    content_problems,
    responses_of_person,
    target_files,
    target_problems,
    tr_of,
)
from brainalign.data._manifest import (
    Manifest,
    distinct_subjects,
    load_manifest,
    provenance_of,
    require_folder,
    verified,
)
from brainalign.data._nastase2021 import NAME, PARTICIPANTS, PER_STORY, read_comprehension, stories_heard
from brainalign.data._side_by_side import side_by_side
from brainalign.data._surfaces import N_VERTICES
from brainalign.data._volumes import Image
from brainalign.data._word_alignment import read_gentle, timed_words, words_in_recording
from brainalign.errors import BrainalignError, Misaligned, MissingData, UnknownName

log = logging.getLogger(__name__)

SPACE = "fsaverage6"
CORRECTED_WORD = 0.05  # s, duration of a word whose onset was corrected by hand, as in the code of Caucheteux et al.
MILKYWAY = {f"milkyway{version}": version for version in ("original", "vodka", "synonyms")}
"""The three versions of one story, by the name of their sounds: who heard which is the condition of the listener."""

Story = Literal[
    "21styear", "black", "bronx", "forgot", "lucy", "merlin", "milkywayoriginal", "milkywaysynonyms", "milkywayvodka",
    "notthefallintact", "pieman", "piemanpni", "prettymouth", "shapesphysical", "shapessocial", "sherlock",
    "slumlordreach", "tunnel",
]  # fmt: skip


class Config(Targets):
    """Settings of the data set."""

    stories: tuple[Story, ...] = Field(
        description="each is a run; those with alignments: not the scrambled versions of notthefall, not schema"
    )
    subjects: tuple[str, ...] | Literal["all"] = Field(
        "all", description="listeners, e.g. 'sub-001'; all: everybody who has a scan of every story that is asked for"
    )
    exclude: bool = Field(True, description="leave out the scans that the manifest excludes")
    scan: Literal["first", "second"] = Field(
        "first", description="of those who heard pieman twice, which of the two scans; the other is never used"
    )
    pipeline: Literal["afni-nosmooth", "afni-smooth"] = Field(
        "afni-nosmooth", description="folder of derivatives; afni-smooth: smoothed to 6 mm"
    )
    cut: bool = Field(True, description="keep only the volumes of the story, as the authors do; false: the whole scan")
    alignment: Literal["json", "csv"] = Field(
        "json", description="gentle's align.json (words with the punctuation of the transcript) or align.csv (without)"
    )
    untimed: Literal["interpolate", "leave_out"] = Field(
        "interpolate", description="what becomes of words that gentle did not find; either way they are counted"
    )
    corrected: bool = Field(
        True, description="use the times of first words that Caucheteux et al. corrected by hand (first_word_seconds)"
    )
    sound_onset: dict[str, float] = Field(
        {}, description="story to when its sound begins, s from volume 0, in place of the manifest's"
    )
    late_tolerance: float = Field(
        10.0,
        ge=0,
        description="s after the end of a run at which words may begin: left out and counted; later: error",
    )

    _distinct_subjects = field_validator("subjects")(distinct_subjects)

    @field_validator("stories")
    @classmethod
    def _distinct_stories(cls, stories):
        if not stories or len(set(stories)) != len(stories):
            raise ValueError(f"needs at least one story, and none twice; got {list(stories)}")
        return stories

    @field_validator("sound_onset")
    @classmethod
    def _onsets_of_stories(cls, onsets):
        unknown = sorted(set(onsets) - set(Story.__args__))
        if unknown or not np.isfinite(list(onsets.values())).all():
            raise ValueError(f"needs stories and finite seconds, got {onsets}")
        return onsets


def check(config: Config, data_dir: Path) -> list[str]:
    """List what stands in the way of loading, before any work: listeners without a scan, files absent or empty."""
    try:
        data_dir = require_folder(data_dir)
        scans, _ = chosen_scans(config, read_heard(data_dir))
    except BrainalignError as error:
        return str(error).splitlines()
    return _absent(config, scans, data_dir) + target_problems(config, data_dir)


def load(config: Config, data_dir: Path) -> Recording:
    """Load the words of some stories and the time courses of everybody who heard all of them.

    Returns
    -------
    recording : Recording
        `events`: `run` (the story), `onset`, `duration` (s from the first volume that is kept), `word`, `interpolated`
        (true where the time is between those of the neighbours). `responses`, float32: volume i of a run covers
        [1.5 i, 1.5 i + 1.5) s; columns `subject` ("sub-001"), `target` ("L-17", or a parcel), `hemisphere, vertex`.
        Points that are constant in some scan are left out for everybody. `participants`: `subject`, `age`, `sex` (as at
        the first story), and by story `condition_<story>`, `comprehension_<story>` (0-1, NaN without). Provenance: the
        scans, those left out and why, by story how many words were interpolated or left out, every file's sha256.

    Raises
    ------
    UnknownName
        Somebody is not in the data set.
    MissingData
        A file is absent or a stub; somebody has no scan of a story, or one that is excluded; nobody is left.
    Misaligned
        A recording is too short for its story, has not 40,962 vertices, or another TR; words do not fit.
    """
    data_dir = require_folder(data_dir)
    manifest = load_manifest(NAME)
    heard = read_heard(data_dir)
    scans, left_out = chosen_scans(config, heard)
    if problems := _absent(config, scans, data_dir):
        raise MissingData("\n".join(problems))
    sounds = {
        story: _words_of_sound(config, story, manifest, _alignment_path(config, story, data_dir))
        for story in config.stories
    }
    inputs = {_alignment_path(config, story, data_dir) for story in config.stories} | set(
        target_files(config, data_dir)
    )
    recordings, counts = [], {}
    for subject, of_stories in scans.items():
        runs, tables = {}, []
        for story, scan in of_stories.items():
            paths = surface_paths(config, scan, data_dir)
            run, first, sidecars = _open_scan(config, story, scan, paths, manifest, data_dir)
            runs[story] = run
            words, counted = sounds[story]
            events, inside = words_in_recording(
                words,
                run.source,
                run=story,
                shift=_sound_onset(config, story, manifest) - first * run.tr,
                seconds=run.tr * run.image.n_samples,
                late_tolerance=config.late_tolerance,
            )
            tables.append(events)
            counts[story] = counted | inside
            inputs.update({*paths, *sidecars})
        responses = responses_of_person(runs, config, _surfaces, subject=subject, data_dir=data_dir)
        recordings.append(Recording(pd.concat(tables, ignore_index=True), responses))
    joined = side_by_side(recordings, unusable=config.unusable)
    comprehension = read_comprehension(data_dir)
    shared = shared_among(config, comprehension)
    if shared:
        log.warning("%s: one questionnaire for several stories, one observation of a listener: %s", NAME, shared)
    provenance = {
        "data_set": NAME,
        "config": config.model_dump(mode="json"),
        "files": provenance_of(NAME, [PARTICIPANTS]) | sha256_of_inputs(inputs, root=data_dir),
        "scans": scans,
        "left_out": left_out,
        "words": counts,
        "stories_with_one_questionnaire": shared,
        "sound_onset_seconds": {story: _sound_onset(config, story, manifest) for story in config.stories},
        "subjects": {
            subject: recording.responses.provenance for subject, recording in zip(scans, recordings, strict=True)
        },
    }
    responses = Responses(joined.responses.values, joined.responses.rows, joined.responses.columns, provenance)
    return Recording(joined.events, responses, _participants(config, list(scans), heard, comprehension))


def read_heard(data_dir: Path) -> pd.DataFrame:
    """Read who heard which story; see `_nastase2021.stories_heard`.

    Raises
    ------
    MissingData
        participants.tsv is absent or is not the published one.
    """
    path = verified(NAME, data_dir, PARTICIPANTS)
    return stories_heard(read_tsv(path, dtype=dict.fromkeys(PER_STORY, str), na_values=()), str(path))


def recorded_scans() -> dict[tuple[str, str], list[str]]:
    """Give the scans of the published list: (subject, task) to names such as "sub-001_task-pieman_run-1", in order."""
    scans: dict[tuple[str, str], list[str]] = {}
    for file in load_manifest(NAME).listed:
        name = PurePosixPath(file.path).name
        if name.endswith("_bold.nii.gz"):
            entities = parse_name(PurePosixPath(name)).entities
            key = (f"sub-{entities['sub']}", entities["task"])
            scans.setdefault(key, []).append(name.removesuffix("_bold.nii.gz"))
    return {key: sorted(names) for key, names in scans.items()}


def chosen_scans(config: Config, heard: pd.DataFrame) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Choose the scans: those of everybody, or of those who are named, who heard all the stories.

    Parameters
    ----------
    config : Config
    heard : DataFrame
        From `read_heard`.

    Returns
    -------
    scans : dict
        Subject, sorted, to story, in the order of the settings, to the name of the scan.
    left_out : dict
        Scan that was not used to the reason.

    Raises
    ------
    UnknownName
        Somebody is not in the data set.
    MissingData
        Somebody who is named did not hear a story, or has a scan that is excluded; nobody heard all of them.
    """
    people = sorted(heard["subject"].unique())
    named = config.subjects != "all"
    for subject in config.subjects if named else ():
        if subject not in people:
            raise UnknownName(f"subject of {NAME}", subject, people)
    recorded, left_out, scans = recorded_scans(), {}, {}
    conditions = heard.set_index(["subject", "story"])["condition"].to_dict()
    excluded = load_manifest(NAME).exclusions if config.exclude else {}
    problems = []
    for subject in sorted(config.subjects) if named else people:
        of_stories: dict[str, str] = {}
        for story in config.stories:
            key = (subject, _task(story))
            name = _scan_of(config, story, recorded.get(key, []), conditions.get(key))
            if name is None:
                problems.append(f"{subject}: no scan of {story}")
            elif name in excluded:
                left_out[name] = excluded[name]
                problems.append(f"{name} is excluded: {excluded[name]}; exclude = false takes it")
            else:
                of_stories[story] = name
        if len(of_stories) == len(config.stories):
            scans[subject] = of_stories
    if problems and (named or not scans):
        raise MissingData("\n".join(problems if named else [f"nobody has a scan of all of {list(config.stories)}"]))
    return scans, left_out


def _scan_of(config: Config, story: str, names: list[str], condition: str | None) -> str | None:
    """Choose one of a person's scans of a task; None where there is none, or they heard another version."""
    if not names or condition != MILKYWAY.get(story, condition):
        return None
    return names[0] if config.scan == "first" or len(names) == 1 else names[1]


def _task(story: str) -> str:
    return "milkyway" if story in MILKYWAY else story


def surface_paths(config: Config, scan: str, data_dir: Path) -> tuple[Path, Path]:
    """Give where the two hemispheres of a scan are, left and right."""
    folder = data_dir / NAME / "derivatives" / config.pipeline / scan.split("_")[0] / "func"
    left, right = (folder / f"{scan}_space-{SPACE}_hemi-{side}_desc-clean.func.gii" for side in _surfaces.HEMISPHERES)
    return left, right


def _alignment_path(config: Config, story: str, data_dir: Path) -> Path:
    return data_dir / NAME / "stimuli" / "gentle" / story / f"align.{config.alignment}"


def _absent(config: Config, scans: dict[str, dict[str, str]], data_dir: Path) -> list[str]:
    """List the alignments and hemispheres that are absent or empty, and say where they are got."""
    paths = [_alignment_path(config, story, data_dir) for story in config.stories]
    for of_stories in scans.values():
        for scan in of_stories.values():
            paths += surface_paths(config, scan, data_dir)
    problems = content_problems(paths)
    if problems:
        problems.append(
            f"the word alignments and the derivatives are not in the list that `brainalign fetch {NAME} --include ...` "
            "gets (their digests are not known); get them through DataLad, `datalad install "
            f"///labs/hasson/narratives`, then `datalad get` the paths above, and put them below {data_dir / NAME}"
        )
    return problems


def _sound_onset(config: Config, story: str, manifest: Manifest) -> float:
    return float(config.sound_onset.get(story, manifest.published["sound_onset_seconds"].value[_task(story)]))


def _words_of_sound(config: Config, story: str, manifest: Manifest, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    words = read_gentle(path)
    corrections = manifest.published["first_word_seconds"].value.get(story, []) if config.corrected else []
    for i_word, second in enumerate(corrections):
        words.loc[i_word, ["start", "end"]] = [second, second + CORRECTED_WORD]
    given, counts = timed_words(words, str(path), untimed=config.untimed)
    return given, counts | {"n_corrected": len(corrections)}


def story_volumes(story: str, manifest: Manifest) -> tuple[int, int]:
    """Give the volumes in which a story is heard: the first, and the one after the last."""
    onsets, durations = (manifest.published[name].value for name in ("story_onset_trs", "n_trs"))
    parts = ("slumlord", "reach") if story == "slumlordreach" else (_task(story),)
    return onsets[parts[0]], onsets[parts[-1]] + durations[parts[-1]]


def _open_scan(
    config: Config, story: str, scan: str, paths: tuple[Path, Path], manifest: Manifest, data_dir: Path
) -> tuple[Run, int, list[Path]]:
    """Open a scan, and give the first volume that is kept and the sidecars that state its TR."""
    image = _surfaces.open_run(paths)
    expected = N_VERTICES[SPACE]
    if (image.grid.n_left, image.grid.n_right) != (expected, expected):
        raise Misaligned(
            f"{paths[0]}: {image.grid.n_left} and {image.grid.n_right} vertices, {SPACE} has {expected} per hemisphere"
        )
    first, stop = story_volumes(story, manifest)
    if image.n_samples < stop:
        raise Misaligned(
            f"{paths[0]}: {image.n_samples} volumes, but {story} is heard in volumes {first} to {stop - 1}"
        )
    raw = parse_name(data_dir / NAME / scan.split("_")[0] / "func" / f"{scan}_bold.nii.gz")
    published = manifest.published["tr"].value
    tr, sidecars = tr_of(data_dir / NAME, raw, str(paths[0]), header=None, published=published)
    if not config.cut:
        return Run(image, tr, str(paths[0])), 0, sidecars
    return Run(_cut(image, first, stop), tr, str(paths[0])), first, sidecars


def _cut(image: Image, first: int, stop: int) -> Image:
    """Keep some volumes of an image."""

    def load(index: np.ndarray, smoothing_fwhm: float | None) -> np.ndarray:
        values = image.load(index, smoothing_fwhm)[first:stop]
        values[:, np.ptp(values, axis=0) == 0] = np.nan
        return values

    return Image(image.grid, stop - first, image.header_tr, load)


def shared_among(config: Config, comprehension: pd.DataFrame) -> list[str]:
    """Name the questionnaires, such as "bronx+forgot", that two or more of the stories have in common."""
    tasks = {_task(story) for story in config.stories}
    return sorted(name for name in set(comprehension["questionnaire"]) if len(tasks & set(name.split("+"))) > 1)


def _participants(
    config: Config, subjects: list[str], heard: pd.DataFrame, comprehension: pd.DataFrame
) -> pd.DataFrame:
    scores = comprehension.set_index(["subject", "story"])["score"]
    table = heard.set_index(["subject", "story"])
    rows: list[dict[str, Any]] = []
    for subject in subjects:
        first = table.loc[(subject, _task(config.stories[0]))]
        row = {"subject": subject, "age": pd.to_numeric(first["age"] or "nan", errors="coerce"), "sex": first["sex"]}
        for story in config.stories:
            key = (subject, _task(story))
            row |= {
                f"condition_{story}": table.loc[key, "condition"],
                f"comprehension_{story}": float(scores.get(key, np.nan)),
            }
        rows.append(row)
    return pd.DataFrame(rows)
