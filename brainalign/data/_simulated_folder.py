"""Where simulated recordings lie: in the user's cache, a folder per settings, written when they are first asked for."""

import hashlib
import json
import logging
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pooch

from brainalign.data._simulated_bids import Settings, write_simulated_bids
from brainalign.data._simulated_bids.stimuli import loudness, tell_story
from brainalign.data.simulated import standardised

log = logging.getLogger(__name__)

WORDS = {"trial_type": ("word",)}


def with_planted_values(events: pd.DataFrame) -> pd.DataFrame:
    """Add `length_z` and `log_frequency_z`, of mean 0 and deviation 1 over all words: the values that drive the brain.

    Where features are not of mean 0, the weights of word rate take over a share of theirs.
    """
    values = {"length_z": events["word"].str.len(), "log_frequency_z": events["log_frequency"]}
    return events.assign(**{name: standardised(of_words.to_numpy(float)) for name, of_words in values.items()})


def simulated_folder(settings: Settings) -> Path:
    """Give the BIDS folder of these settings and this version."""
    text = json.dumps([version("brainalign"), settings.model_dump(mode="json")], sort_keys=True)
    folder = Path(pooch.os_cache("brainalign")) / "simulated_bids" / hashlib.sha256(text.encode()).hexdigest()[:16]
    if not folder.exists():
        log.info("writing the simulated recordings into %s", folder)
        try:
            write_simulated_bids(folder, settings)
        except OSError:
            if not folder.exists():  # else another process wrote it meanwhile
                raise
    return folder


def loudness_series(settings: Settings, runs: list[str], *, step: float, seconds: float) -> pd.DataFrame:
    """Give the compressed envelope of the sound, as planted: `run, onset, duration` (s), `envelope`.

    Parameters
    ----------
    settings : Settings
    runs : list of str
        Names of the recorded runs, in the order of those of the story.
    step : float
        s between values.
    seconds : float
        Of each run.
    """
    n_samples = int(np.floor(seconds / step + 1e-6))
    onset = np.arange(n_samples) * step
    tables = [
        pd.DataFrame(
            {"run": name, "onset": onset, "duration": step, "envelope": loudness(run, step=step, n_samples=n_samples)}
        )
        for name, run in zip(runs, tell_story(settings), strict=True)
    ]
    return pd.concat(tables, ignore_index=True)
