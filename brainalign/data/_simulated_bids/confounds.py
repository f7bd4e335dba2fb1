"""The table of confounds of a run, as fMRIPrep names and computes it."""

from typing import Any

import numpy as np
import pandas as pd

from brainalign.data._simulated_bids.bold import MOVEMENTS, Disturbance

HEAD_RADIUS = 50.0  # mm, at which a rotation becomes a displacement
CUTOFF = 128.0  # s, shortest period of what the cosines remove
N_COMPONENTS = 5


def confounds_of(
    disturbance: Disturbance, percent: np.ndarray, *, tr: float
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Give the confounds of a run and the descriptions of its components.

    Parameters
    ----------
    disturbance : Disturbance
    percent : array of shape (n_volumes, n_voxels)
        The recording, % of the baseline.
    tr : float
        Seconds.

    Returns
    -------
    table : DataFrame of n_volumes rows
        `global_signal`, `csf`, `white_matter` and the six movements, each with `_derivative1`, `_power2` and
        `_derivative1_power2`; `dvars`, `std_dvars`, `framewise_displacement` (mm); `a_comp_cor_00` to `_04`; `cosine00`
        on. Changes from volume to volume are missing in the first row.
    descriptions : dict
        Of the components, as in fMRIPrep's JSON.

    References
    ----------
    Power et al. (2012), NeuroImage 59:2142, framewise displacement and DVARS. Behzadi et al. (2007), NeuroImage 37:90,
    the components.
    """
    series = {"global_signal": percent.mean(axis=1)} | {
        name: column.to_numpy() for name, column in {**disturbance.physiology, **disturbance.movements}.items()
    }
    columns = {}
    for name, values in series.items():
        change = _change(values)
        columns |= {name: values, f"{name}_derivative1": change}
        columns |= {f"{name}_power2": values**2, f"{name}_derivative1_power2": change**2}
    dvars = np.sqrt((_change(percent) ** 2).mean(axis=1))
    columns |= {"dvars": dvars, "std_dvars": dvars / np.nanmean(dvars)}
    to_mm = np.where([name.startswith("rot") for name in MOVEMENTS], HEAD_RADIUS, 1.0)
    columns["framewise_displacement"] = np.abs(_change(disturbance.movements.to_numpy()) * to_mm).sum(axis=1)
    components, descriptions = _components(disturbance.series)
    return pd.DataFrame(columns | components | _cosines(len(percent), tr)), descriptions


def _change(values: np.ndarray) -> np.ndarray:
    """Give the change from the volume before, missing in the first."""
    return np.concatenate([np.full_like(values[:1], np.nan, dtype=float), np.diff(values, axis=0)])


def _components(series: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    left, sizes, _ = np.linalg.svd(series, full_matrices=False)
    explained = sizes**2 / (sizes**2).sum()
    names = [f"a_comp_cor_{k:02d}" for k in range(N_COMPONENTS)]
    descriptions = {
        name: {
            "Method": "aCompCor",
            "Mask": "combined",
            "Retained": True,
            "SingularValue": round(float(sizes[k]), 6),
            "VarianceExplained": round(float(explained[k]), 6),
            "CumulativeVarianceExplained": round(float(explained[: k + 1].sum()), 6),
        }
        for k, name in enumerate(names)
    }
    return dict(zip(names, left.T, strict=False)), descriptions


def _cosines(n: int, tr: float) -> dict[str, np.ndarray]:
    """Give cosines of all periods above `CUTOFF`: k half periods in the run, of length 1."""
    order = int(2 * n * tr / CUTOFF)
    i = np.arange(n) + 0.5
    return {f"cosine{k - 1:02d}": np.sqrt(2 / n) * np.cos(np.pi * k * i / n) for k in range(1, order + 1)}
