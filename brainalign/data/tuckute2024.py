"""fMRI of the left language network for 1,000 sentences, mean of five participants.

References
----------
Tuckute, Sathe, Srikant, Taliaferro, Wang, Schrimpf, Kay & Fedorenko (2024). Driving and suppressing the human language
network using large language models. Nature Human Behaviour 8:544-561. doi:10.1038/s41562-023-01783-7
"""

import csv
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.arrays import Recording, Responses
from brainalign.data._events import check_events
from brainalign.data._manifest import check_files, load_manifest, provenance_of, require_folder, verified_files
from brainalign.errors import MissingData

NAME = "tuckute2024"
RESPONSES = "bold_response_LH.csv"
PREFIX = "lang_LH_"

Roi = Literal["netw", "PostTemp", "MFG", "AntTemp", "IFG", "IFGorb"]
ROIS: tuple[Roi, ...] = ("netw", "PostTemp", "MFG", "AntTemp", "IFG", "IFGorb")


class Config(BaseModel):
    """Settings of the data set."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rois: tuple[Roi, ...] | Literal["all"] = Field(
        ROIS, description="netw: the left language network, then its five parts; all: the six of them"
    )

    @field_validator("rois")
    @classmethod
    def _distinct(cls, rois):
        if rois != "all" and (not rois or len(set(rois)) != len(rois)):
            raise ValueError(f"needs at least one region, and none twice; got {list(rois)}")
        return rois


def check(config: Config, data_dir: Path) -> list[str]:  # noqa: ARG001 - every setting needs the same file
    """List what stands in the way of loading, before any work."""
    try:
        return check_files(NAME, require_folder(data_dir), [RESPONSES])
    except MissingData as error:
        return [str(error)]


def load(config: Config, data_dir: Path) -> Recording:
    """Load the sentences and the responses of the language network.

    There is one value per sentence and no clock, so the order in the file stands for one: sentence i has onset i and
    duration 1. Use one sample per event, and no delays.

    Returns
    -------
    recording : Recording
        `events`: run "1", `onset`, `duration`, `sentence`, `item_id`. `responses` (1000, n_rois): rows with `event`;
        columns `subject` "mean", `target` (region), `n_subjects`, `noise_ceiling` in r, `ceiling_kind`.
        The published ceiling, from the manifest, is nc = sqrt(ncsnr^2 / (ncsnr^2 + 1 / n_subjects)): what a perfect
        model of the noise-free response would reach on the mean of the five participants.

    Raises
    ------
    MissingData
        A file is absent, is not the published one, or has other columns.
    """
    files = verified_files(NAME, require_folder(data_dir), [RESPONSES])
    rois = list(ROIS if config.rois == "all" else config.rois)
    table = _read_csv(files[RESPONSES], ["item_id", "sentence", *(PREFIX + roi for roi in rois)])
    facts = load_manifest(NAME).facts
    index = np.arange(len(table))
    events = table[["sentence", "item_id"]].assign(run="1", onset=index.astype(float), duration=1.0)
    rows = pd.DataFrame({"run": "1", "time": index.astype(float), "duration": 1.0, "event": index})
    columns = pd.DataFrame(
        {
            "subject": "mean",
            "target": rois,
            "n_subjects": facts["n_participants"],
            "noise_ceiling": [facts["noise_ceiling_r"][roi] for roi in rois],
            "ceiling_kind": "published ncsnr",
        }
    )
    values = table[[PREFIX + roi for roi in rois]].astype(float).to_numpy()
    if not np.isfinite(values).all():
        raise MissingData(f"{files[RESPONSES]}: {np.sum(~np.isfinite(values))} responses are not finite")
    provenance = {"data_set": NAME, "config": config.model_dump(mode="json"), "files": provenance_of(NAME, files)}
    return Recording(check_events(events, str(files[RESPONSES])), Responses(values, rows, columns, provenance))


def _read_csv(path: Path, required: list[str]) -> pd.DataFrame:
    """Read a comma-separated table as text, so that no sentence is taken for a number or for missing."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    missing = [name for name in required if name not in header]
    if missing:
        raise MissingData(f"{path}: column {missing} missing, the columns are {header}")
    for i_row, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise MissingData(f"{path}, record {i_row}: {len(row)} cells, the header has {len(header)}")
    return pd.DataFrame(rows, columns=header, dtype=str)
