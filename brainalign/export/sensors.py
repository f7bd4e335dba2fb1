"""Scores and response functions of sensors as evoked data of mne."""

from pathlib import Path

import mne
import numpy as np
import pandas as pd
from mne.io.constants import FIFF

from brainalign.errors import Misaligned, MissingData
from brainalign.export.choice import ONE_MODEL, of_one_model, of_one_subject, only, places_of, the_only
from brainalign.results import read_table

MEG = ("mag", "grad")
SAME_STEP = 1e-6  # share of the time between two lags by which steps may differ


def evoked_scores(
    folder, *, feature_space=None, weights=None, layer=None, metric=None, subject=None, channel_type=None
):
    """Give the scores of one model at every sensor as evoked data.

    Parameters
    ----------
    folder : path
        Results of an encoding experiment on M/EEG.
    feature_space, weights : str, optional
        The model; without them, the only one there is.
    layer : str, optional
        Without it, the nested choice, or the only layer.
    metric : str, optional
        Without it, that of the experiment.
    subject : str, optional
        Without it, the group mean, or the first subject.
    channel_type : str, optional
        "mag", "grad", "eeg", ...; without it, sensors of all kinds.

    Returns
    -------
    evoked : mne.EvokedArray of shape (n_channels, n_lags)
        Scores (not volt or tesla: plot with `scalings=1`) at the lags of epochs, which are its times; of a continuous
        model, one time point, 0 s. NaN where nothing could be scored. Sensors whose place is not known are in
        `info["bads"]`: mne would draw them on top of the head. Positions are in head coordinates, of MEG too, those of
        the first person who has the sensor; coils have no orientation.

    Raises
    ------
    MissingData
        The run is not finished, or its targets are no sensors.
    UnknownName
        Nothing of this name was scored.
    BrainalignError
        Several models were scored and none was named.

    Examples
    --------
    >>> evoked = evoked_scores("results/mine", feature_space="gpt2", channel_type="eeg")
    >>> evoked.plot_joint(ts_args={"scalings": 1, "units": "r"}, topomap_args={"scalings": 1})
    """
    folder = Path(folder)
    rows = of_one_model(
        folder, feature_space=feature_space, weights=weights, layer=layer, metric=metric, subject=subject
    )
    return _evoked(folder, rows, "score", channel_type=channel_type)


def evoked_functions(
    folder, *, feature_space=None, weights=None, layer=None, unit=None, subject=None, channel_type=None
):
    """Give the response function of one feature at every sensor as evoked data.

    Parameters
    ----------
    folder : path
        Results of an encoding experiment with `align.lags`.
    feature_space, weights, layer, unit : str, optional
        The feature; without them, the only one there is.
    subject, channel_type : str, optional
        As in `evoked_scores`.

    Returns
    -------
    evoked : mne.EvokedArray of shape (n_channels, n_lags)
        Weights of the response (tesla, volt; of the group mean, standard deviations of a subject's responses) per unit
        of the feature; its times are the lags. For the rest, as `evoked_scores`.

    Raises
    ------
    MissingData, UnknownName, BrainalignError
        As `evoked_scores`.
    """
    folder = Path(folder)
    table = only(
        read_table(folder, "response_functions"),
        feature_space=feature_space, weights=weights, layer=layer, unit=unit, subject=subject,
    )  # fmt: skip
    rows = the_only(table, (*ONE_MODEL, "unit"), folder)
    return _evoked(folder, of_one_subject(rows, subject), "weight", channel_type=channel_type)


def _evoked(folder: Path, rows: pd.DataFrame, value: str, *, channel_type: str | None) -> mne.EvokedArray:
    """Put one value per channel and lag into evoked data."""
    places = places_of(folder)
    if places is None or "channel_type" not in places:
        raise MissingData(f"{folder}: its targets are no sensors")
    sensors = rows[["target"]].drop_duplicates().merge(places, on="target", how="left", validate="one_to_one")
    sensors = only(sensors, channel_type=channel_type)
    table = rows.assign(lag=0.0) if "lag" not in rows else rows
    values = table.pivot(index="target", columns="lag", values=value).loc[sensors["target"]]
    first, sfreq = _clock(values.columns.to_numpy(float), folder)
    named = rows.iloc[0][[name for name in ("subject", *ONE_MODEL, "unit", "metric") if name in rows]]
    comment = " ".join(filter(None, map(str, named)))
    return mne.EvokedArray(
        values.to_numpy(float, copy=True), _info(sensors, sfreq), tmin=first, comment=comment, verbose="ERROR"
    )


def _clock(lags: np.ndarray, folder: Path) -> tuple[float, float]:
    """Give the first lag (s) and the sampling rate of lags (Hz); of a single lag, 1."""
    if len(lags) == 1:
        return float(lags[0]), 1.0
    step = (lags[-1] - lags[0]) / (len(lags) - 1)
    if np.abs(np.diff(lags) - step).max() > SAME_STEP * step:
        raise Misaligned(f"{folder}: lags of unequal steps ({lags[:4]} ... s) are no evoked data")
    return float(lags[0]), float(1 / step)


def _info(sensors: pd.DataFrame, sfreq: float) -> mne.Info:
    """Describe sensors: names, kinds and places; those without a place are marked as bad."""
    info = mne.create_info(sensors["target"].tolist(), sfreq, sensors["channel_type"].tolist(), verbose="ERROR")
    positions = sensors[["x", "y", "z"]].to_numpy(float) if "x" in sensors else np.full((len(sensors), 3), np.nan)
    is_meg = sensors["channel_type"].isin(MEG).to_numpy()
    with info._unlock():
        for channel, position, of_helmet in zip(info["chs"], positions, is_meg, strict=True):
            channel["loc"][:3] = position
            channel["coord_frame"] = FIFF.FIFFV_COORD_DEVICE if of_helmet else FIFF.FIFFV_COORD_HEAD
        if is_meg.any():  # positions are in head coordinates already, and mne takes those of MEG for the device's
            info["dev_head_t"] = mne.transforms.Transform("meg", "head")
    known = np.isfinite(positions).all(axis=1)
    info["bads"] = sensors.loc[~known, "target"].tolist() if known.any() else []
    return info
