"""A BIDS folder of people who hear a story, in the true formats of MEG, EEG and fMRI, with a known answer.

`write_simulated_bids(folder, settings)` writes

    README, dataset_description.json, participants.tsv
    stimuli/story_run-01.wav                    the sound, 16 kHz
    sub-01/meg/..._meg.fif                      306 channels, EOG, ECG, triggers
    sub-01/eeg/..._eeg.vhdr, .vmrk, .eeg        32 electrodes, EOG, ECG
    sub-01/func/..._bold.nii.gz                 volumes of 6 mm
    sub-01/*/..._events.tsv                     the sound and its words
    derivatives/fmriprep/sub-01/func/           volumes in MNI space, fsaverage5 surfaces, confounds
    derivatives/truth/truth.tsv                 which feature drives what, when, how strongly
    derivatives/truth/ceilings.tsv              the best score that each target allows
    derivatives/truth/settings.json

The same settings give the same bytes with the same versions of the libraries: nothing holds a date or a machine.
"""

import json
import shutil
import uuid
from pathlib import Path

import pandas as pd

from brainalign.arrays import read_tsv
from brainalign.data._simulated_bids.settings import PLANTED, Settings, subjects_of
from brainalign.data._simulated_bids.stimuli import tell_story, write_sounds
from brainalign.data._simulated_bids.tables import write_dataset_description, write_description, write_table
from brainalign.errors import BrainalignError, MissingData

__all__ = ["PLANTED", "Settings", "read_ceilings", "read_settings", "read_truth", "write_simulated_bids"]

TRUTH = Path("derivatives") / "truth"
README = """# Simulated people who hear a story

These recordings were made by brainalign; nobody was measured. Speech-like sound that the people hear is in `stimuli`.
What drives their brains is in `derivatives/truth/truth.tsv`: feature, place, latency (s) and width (s) of the answer,
amplitude, and the correlation that a perfect prediction reaches. `derivatives/truth/ceilings.tsv` has that correlation
for every channel and region.
"""


def write_simulated_bids(folder: Path, settings: Settings) -> Path:
    """Write the folder, which exists only when it is complete.

    Parameters
    ----------
    folder : Path
        To be made.
    settings : Settings

    Returns
    -------
    folder : Path

    Raises
    ------
    BrainalignError
        The folder exists.
    MissingData
        A packaged file of the story is absent or damaged.
    """
    folder = Path(folder)
    if folder.exists():
        raise BrainalignError(f"{folder} exists; choose another folder, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        _write(unfinished, settings)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _write(folder: Path, settings: Settings) -> None:
    from brainalign.data._simulated_bids.images import write_images
    from brainalign.data._simulated_bids.recordings import write_recordings

    story = tell_story(settings)
    (folder / TRUTH).mkdir(parents=True)
    write_dataset_description(folder, "Simulated people who hear a story")
    write_sounds(folder, story)
    answers = [
        write_images(folder, story, settings)
        if modality == "fmri"
        else write_recordings(folder, modality, story, settings)
        for modality in settings.modalities
    ]
    planted, ceilings = (pd.concat(tables, ignore_index=True) for tables in zip(*answers, strict=True))
    write_dataset_description(folder / TRUTH, "What was simulated", derivative=True)
    write_table(folder / TRUTH / "truth.tsv", planted)
    write_table(folder / TRUTH / "ceilings.tsv", ceilings)
    write_description(folder / TRUTH / "settings.json", settings.model_dump(mode="json"))
    _write_people(folder, settings)


def _write_people(folder: Path, settings: Settings) -> None:
    """Write README and participants, in place of what mne-bids knows of them."""
    (folder / "README").write_text(README, encoding="utf-8")
    people = [f"sub-{subject}" for subject in subjects_of(settings)]
    write_table(folder / "participants.tsv", pd.DataFrame({"participant_id": people}))
    write_description(folder / "participants.json", {"participant_id": {"Description": "Number of the person"}})


def read_truth(folder: Path) -> pd.DataFrame:
    """Read which feature drives what, one row per modality, person and planted source.

    Returns
    -------
    truth : DataFrame
        `modality`, `subject`, `source`, `feature`, `waveform` ("bump" or "glover"), `latency`, `width` (s; missing in
        fMRI), `x`, `y`, `z` (head coordinates in m, in fMRI MNI in mm), `direction_x`, `direction_y`, `direction_z`
        (missing in fMRI), `gain` (size of the person's signal), `amplitude`, `unit`, `target`, `noise_ceiling` (r, of
        this source alone at its target, before artefacts, drift and confounds).

    Raises
    ------
    MissingData
        The file is absent or damaged.
    """
    return read_tsv(folder / TRUTH / "truth.tsv")


def read_ceilings(folder: Path) -> pd.DataFrame:
    """Read the best score of each target.

    Returns
    -------
    ceilings : DataFrame
        `modality`, `subject`, `target` (channel or region), `noise_ceiling` (r, of the recording as it is written),
        `noise_ceiling_clean` (without blinks and heartbeats, or drift and confounds).

    Raises
    ------
    MissingData
        The file is absent or damaged.
    """
    return read_tsv(folder / TRUTH / "ceilings.tsv")


def read_settings(folder: Path) -> Settings:
    """Read what a folder was made with.

    Raises
    ------
    MissingData
        It is no folder that `write_simulated_bids` has finished.
    """
    path = folder / TRUTH / "settings.json"
    try:
        return Settings.model_validate_json(json.dumps(json.loads(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        raise MissingData(f"{path}: no such file; {folder} was not written by write_simulated_bids") from None
