"""How long an extraction will take, measured on leading parts of its stimuli."""

import time

import numpy as np
import pandas as pd

from brainalign.errors import BrainalignError

WORK = ("n_tokens_read", "n_samples_read", "bytes_result")  # in an extractor's plan: what its time grows with
FIRST_SHARE = 1 / 128
RESOLVED = 1.0  # s by which doubling a part must lengthen it, so that loading the model does not count


def extraction_seconds(module, table: pd.DataFrame, config, *, weights: str) -> float:
    """Extract ever larger leading parts, each twice the one before, until the growth is plain, and extrapolate.

        seconds = t(2p) + (t(2p) - t(p)) / (work(2p) - work(p)) * (work(all) - work(2p))

    Parameters
    ----------
    module : module
        An extractor.
    table : DataFrame
        As `extract` takes it.
    config : Config
        Of the extractor.
    weights : str

    Returns
    -------
    seconds : float
        On this machine as busy as it is now; a part that cannot be extracted by itself, as one word or half a frame of
        sound, is passed over. nan where no part can be.
    """

    def work_of(part):
        counts = module.plan(part, config)
        return next(counts[name] for name in WORK if name in counts)

    def measure(part):
        start = time.perf_counter()
        module.extract(part, config, weights=weights)
        return time.perf_counter() - start

    share, before = FIRST_SHARE, None
    while share <= 1:
        part = leading_part(table, share)
        share *= 2
        try:
            work, seconds = work_of(part), measure(part)
        except BrainalignError:
            seconds = float("nan")
            continue
        if before is not None and work > before[0] and seconds - before[1] > RESOLVED:
            rate = (seconds - before[1]) / (work - before[0])
            return seconds + rate * (work_of(table) - work)
        before = (work, seconds)
    return seconds


def leading_part(table: pd.DataFrame, share: float) -> pd.DataFrame:
    """Give the first events of a table; of sounds the first seconds, the last of them cut short.

    Parameters
    ----------
    table : DataFrame
    share : float
        Of the events, or of the sound, above 0.
    """
    if "audio" not in table:
        return table.iloc[: int(np.ceil(share * len(table)))]
    left = share * table["duration"].sum() - (table["duration"].cumsum() - table["duration"])  # s, when an event begins
    return table.assign(duration=np.minimum(table["duration"], left))[left > 0]
