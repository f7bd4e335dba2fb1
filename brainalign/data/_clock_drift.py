"""Two clocks of one run: the onsets of events in seconds, and the samples at which the recording marked them."""

import logging

import numpy as np
import pandas as pd

log = logging.getLogger(__name__)

SAMPLE = "sample"  # the column of events.tsv, in BIDS
FEWEST = 3  # events that a line is fitted to


def clock_drift(events: pd.DataFrame, sfreq: float, source: str) -> dict[str, float] | None:
    """Fit `sample / sfreq = offset + (1 + drift) onset`, and log a warning where drift moves an event by a sample.

    Nothing is corrected: onsets are taken as they are.

    Parameters
    ----------
    events : DataFrame
        Of one run: `onset` (s), and `sample` where events.tsv has it.
    sfreq : float
        Hz, of the recording as it was written.
    source : str
        Where the events come from, for the warning.

    Returns
    -------
    clocks : dict or None
        `drift` (ms per minute, positive: the recording's clock is the faster one), `offset` (s). None where there are
        fewer than three events with a sample.

    References
    ----------
    faults.md, fault 69. Oracle: planted drift.
    """
    if SAMPLE not in events:
        return None
    onset = events["onset"].to_numpy(float)
    marked = pd.to_numeric(events[SAMPLE], errors="coerce").to_numpy(float) / sfreq
    both = np.isfinite(onset) & np.isfinite(marked)
    if both.sum() < FEWEST:
        return None
    slope, offset = np.polyfit(onset[both], marked[both], 1)
    moved = abs(slope - 1) * np.ptp(onset[both])  # s between the first and the last event
    drift = 60_000 * (slope - 1)
    if moved > 1 / sfreq:
        log.warning(
            "%s: onset and sample drift apart by %.3g ms per minute, %.3g s over the run; onsets count, check them",
            source, drift, moved,
        )  # fmt: skip
    return {"drift": float(drift), "offset": float(offset)}
