"""Any BIDS folder: MEG and EEG by channels, fMRI (raw, or as fMRIPrep left it) by voxels, vertices, parcels or regions.

Files are chosen by their entities. Every run is read, filtered and cleaned by itself. Events come from events.tsv.

References
----------
Gorgolewski et al. (2016). The brain imaging data structure. Scientific Data 3:160044. doi:10.1038/sdata.2016.44
Niso et al. (2018). MEG-BIDS. Scientific Data 5:180110. doi:10.1038/sdata.2018.110
Pernet et al. (2019). EEG-BIDS. Scientific Data 6:103. doi:10.1038/s41597-019-0104-8
Esteban et al. (2019). fMRIPrep. Nature Methods 16:111-116. doi:10.1038/s41592-018-0235-4
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from brainalign.arrays import Recording, Responses, read_tsv
from brainalign.data import _bids_fmri, _bids_meeg, _bids_spatial
from brainalign.data._bids_events import read_run_events
from brainalign.data._bids_query import BidsFile, Query, chosen_from, find_runs, participants_of, sidecars
from brainalign.data._clock_drift import clock_drift
from brainalign.data._content import require_content, sha256_of_inputs
from brainalign.data._events import check_events
from brainalign.data._fmri import Cleaning, Run, responses_of_runs
from brainalign.data._manifest import distinct_subjects
from brainalign.data._meeg import join_runs, samples_of_prepared
from brainalign.data._preparation import Preparation, prepare_raw
from brainalign.data._side_by_side import STIMULI, side_by_side
from brainalign.data._sources import Sources
from brainalign.data._whitening import EMPTY_ROOM, Noise
from brainalign.errors import BrainalignError, Misaligned, MissingData

log = logging.getLogger(__name__)

NAME = "bids"
CITATION = "a BIDS folder, to be cited as its authors ask in dataset_description.json"
FUNC = "func"
LABEL = r"^[A-Za-z0-9+]+$"
WHOLE = "whole"

Labels = tuple[str, ...] | Literal["all"]
Strategy = Literal["motion", "high_pass", "wm_csf", "global_signal", "compcor", "ica_aroma", "scrub"]
Option = Literal[
    "motion", "wm_csf", "global_signal", "compcor", "n_compcor", "ica_aroma", "scrub", "fd_threshold",
    "std_dvars_threshold",
]  # fmt: skip

OF_MEEG = (
    "picks", "projectors", "reference", "notch", "l_freq", "h_freq", "sfreq", "noise", "whiten", "sources",
)  # fmt: skip
OF_FMRI = (
    "space",
    "geometry",
    "tr",
    "mask",
    "parcels",
    "parcel_names",
    "rois",
    "average",
    "resample",
    "smoothing_fwhm",
    "confounds",
    "confound_options",
    "drift_order",
    "high_pass",
    "standardise",
)


class Config(BaseModel):
    """Settings of the recordings of a BIDS folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    root: str = Field(min_length=1, description="top of the BIDS folder; relative paths are below the data folder")
    datatype: Literal["meg", "eeg", "ieeg", "func"] = Field(description="func: fMRI")
    derivatives: str = Field(
        "",
        description="folder with the processed recordings, below root, e.g. 'derivatives/fmriprep'; '': the raw ones",
    )
    subjects: Labels = Field(
        "all", description="labels, e.g. '01'; several need the same events and samples; all: everybody there is"
    )
    sessions: Labels = Field("all", description="labels of sessions")
    tasks: Labels = Field("all", description="labels of tasks")
    runs: Labels = Field("all", description="numbers of runs, e.g. '1', which is '01', too")
    entities: dict[str, str] = Field(
        {}, description="more of the file names, e.g. {acq = 'mb'}; '': without the entity"
    )
    absent: Literal["refuse", "skip"] = Field("refuse", description="what becomes of people without such a recording")
    unusable: Literal["refuse", "leave_out"] = Field(
        "refuse", description="what becomes of channels, voxels and vertices without a signal in some run or person"
    )

    columns: dict[str, str] = Field(
        {}, description="names here of columns of events.tsv, e.g. {word = 'value', image = 'stim_file'}"
    )
    keep: dict[str, tuple[str, ...]] = Field(
        {}, description="cells of columns of events.tsv that are kept, e.g. {trial_type = ['word']}; else all rows are"
    )
    stimuli: str = Field("stimuli", description="folder below root that the files named in image, audio, video are in")
    onset_tolerance: float = Field(
        0.001, ge=0, description="s by which events of several people may differ; those of the first count"
    )

    picks: tuple[str, ...] = Field((), description="M/EEG: channel types, e.g. 'mag'; none named: all of the datatype")
    projectors: bool = Field(False, description="M/EEG: apply the projectors of the file")
    reference: Literal["average"] | tuple[str, ...] = Field(
        (), description="M/EEG: names of channels whose mean electrodes are referenced to; average: all usable ones"
    )
    notch: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (), description="M/EEG: frequencies taken out, Hz, e.g. 50, 100"
    )
    l_freq: float | None = Field(None, gt=0, description="M/EEG: lower edge of the band that is passed, Hz")
    h_freq: float | None = Field(None, gt=0, description="M/EEG: upper edge of the band that is passed, Hz")
    sfreq: float | None = Field(None, gt=0, description="M/EEG: resample every run to this rate, Hz")

    noise: Noise | None = Field(None, description="M/EEG: noise covariance, for whiten and sources")
    whiten: bool = Field(False, description="M/EEG: whiten the channels by the noise")
    sources: Sources | None = Field(None, description="M/EEG: estimate sources in the brain, which are the targets")

    space: str = Field("", description="fMRI: the space entity, e.g. 'MNI152NLin2009cAsym', 'fsaverage5'; '': without")
    geometry: Literal["volume", "surface", "cifti"] = Field(
        "volume", description="fMRI: NIfTI volumes, GIFTI of both hemispheres, or CIFTI dense time series"
    )
    tr: float | None = Field(
        None, gt=0, description="fMRI: time between volumes, s; must agree with header and sidecar"
    )
    mask: str = Field(
        WHOLE,
        description="fMRI: path of a mask; whole: what the brain masks of all runs share, or the whole surface",
    )
    parcels: str = Field("", description="fMRI: path of an atlas of labels, in place of a mask")
    parcel_names: str = Field("", description="fMRI: TSV with columns index, name of the labels of the atlas")
    rois: dict[str, str] = Field({}, description="fMRI: region to the path of its mask, in place of a mask")
    average: bool = Field(True, description="fMRI: means of parcels or rois before fitting; else all their points")
    resample: bool = Field(False, description="fMRI: bring masks and atlases with another affine onto the recording's")
    smoothing_fwhm: float | None = Field(None, gt=0, description="fMRI: Gaussian kernel on volumes, mm")
    confounds: tuple[Strategy, ...] = Field(
        (), description="fMRI: strategies of nilearn's load_confounds, regressed out of each run"
    )
    confound_options: dict[Option, str | int | float] = Field(
        {}, description="fMRI: its other arguments, e.g. {motion = 'basic'}"
    )
    drift_order: int = Field(-1, ge=-1, le=20, description="fMRI: degree of the polynomial removed per run; -1: none")
    high_pass: float | None = Field(
        None, gt=0, description="fMRI: cosines up to this frequency are regressed out of each run, Hz"
    )
    standardise: bool = Field(False, description="fMRI: give each target mean 0 and deviation 1 in each run")

    _distinct_subjects = field_validator("subjects")(distinct_subjects)

    @field_validator("subjects", "sessions", "tasks", "runs")
    @classmethod
    def _are_labels(cls, labels):
        """Refuse what is no label, so that no path leads out of the folder."""
        if labels == "all":
            return labels
        if wrong := [label for label in labels if not (label.isalnum() and label.isascii())]:
            raise ValueError(f"labels are letters and digits, without the entity's name; got {wrong}")
        if not labels:
            raise ValueError("needs at least one label")
        return labels

    @model_validator(mode="after")
    def _of_its_datatype(self):
        """Refuse settings that have no meaning together."""
        foreign = OF_MEEG if self.datatype == FUNC else OF_FMRI
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        if meaningless := [name for name in foreign if getattr(self, name) != defaults[name]]:
            raise ValueError(f"{meaningless} have no meaning with datatype = {self.datatype!r}")
        if sum(map(bool, (self.mask != WHOLE, self.parcels, self.rois))) > 1:
            raise ValueError("choose one of mask, parcels and rois")
        if self.smoothing_fwhm and self.geometry != "volume":
            raise ValueError("smoothing_fwhm has a meaning for volumes only")
        if self.parcel_names and not self.parcels:
            raise ValueError("parcel_names has no meaning without parcels")
        if {"run", "_line"} & set(self.columns):
            raise ValueError("columns: the runs are those of the file names")
        return self

    @model_validator(mode="after")
    def _of_the_noise(self):
        """Refuse noise that nothing needs, and what needs noise without it."""
        if self.whiten and self.sources:
            raise ValueError("whiten has no meaning with sources, whose estimate whitens")
        needed = self.whiten or bool(self.sources and self.sources.forward)
        if needed and self.noise is None:
            raise ValueError("whiten, and sources of a forward model, need the table noise")
        if self.noise and not needed:
            raise ValueError("noise has no meaning without whiten, or sources of a forward model")
        if self.noise and self.noise.source == EMPTY_ROOM and self.datatype != "meg":
            raise ValueError(f"noise of an {EMPTY_ROOM} is of MEG only")
        return self

    @property
    def preparation(self) -> Preparation:
        """What is done to the channels of every run of M/EEG."""
        names = ("picks", "projectors", "reference", "notch", "l_freq", "h_freq", "sfreq")
        return Preparation(**{name: getattr(self, name) for name in names})


def check(config: Config, data_dir: Path | None) -> list[str]:
    """List what stands in the way of loading, before any work: people, files, events, and headers of M/EEG."""
    try:
        root = _root(config, data_dir)
        subjects = chosen_from(root, config.subjects)
    except BrainalignError as error:
        return [str(error)]
    problems: list[str] = []
    found = {subject: _attempt(problems, lambda s=subject: _files(config, root, s)) for subject in subjects}
    if config.absent == "skip" and any(found.values()):
        problems.clear()
    for files in filter(None, found.values()):
        for run, parts in files.items():
            for part in parts:
                _attempt(problems, lambda part=part: _require_recording(config, root, part))
            _attempt(problems, lambda run=run, parts=parts: _events(config, root, run, parts[0]))
    for path in _named_paths(config, root, [subject for subject, files in found.items() if files]):
        _attempt(problems, lambda path=path: require_content(path))
    return problems


def load(config: Config, data_dir: Path | None) -> Recording:
    """Load the recordings of some or all people, side by side.

    Parameters
    ----------
    config : Config
    data_dir : Path, optional
        What `config.root` is relative to.

    Returns
    -------
    recording : Recording
        `events`: `run` ("ses-1_task-story_run-2", what the file name has of these), `onset`, `duration` (s from the
        first sample) and the columns of events.tsv. `responses`, float32: columns `subject`, `target`.

        - M/EEG: a row per sample of `1 / sfreq` s, `bad` where a span is marked as bad; targets are channels in tesla,
          tesla per metre or volt (in standard deviations of the noise where they are whitened), with `channel_type`,
          `x, y, z` (m, head coordinates). Channels that are marked as bad in all runs are left out. What is done to
          them, in this order: bad channels out, projectors, reference, notch, band-pass, resampling, whitening. Filters
          see one run, and one side of a joint or of a gap in the acquisition, at a time. With `sources` the targets are
          vertices with `hemisphere, vertex`, places in a volume, or labels with `hemisphere, n_points`.
        - fMRI: a row per volume, `bad` where nilearn leaves the volume out (before the steady state, or scrubbed);
          targets are regions, with `n_points`, or points: voxels with `i, j, k`, vertices with `hemisphere, vertex`,
          and `roi` where there are regions.

        `participants`: `subject` and the columns of participants.tsv. Provenance: the settings, what was done in which
        order, the sha256 of every file that was read, and by person and run what was left out.

    Raises
    ------
    UnknownName
        A subject or a channel type is not there.
    MissingData
        A file is absent, a stub, cut, or cannot be read; two files match one run; somebody has no such recording.
    Misaligned
        Runs, people, events, clocks or grids do not fit together.
    """
    root = _root(config, data_dir)
    subjects = chosen_from(root, config.subjects)
    problems: list[str] = []
    found = {subject: _attempt(problems, lambda s=subject: _files(config, root, s)) for subject in subjects}
    files = {subject: runs for subject, runs in found.items() if runs}
    if problems and (config.absent == "refuse" or not files):
        raise MissingData("\n".join([*problems, *(["absent = 'skip' leaves them out"] * bool(files))]))
    for problem in problems:
        log.warning("left out: %s", problem)
    inputs: set[Path] = set()
    recordings = list((_fmri if config.datatype == FUNC else _meeg)(config, root, files, inputs))
    joined = side_by_side(
        recordings,
        onset_tolerance=config.onset_tolerance,
        unusable=config.unusable,
        stimuli=(*STIMULI, *config.columns),
    )
    provenance = {
        "data_set": NAME,
        "config": config.model_dump(mode="json"),
        "software": {name: version(name) for name in ("mne", "mne-bids", "nibabel", "nilearn")},
        "files": sha256_of_inputs(inputs, root=root),
        "processing": _processing(config),
        "skipped": sorted(set(subjects) - set(files)),
        "subjects": {
            subject: recording.responses.provenance for subject, recording in zip(files, recordings, strict=True)
        },
        "largest_onset_difference": joined.responses.provenance.get("largest_onset_difference", 0.0),
    }
    responses = Responses(joined.responses.values, joined.responses.rows, joined.responses.columns, provenance)
    return Recording(joined.events, responses, _participants(root, list(files)))


def _root(config: Config, data_dir: Path | None) -> Path:
    """Give the top of the BIDS folder.

    Raises
    ------
    MissingData
        It is not there, or is relative and no data folder was named.
    """
    root = Path(config.root).expanduser()
    if not root.is_absolute():
        if data_dir is None:
            raise MissingData(f"{config.root}: relative to the data folder, and none was named; use --data-dir")
        root = Path(data_dir) / root
    if not root.is_dir():
        raise MissingData(f"{root}: no such folder; `root` is the top of a BIDS data set")
    return root.resolve()


def _source(config: Config, root: Path) -> Path:
    """Give the folder in which the recordings lie."""
    return root / config.derivatives if config.derivatives else root


def _query(config: Config) -> Query:
    chosen = {"ses": config.sessions, "task": config.tasks, "run": config.runs}
    among = {name: labels for name, labels in chosen.items() if labels != "all"}
    if config.datatype == FUNC:
        extensions = _bids_fmri.GEOMETRIES[config.geometry].EXTENSIONS
        return Query(FUNC, "bold", extensions, among, {"space": config.space} | config.entities)
    return Query(config.datatype, config.datatype, _bids_meeg.EXTENSIONS[config.datatype], among, config.entities)


def _files(config: Config, root: Path, subject: str) -> dict[str, tuple[BidsFile, ...]]:
    """Give the recordings of a person: run to its file, or to one per hemisphere."""
    source, query = _source(config, root), _query(config)
    if config.datatype == FUNC:
        return _bids_fmri.find_images(source, subject, query, _bids_fmri.GEOMETRIES[config.geometry])
    return {run: (file,) for run, file in find_runs(source, subject, query).items()}


def _require_recording(config: Config, root: Path, file: BidsFile) -> None:
    if config.datatype == FUNC:
        require_content(file.path)
    else:
        _bids_meeg.require_header(_source(config, root), file)


def _events(config: Config, root: Path, run: str, file: BidsFile) -> tuple[pd.DataFrame, Path]:
    """Read the events of a run from the nearest events.tsv of the raw folder that applies to it."""
    tables = sidecars(root, file, "events", ".tsv")
    if not tables:
        raise MissingData(f"{file.path}: no events.tsv applies to it below {root}")
    events = read_run_events(
        tables[-1], run=run, rename=config.columns, keep=config.keep, stimuli=root / config.stimuli
    )
    return events, tables[-1]


def _recorded_events(events: pd.DataFrame, table: Path, seconds: float) -> pd.DataFrame:
    """Refuse events beyond the recording."""
    return check_events(events, str(table), recorded=seconds)


def _meeg(
    config: Config, root: Path, files: dict[str, dict[str, tuple[BidsFile, ...]]], inputs: set[Path]
) -> Iterator[Recording]:
    """Load person by person, one run at a time: read and prepare; then whiten or estimate; then channels by name."""
    source, in_space = _source(config, root), config.whiten or config.sources is not None
    for subject, of_subject in files.items():
        runs, tables, clocks = {}, {}, {}
        for run, (file,) in of_subject.items():
            inputs.update(_bids_meeg.inputs_of(file))
            events, table = _events(config, root, run, file)
            raw = _bids_meeg.read_raw(source, file)
            tables[run] = _recorded_events(events, table, raw.n_times / raw.info["sfreq"])
            clocks[run] = clock_drift(tables[run], raw.info["sfreq"], str(table))
            picks = config.picks or _bids_meeg.types_of(raw, config.datatype)
            prepared = prepare_raw(raw, str(file.path), replace(config.preparation, picks=picks))
            runs[run] = prepared if in_space else samples_of_prepared(prepared)
            inputs.update({table, *_bids_meeg.sidecars_of(source, file), *map(Path, filter(None, raw.filenames))})
        more = {"clocks": told} if (told := {run: clock for run, clock in clocks.items() if clock}) else {}
        if in_space:
            person = _bids_spatial.Person(root, source, subject, {run: file for run, (file,) in of_subject.items()})
            runs, spatial, read = _bids_spatial.filtered_runs(
                person,
                runs,
                tables,
                noise=config.noise,
                sources=config.sources,
                preparation=config.preparation,
                unusable=config.unusable,
            )
            inputs.update(read)
            more |= {"sources" if config.sources else "noise": spatial.provenance}
        responses = join_runs(runs, subject=subject, unusable=config.unusable)
        responses = replace(responses, provenance=responses.provenance | more)
        yield Recording(pd.concat(tables.values(), ignore_index=True), responses)


def _fmri(
    config: Config, root: Path, files: dict[str, dict[str, tuple[BidsFile, ...]]], inputs: set[Path]
) -> Iterator[Recording]:
    """Load person by person: choose the points, then average, regress and standardise run by run."""
    source, geometry = _source(config, root), _bids_fmri.GEOMETRIES[config.geometry]
    averaged = bool(config.average and (config.parcels or config.rois))
    cleaning = Cleaning(config.smoothing_fwhm, averaged, config.drift_order, config.high_pass, config.standardise)
    whole, grid = _brain(config, source, files, inputs), None
    for subject, of_subject in files.items():
        runs: dict[str, Run] = {}
        tables = []
        for run, parts in of_subject.items():
            events, table = _events(config, root, run, parts[0])
            runs[run], more = _bids_fmri.open_run(
                source, parts, geometry, tr=config.tr, confounds=config.confounds, options=config.confound_options
            )
            tables.append(_recorded_events(events, table, runs[run].tr * runs[run].image.n_samples))
            inputs.update({table, *more, *(part.path for part in parts)})
        image = next(iter(runs.values())).image
        grid = grid or image.grid
        differs = None if averaged else grid.difference(image.grid)
        if differs:
            raise Misaligned(
                f"subject {subject} is on another grid than {next(iter(files))}: {differs}; average over regions, "
                "choose one person, or bring them into one space"
            )
        points = _bids_fmri.choose_points(
            image,
            geometry,
            whole=whole,
            resample=config.resample,
            names=_parcel_names(config, root),
            **_paths(config, root, subject),
        )
        inputs.update(_named_paths(config, root, [subject]))
        responses = responses_of_runs(runs, points, subject=subject, cleaning=cleaning, unusable=config.unusable)
        yield Recording(pd.concat(tables, ignore_index=True), responses)


def _brain(
    config: Config, source: Path, files: dict[str, dict[str, tuple[BidsFile, ...]]], inputs: set[Path]
) -> np.ndarray | None:
    """Intersect the brain masks of all runs of all people, where the settings name nothing else; (n_voxels,)."""
    if config.geometry != "volume" or config.mask != WHOLE or config.parcels or config.rois:
        return None
    first = next(iter(next(iter(files.values())).values()))
    grid = _bids_fmri.GEOMETRIES[config.geometry].open_run((first[0].path,)).grid
    inside = np.ones(grid.size, dtype=bool)
    for of_subject in files.values():
        of_person, masks = _bids_fmri.brain_mask(source, of_subject, grid)
        inside &= of_person
        inputs.update(masks)
    log.info("%d voxels are in the brain masks of everybody", inside.sum())
    return inside


def _paths(config: Config, root: Path, subject: str) -> dict[str, Any]:
    """Give the masks and atlases of a person; "{subject}" in a path stands for the label."""

    def path_of(text: str) -> Path:
        return root / Path(text.replace("{subject}", subject)).expanduser()

    return {
        "mask": None if config.mask == WHOLE else path_of(config.mask),
        "parcels": path_of(config.parcels) if config.parcels else None,
        "rois": {name: path_of(text) for name, text in config.rois.items()},
    }


def _named_paths(config: Config, root: Path, subjects: list[str]) -> Iterator[Path]:
    """Give every file that the settings name."""
    for subject in subjects:
        yield from _bids_spatial.named_paths(root, subject, config.noise, config.sources)
        paths = _paths(config, root, subject)
        for path in (*filter(None, (paths["mask"], paths["parcels"])), *paths["rois"].values()):
            sides = {"L": "lh", "R": "rh"} if path.suffix == ".annot" else {"L": "L", "R": "R"}
            yield from {Path(str(path).replace("{hemi}", side)) for side in sides.values()}
    if config.parcel_names:
        yield root / config.parcel_names


def _parcel_names(config: Config, root: Path) -> dict[int, str]:
    if not config.parcel_names:
        return {}
    path = root / config.parcel_names
    table = read_tsv(path, dtype={"name": str})
    if not {"index", "name"} <= set(table):
        raise MissingData(f"{path}: columns index and name are needed, the columns are {list(table)}")
    return {int(index): str(name) for index, name in zip(table["index"], table["name"], strict=True)}


def _participants(root: Path, subjects: list[str]) -> pd.DataFrame:
    known = participants_of(root)
    return pd.DataFrame([{"subject": subject, **known.get(subject, {})} for subject in subjects])


def _processing(config: Config) -> list[str]:
    """Say in which order what was done, for the method section."""
    if config.datatype != FUNC:
        return [*config.preparation.steps, *_bids_spatial.steps(config.noise, config.sources)]
    regressed = [
        *([f"a polynomial of degree {config.drift_order}"] if config.drift_order >= 0 else []),
        *([f"cosines up to {config.high_pass:g} Hz"] if config.high_pass else []),
        *([f"confounds {', '.join(config.confounds)} {config.confound_options}"] if config.confounds else []),
    ]
    means = config.average and (config.parcels or config.rois)
    return [
        f"smoothed, {config.smoothing_fwhm:g} mm FWHM" if config.smoothing_fwhm else "not smoothed",
        "means over the points of each region, before fitting" if means else "every point is a target",
        f"regressed out of each run in one fit: {'; '.join(regressed)}" if regressed else "nothing regressed out",
        "each target standardised in each run" if config.standardise else "not standardised",
    ]


def _attempt(problems: list[str], step: Callable[[], Any]) -> Any:
    """Do a step, and note what is wrong in place of raising it."""
    try:
        return step()
    except BrainalignError as error:
        problems.append(str(error))
        return None
