"""What fMRI data sets with loaders of their own share: settings of targets and cleaning, the TR, files looked for."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from brainalign.arrays import Responses, read_tsv
from brainalign.data._bids_fmri import choose_points
from brainalign.data._bids_query import BidsFile, metadata_of
from brainalign.data._content import require_content
from brainalign.data._fmri import Cleaning, Run, responses_of_runs
from brainalign.data._repetition_time import agreed_tr
from brainalign.errors import BrainalignError, Misaligned, MissingData


class Targets(BaseModel):
    """Which points of a surface or of volumes are targets; paths are absolute or below the data folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    mask: str = Field("", description="path of a mask; surfaces: with '{hemi}' for L and R; '': every point")
    parcels: str = Field("", description="path of an atlas of labels, in place of a mask; surfaces: with '{hemi}'")
    parcel_names: str = Field("", description="TSV with columns index, name of the labels of the atlas")
    rois: dict[str, str] = Field({}, description="region to the path of its mask, in place of a mask")
    average: bool = Field(True, description="means of parcels or rois before fitting; else all their points")
    unusable: Literal["refuse", "leave_out"] = Field(
        "leave_out", description="what becomes of points that are constant or not finite in some run or person"
    )
    drift_order: int = Field(-1, ge=-1, le=20, description="degree of the polynomial removed per run; -1: none")
    high_pass: float | None = Field(None, gt=0, description="cosines up to this frequency are removed per run, Hz")
    standardise: bool = Field(False, description="give each target mean 0 and deviation 1 in each run")

    @model_validator(mode="after")
    def _one_choice(self):
        """Refuse several choices of targets at once."""
        if sum(map(bool, (self.mask, self.parcels, self.rois))) > 1:
            raise ValueError("choose one of mask, parcels and rois")
        if self.parcel_names and not self.parcels:
            raise ValueError("parcel_names has no meaning without parcels")
        return self


class VolumeTargets(Targets):
    """Targets of volumes."""

    resample: bool = Field(False, description="bring masks and atlases with another affine onto the recording's grid")
    smoothing_fwhm: float | None = Field(None, gt=0, description="Gaussian kernel, mm")


def target_files(targets: Targets, data_dir: Path) -> list[Path]:
    """Give every file that the settings name."""
    files = []
    for text in (*filter(None, (targets.mask, targets.parcels)), *targets.rois.values()):
        path = _below(data_dir, text)
        sides = {"lh", "rh"} if path.suffix == ".annot" else {"L", "R"}
        files += sorted({Path(str(path).replace("{hemi}", side)) for side in sides})
    return files + ([_below(data_dir, targets.parcel_names)] if targets.parcel_names else [])


def target_problems(targets: Targets, data_dir: Path) -> list[str]:
    """List the files that the settings name and that are absent or empty."""
    return content_problems(target_files(targets, data_dir))


def content_problems(paths: list[Path]) -> list[str]:
    """List files that are absent or empty."""
    problems = []
    for path in paths:
        try:
            require_content(path)
        except BrainalignError as error:
            problems.append(str(error))
    return problems


def responses_of_person(
    runs: Mapping[str, Run], targets: Targets, geometry: ModuleType, *, subject: str, data_dir: Path
) -> Responses:
    """Load, average and clean the runs of one person.

    Parameters
    ----------
    runs : dict
        Name of the run to the run.
    targets : Targets
    geometry : module of `_bids_fmri.GEOMETRIES`
    subject : str
    data_dir : Path
        What the paths of the settings are relative to.

    Returns
    -------
    responses : Responses
        See `_fmri.responses_of_runs`.

    Raises
    ------
    MissingData, Misaligned
        A file of the settings cannot be read or is on another grid; runs differ in grid or TR.
    """
    resample = isinstance(targets, VolumeTargets) and targets.resample
    smoothing = targets.smoothing_fwhm if isinstance(targets, VolumeTargets) else None
    points = choose_points(
        next(iter(runs.values())).image,
        geometry,
        whole=None,
        mask=_below(data_dir, targets.mask) if targets.mask else None,
        parcels=_below(data_dir, targets.parcels) if targets.parcels else None,
        names=_parcel_names(targets, data_dir),
        rois={name: _below(data_dir, text) for name, text in targets.rois.items()},
        resample=resample,
    )
    cleaning = Cleaning(smoothing, targets.average, targets.drift_order, targets.high_pass, targets.standardise)
    return responses_of_runs(runs, points, subject=subject, cleaning=cleaning, unusable=targets.unusable)


def tr_of(
    root: Path, file: BidsFile, source: str, *, header: tuple[float, str] | None, published: float
) -> tuple[float, list[Path]]:
    """Give the TR (s) that the header, the sidecars and the publication agree on, and the sidecars.

    Parameters
    ----------
    root : Path
        Top of the BIDS folder.
    file : BidsFile
        The raw recording, whose sidecars count; it need not be there itself.
    source : str
        What was opened, for the errors.
    header : tuple of float and str, optional
        As `_repetition_time.stated_in_header` gives it.
    published : float
        s.

    Raises
    ------
    Misaligned
        They differ, or a sidecar's RepetitionTime is no number.
    MissingData
        A sidecar is not JSON.
    """
    metadata, sidecars = metadata_of(root, file)
    stated = metadata.get("RepetitionTime")
    if stated is not None and not isinstance(stated, int | float):
        raise Misaligned(f"{source}: RepetitionTime of its sidecar is {stated!r}, expected seconds")
    return agreed_tr(source, header=header, sidecar=stated, setting=published), sidecars


def _below(data_dir: Path, text: str) -> Path:
    return data_dir / Path(text).expanduser()


def _parcel_names(targets: Targets, data_dir: Path) -> dict[int, str]:
    if not targets.parcel_names:
        return {}
    path = _below(data_dir, targets.parcel_names)
    table = read_tsv(path, dtype={"name": str})
    if not {"index", "name"} <= set(table):
        raise MissingData(f"{path}: columns index and name are needed, the columns are {list(table)}")
    return {int(index): str(name) for index, name in zip(table["index"], table["name"], strict=True)}
