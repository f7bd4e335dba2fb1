"""Which samples of a recording are fitted, scored and decoded: those that nobody marked as bad."""

import logging

import numpy as np
import pandas as pd

log = logging.getLogger(__name__)


def usable_samples(rows: pd.DataFrame) -> np.ndarray:
    """Tell which samples are not marked in the column `bad`, (n_samples,); log how many are left out.

    Epochs have no such column: those that hold a bad sample were dropped when they were cut.
    """
    if "bad" not in rows:
        return np.ones(len(rows), dtype=bool)
    bad = rows["bad"].to_numpy(bool)
    if bad.any():
        log.info("%d of %d samples are marked as bad and left out", bad.sum(), len(bad))
    return ~bad
