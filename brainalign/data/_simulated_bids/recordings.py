"""MEG as FIF and EEG as BrainVision, in a BIDS folder by mne-bids."""

import tempfile
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pandas as pd

from brainalign.arrays import read_tsv
from brainalign.data._simulated_bids import sensors
from brainalign.data._simulated_bids.meeg import (
    STREAM,
    Person,
    Recording,
    ceilings_of,
    person,
    planted_courses,
    planted_in,
    record,
)
from brainalign.data._simulated_bids.settings import TASK, Settings, subjects_of
from brainalign.data._simulated_bids.stimuli import EVENT_COLUMNS, Run, events_of, tell_story
from brainalign.data._simulated_bids.tables import write_description, write_table

EOG_HEIGHT, ECG_HEIGHT, EXTERNAL_NOISE = 300e-6, 1e-3, 5e-6  # V
TRIGGER = 0.01  # s that the trigger channel is up at the onset of a word
EXTERNAL = 1  # stream of the noise of the channels at eyes and heart


def write_recordings(
    folder: Path, modality: str, story: list[Run], settings: Settings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write all runs of all people, and give what is planted in them and the best scores they allow.

    Returns
    -------
    planted, ceilings : DataFrame
        As `brainalign.data._simulated_bids.meeg.planted_in` and `ceilings_of`.
    """
    courses = planted_courses(story, settings)
    planted, ceilings = [], []
    for subject in subjects_of(settings):
        who, artefacts = person(modality, subject, settings), []
        for run, of_run in zip(story, courses, strict=True):
            recording = record(who, of_run, run=run.label, settings=settings)
            artefacts.append(np.stack([recording.blink, recording.beat], axis=1))
            write_run(folder, raw_of(who, recording, run, settings), who, run)
        planted.append(planted_in(who))
        ceilings.append(ceilings_of(who, np.concatenate(courses), np.concatenate(artefacts)))
    return pd.concat(planted, ignore_index=True), pd.concat(ceilings, ignore_index=True)


def raw_of(who: Person, recording: Recording, run: Run, settings: Settings) -> mne.io.RawArray:
    """Give a run as mne has it: the sensors, the channels at eyes and heart, in MEG the triggers, and the events."""
    rng = np.random.default_rng([settings.seed, STREAM[who.modality], int(who.subject), int(run.label), EXTERNAL])
    external = np.stack([EOG_HEIGHT * recording.blink, ECG_HEIGHT * recording.beat], axis=1)
    external += EXTERNAL_NOISE * rng.standard_normal(external.shape)
    measured = [recording.signal + recording.noise + recording.artefacts, external]
    if who.modality == "meg":
        measured.append(_triggers(run, len(external), settings.sfreq)[:, None])
    raw = mne.io.RawArray(np.hstack(measured).T, _description(who, settings), verbose="ERROR")
    events = events_of(run)
    raw.set_annotations(mne.Annotations(events["onset"], events["duration"], events["trial_type"]), verbose="ERROR")
    return raw


def _description(who: Person, settings: Settings) -> mne.Info:
    return {"meg": sensors.meg_info, "eeg": sensors.eeg_info}[who.modality](settings.sfreq)


def _triggers(run: Run, n_samples: int, sfreq: float) -> np.ndarray:
    """Give the trigger channel, 1 for `TRIGGER` s from the sample nearest to each onset of a word, (n_samples,)."""
    up = np.rint(run.words["onset"].to_numpy() * sfreq).astype(int)[:, None] + np.arange(max(1, round(TRIGGER * sfreq)))
    triggers = np.zeros(n_samples)
    triggers[up] = 1
    return triggers


def write_run(folder: Path, raw: mne.io.RawArray, who: Person, run: Run) -> None:
    """Write a run with its channels, events and descriptions."""
    path = mne_bids.BIDSPath(subject=who.subject, task=TASK, run=run.label, datatype=who.modality, root=folder)
    if who.modality == "meg":
        _write_fif(raw, path)
    else:
        _write_brainvision(raw, path)
    write_events(folder / f"sub-{who.subject}" / who.modality, who.subject, run)


def _write_fif(raw: mne.io.RawArray, path: mne_bids.BIDSPath) -> None:
    """Write with single precision, which mne-bids takes over from the file that it copies."""
    with tempfile.TemporaryDirectory() as scratch:
        copied = Path(scratch) / "meg_raw.fif"
        raw.save(copied, fmt="single", verbose="ERROR")
        single = mne.io.read_raw_fif(copied, verbose="ERROR")
        mne_bids.write_raw_bids(single, path, readme=False, overwrite=True, verbose="ERROR")


def _write_brainvision(raw: mne.io.RawArray, path: mne_bids.BIDSPath) -> None:
    """Write with the reference stated, and only those electrodes listed that have a place."""
    mne_bids.write_raw_bids(
        raw, path, format="BrainVision", allow_preload=True, readme=False, overwrite=True, verbose="ERROR"
    )
    sidecar = path.copy().update(suffix="eeg", extension=".json")
    reference = f"mean of {' and '.join(sensors.MASTOIDS)}"
    mne_bids.update_sidecar_json(sidecar, {"EEGReference": reference}, verbose="ERROR")
    electrodes = path.copy().update(suffix="electrodes", extension=".tsv", task=None, run=None, space="CapTrak").fpath
    table = read_tsv(electrodes)
    write_table(electrodes, table[table["x"].notna()])


def noiseless(modality: str, subject: str, settings: Settings) -> dict[str, mne.io.RawArray]:
    """Give what would have been recorded without noise and artefacts.

    After the same linear preprocessing (filter, resampling, epochs), the correlation of these with the written
    recordings is the ceiling of what was preprocessed, which is not that of the recordings as they are written.

    Parameters
    ----------
    modality : {"meg", "eeg"}
    subject : str
        "01" on.
    settings : Settings

    Returns
    -------
    recordings : dict of str to RawArray
        Run ("01" on) to its planted signal in all MEG or EEG channels (T, T/m, V); 0 in the bad channel.
    """
    story = tell_story(settings)
    who = person(modality, subject, settings)
    info = _description(who, settings)
    info = mne.pick_info(info, range(len(who.noise.channels)))
    return {
        run.label: mne.io.RawArray(who.planted @ of_run.T, info, verbose="ERROR")
        for run, of_run in zip(story, planted_courses(story, settings), strict=True)
    }


def write_events(folder: Path, subject: str, run: Run) -> None:
    """Write the events of a run, with the columns of `EVENT_COLUMNS`, and what these mean."""
    name = f"sub-{subject}_task-{TASK}_run-{run.label}_events"
    write_table(folder / f"{name}.tsv", events_of(run)[list(EVENT_COLUMNS)])
    write_description(folder / f"{name}.json", EVENT_COLUMNS)
