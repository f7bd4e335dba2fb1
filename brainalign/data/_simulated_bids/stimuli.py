"""What the simulated people hear: the packaged story, spoken by `brainalign.simulate.speech`, and its features."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.io import wavfile

from brainalign.arrays import read_tsv
from brainalign.data._simulated_bids.settings import TASK, VOICE, Settings, runs_of
from brainalign.data.simulated import STORY, read_words, standardised
from brainalign.errors import MissingData
from brainalign.simulate.speech import Speech, speak

AUDIO_SFREQ = 16000  # Hz
SOUND_ONSET = 4.0  # s into the run at which the sound file starts; the first word comes 2 s later
SILENCE_AFTER = 12.0  # s without a word at the end of a run, in which the haemodynamic response fades
SOUND_TAIL = 0.5  # s that the sound file lasts longer than its last word
COMPRESSION = 0.6  # exponent of the planted envelope, that of the extractor `acoustics`
FINE = 0.05  # s, step at which the envelope enters the haemodynamic response


class Run(NamedTuple):
    """One run of the story.

    Parameters
    ----------
    label : str
        "01" on.
    words : DataFrame
        `onset`, `duration` (s from the beginning of the run), `word`, `printed`, `sentence_id`, `log_frequency`.
    values : DataFrame
        `rate`, `length`, `log_frequency` of each word; the last two of mean 0 and variance 1 over all runs.
    speech : Speech
        At `AUDIO_SFREQ`, from `SOUND_ONSET` on.
    """

    label: str
    words: pd.DataFrame
    values: pd.DataFrame
    speech: Speech

    @property
    def audio(self) -> str:
        """Path of the sound file, relative to the folder `stimuli`."""
        return f"{TASK}_run-{self.label}.wav"


def tell_story(settings: Settings) -> list[Run]:
    """Give the runs of the story: words, their values, and the sound.

    Raises
    ------
    MissingData
        A packaged file is absent or damaged.
    """
    words = read_words()
    words = words[words["onset"] + words["duration"] <= settings.run_duration - SILENCE_AFTER]
    words = words[words["run"].isin([str(i + 1) for i in range(settings.n_runs)])].reset_index(drop=True)
    words["log_frequency"] = _log_frequency(words["word"])
    values = pd.DataFrame(
        {
            "rate": np.ones(len(words)),
            "length": standardised(words["word"].str.len().to_numpy(float)),
            "log_frequency": standardised(words["log_frequency"].to_numpy()),
        }
    )
    story = []
    for label in runs_of(settings):
        heard = (words["run"] == str(int(label))).to_numpy()
        of_run = words[heard].drop(columns="run").reset_index(drop=True)
        rng = np.random.default_rng([settings.seed, VOICE, int(label)])
        story.append(Run(label, of_run, values[heard].reset_index(drop=True), _spoken(of_run, rng)))
    return story


def _log_frequency(words: pd.Series) -> np.ndarray:
    """Give what `brainalign.extract.words` says of each word with its packaged counts."""
    table = read_tsv(STORY / "log_frequency.tsv").set_index("word")["log_frequency"]
    unknown = sorted(set(words) - set(table.index))
    if unknown:
        raise MissingData(
            f"{STORY / 'log_frequency.tsv'}: {len(unknown)} words are not there, the first {unknown[0]!r}"
        )
    return table[words].to_numpy(float)


def _spoken(words: pd.DataFrame, rng: np.random.Generator) -> Speech:
    length = words["onset"].iloc[-1] + words["duration"].iloc[-1] + SOUND_TAIL - SOUND_ONSET
    return speak(
        words["word"].tolist(),
        words["onset"] - SOUND_ONSET,
        words["duration"],
        n_samples=int(np.ceil(length * AUDIO_SFREQ)),
        sfreq=AUDIO_SFREQ,
        rng=rng,
    )


def loudness(run: Run, *, step: float, n_samples: int) -> np.ndarray:
    """Give the compressed envelope, e^0.6, averaged in windows of `step` s around each sample of a recording.

    Returns
    -------
    series : array of shape (n_samples,), float64
        Sample i covers [(i - 1/2) step, (i + 1/2) step) s of the run; 0 where nothing is played.
    """
    loud = run.speech.envelope**COMPRESSION
    i_sample = np.floor((SOUND_ONSET + np.arange(len(loud)) / AUDIO_SFREQ) / step + 0.5).astype(int)
    sums = np.bincount(i_sample, loud, minlength=n_samples)[:n_samples]
    counts = np.bincount(i_sample, minlength=n_samples)[:n_samples]
    return sums / np.maximum(counts, 1)


def events_of(run: Run) -> pd.DataFrame:
    """Give the table of events as BIDS has it: the sound, then the words in order of time.

    Returns
    -------
    events : DataFrame
        `onset`, `duration` (s), `trial_type` ("sound" or "word"), `word`, `printed`, `sentence_id`, `log_frequency`
        (missing for the sound), `stim_file` (relative to `stimuli`), `audio_start` (s into that file).
    """
    sound = pd.DataFrame({"onset": [SOUND_ONSET], "duration": [len(run.speech.sound) / AUDIO_SFREQ]})
    events = pd.concat([sound, run.words], ignore_index=True)
    events.insert(2, "trial_type", np.where(np.arange(len(events)) == 0, "sound", "word"))
    events["sentence_id"] = events["sentence_id"].astype("Int64")
    events["stim_file"] = run.audio
    events["audio_start"] = (events["onset"] - SOUND_ONSET).round(3)
    return events


EVENT_COLUMNS = {
    "onset": {"Description": "Beginning of the event", "Units": "s"},
    "duration": {"Description": "Length of the event", "Units": "s"},
    "trial_type": {
        "Description": "What the event is",
        "Levels": {"sound": "The sound file of the run", "word": "A word within it"},
    },
    "word": {"Description": "The word, as a forced alignment lists it"},
    "printed": {"Description": "The word with its punctuation marks"},
    "sentence_id": {"Description": "Number of the sentence in the story"},
    "log_frequency": {"Description": "Natural logarithm of the word's frequency per million words"},
    "stim_file": {"Description": "Sound file, relative to the folder stimuli"},
    "audio_start": {"Description": "Beginning of the event within its sound file", "Units": "s"},
}


def write_sounds(folder: Path, story: list[Run]) -> None:
    """Write the sound of each run to `stimuli`, WAV of 16 bits, in one channel."""
    (folder / "stimuli").mkdir(parents=True)
    for run in story:
        wavfile.write(folder / "stimuli" / run.audio, AUDIO_SFREQ, np.rint(run.speech.sound * 32767).astype(np.int16))
