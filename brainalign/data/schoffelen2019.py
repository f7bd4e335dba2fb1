"""MOUS: MEG of Dutch readers who saw sentences and word lists, word by word.

The words and their times are those that events.tsv has in its rows of type "Picture": codes such as "3 fiets" (a word),
"5 300" (a blank), "FIX 20" (a sequence begins), "ZINNEN" and "WOORDEN" (a block of sentences, of word lists). Only
readers are loaded. For listeners the deposit has no times of single words: `brainalign.data.bids` reads their folder.
Everybody saw other sentences at times of their own, so people are loaded one at a time.

References
----------
Schoffelen, Oostenveld, Lam, Udden, Hulten & Hagoort (2019). A 204-subject multimodal neuroimaging dataset to study
language processing. Scientific Data 6:17. doi:10.1038/s41597-019-0020-y. Codes of the events: as three public readers
of the data set take them, among them github.com/facebookresearch/brainmagick (bm/studies/schoffelen2019/preproc.py).
"""

import logging
import re
from functools import partial
from pathlib import Path

import mne
import pandas as pd
from pydantic import Field

from brainalign.arrays import Recording, Responses, read_tsv
from brainalign.data._bids_meeg import EXTENSIONS, inputs_of, read_raw
from brainalign.data._bids_people import Recorded, Shown, load_person
from brainalign.data._bids_query import BidsFile, Query, chosen_from, find_runs, participants_of, sidecars
from brainalign.data._content import reading, sha256_of_inputs
from brainalign.data._events import check_events, lines_of, require_columns
from brainalign.data._manifest import deposited_folder
from brainalign.errors import BrainalignError, MissingData

log = logging.getLogger(__name__)

NAME = "schoffelen2019"
DATATYPE, TASK = "meg", "visual"
READERS = "V"  # what the labels of readers begin with; those of listeners begin with A
PICTURE = "Picture"
BLOCKS = {"ZINNEN": "sentence", "WOORDEN": "word_list"}
FIXATION = "FIX"
NO_WORDS = ("blank", "pause", "ISI", "QUESTION", "PULSE MODE")
WORD = re.compile(r"^\d+\s*(\D.*)$")
BLANK = re.compile(r"^\d+(\s+\d+)?$")


class Config(Recorded):
    """Settings of the data set."""

    folder: str = Field(NAME, min_length=1, description="the BIDS folder; relative paths: below the data folder")
    subject: str = Field(pattern=rf"^{READERS}\d+$", description="label of one reader, e.g. 'V1001'")
    other_codes: tuple[str, ...] = Field(
        (), description="more beginnings of codes of pictures that are no words; unknown codes are refused"
    )


def check(config: Config, data_dir: Path) -> list[str]:
    """List what stands in the way of loading, before any work: the reader, files and events; headers are not read."""
    try:
        root = deposited_folder(NAME, config.folder, data_dir)
        for run, file in _files(config, root).items():
            inputs_of(file)
            _shown(config, root, run, file)
    except BrainalignError as error:
        return [str(error)]
    return []


def load(config: Config, data_dir: Path) -> Recording:
    """Load the words that a reader saw, and the MEG.

    Returns
    -------
    recording : Recording
        `events`: a row per word: `run`, `onset`, `duration` (s; a word is shown until the next picture), `word` (as
        shown), `sentence_id` (number of the sentence or word list in its run), `condition` ("sentence" or "word_list"),
        `block` (number of the block of sequences of one condition, in its run). `responses`, float32, in tesla: rows
        `run`, `time`, `duration` (s), whole runs; columns `subject`, `target`, `channel_type` ("mag": mne's word for
        axial gradiometers, too; reference sensors are no targets), `x, y, z` (m, head's frame). Provenance: counts by
        run.

    Raises
    ------
    UnknownName
        The reader is not there.
    MissingData
        A file is absent, a stub or cannot be read, a picture's code is not known, a word comes before its block.
    Misaligned
        Words lie outside the recording.
    """
    root = deposited_folder(NAME, config.folder, data_dir)
    files = _files(config, root)
    recording, inputs = load_person(
        root,
        config.subject,
        files,
        datatype=DATATYPE,
        preparation=config.preparation(),
        unusable=config.unusable,
        shown_in=partial(_shown, config, root),
        read=_read,
    )
    provenance = {
        "data_set": NAME,
        "config": config.model_dump(mode="json"),
        "files": sha256_of_inputs(inputs, root=root),
        "processing": config.preparation().steps,
        "subjects": {config.subject: recording.responses.provenance},
    }
    responses = Responses(recording.responses.values, recording.responses.rows, recording.responses.columns, provenance)
    known = participants_of(root).get(config.subject, {})
    return Recording(recording.events, responses, pd.DataFrame([{"subject": config.subject} | known]))


def words_shown(pictures: pd.DataFrame, path: Path, *, other_codes: tuple[str, ...] = ()) -> pd.DataFrame:
    """Choose the words among the pictures, and number sequences and blocks.

    Parameters
    ----------
    pictures : DataFrame
        Rows of type "Picture" in order of time: `onset` (s), `value` (the code), `_line` of the file.
    path : Path
        For the errors.
    other_codes : tuple of str
        More beginnings of codes that are no words.

    Returns
    -------
    words : DataFrame
        `onset`, `duration` (until the next picture), `word`, `sentence_id`, `condition`, `block`, `_line`.

    Raises
    ------
    MissingData
        A code is not known, a word comes before its block or its fixation, or no picture follows the last word.
    """
    codes = pictures["value"].astype(str).str.strip()
    block_begins = codes.str.match("|".join(BLOCKS))
    begins = codes.str.startswith(FIXATION)
    known = block_begins | begins | codes.str.startswith((*NO_WORDS, *other_codes)) | codes.str.match(BLANK)
    texts = codes.where(~known).str.extract(WORD)[0].str.strip()
    is_word = texts.notna()
    if (~known & ~is_word).any():
        unknown = sorted(codes[~known & ~is_word].unique())
        raise MissingData(
            f"{path}: {len(unknown)} codes of pictures are neither words nor known: {unknown[:12]}; name the "
            "beginnings of those that are no words in `other_codes`"
        )
    condition = codes.where(block_begins).str.extract(f"({'|'.join(BLOCKS)})")[0].map(BLOCKS).ffill()
    table = pd.DataFrame(
        {
            "onset": pictures["onset"],
            "duration": pictures["onset"].shift(-1) - pictures["onset"],
            "word": texts,
            "sentence_id": (begins | block_begins).cumsum(),
            "condition": condition,
            "block": block_begins.cumsum() - 1,
            "_line": pictures["_line"],
        }
    )
    words = table[is_word]
    if not len(words):
        raise MissingData(f"{path}: none of the {len(pictures)} pictures is a word")
    _require_places(words, begins.cumsum()[is_word], path)
    return words.assign(sentence_id=pd.factorize(words["sentence_id"])[0]).reset_index(drop=True)


def _require_places(words: pd.DataFrame, n_fixations: pd.Series, path: Path) -> None:
    """Refuse words whose block, sequence or end is not known."""
    faults = {
        f"comes before any of {' or '.join(BLOCKS)}, which say whether it is in a sentence": words["condition"].isna(),
        f"comes before any {FIXATION}, with which a sequence begins": n_fixations == 0,
        "is the last picture, so how long it was shown is not known": words["duration"].isna(),
    }
    for fault, where in faults.items():
        if where.any():
            first = words[where].iloc[0]
            raise MissingData(f"{path}, line {first['_line']}: word {first['word']!r} {fault}")


def _files(config: Config, root: Path) -> dict[str, BidsFile]:
    [subject] = chosen_from(root, (config.subject,))
    return find_runs(root, subject, Query(DATATYPE, DATATYPE, EXTENSIONS[DATATYPE], {"task": (TASK,)}))


def _shown(config: Config, root: Path, run: str, file: BidsFile) -> Shown:
    """Read what was seen in a run."""
    tables = sidecars(root, file, "events", ".tsv")
    if not tables:
        raise MissingData(f"{file.path}: no events.tsv applies to it below {root}")
    path = tables[-1]
    table = read_tsv(path, dtype={"type": str, "value": str})
    require_columns(table, ("onset", "type", "value"), path)
    table["_line"] = lines_of(path)
    pictures = table[table["type"] == PICTURE]
    if not len(pictures):
        there = sorted(table["type"].dropna().unique())
        raise MissingData(f"{path}: no row of type {PICTURE!r}; the types are {there}")
    onsets = check_events(
        pictures[["onset", "_line"]].assign(run=run, duration=0.0), str(path), lines=list(pictures["_line"])
    )
    pictures = onsets.merge(pictures[["_line", "value"]], on="_line")
    words = words_shown(pictures, path, other_codes=config.other_codes)
    counts = {
        "n_words": len(words),
        "n_sequences": {name: int(n) for name, n in words.groupby("condition")["sentence_id"].nunique().items()},
        "n_blocks": int(words["block"].nunique()),
        "n_pictures": len(pictures),
    }
    return Shown(words.drop(columns="_line"), (path,), counts=counts)


def _read(root: Path, file: BidsFile) -> mne.io.BaseRaw:
    """Read a run; in CTF's format, names come without the suffix of the device, as tables of channels may have them."""
    if file.extension != ".ds":
        return read_raw(root, file)
    inputs_of(file)
    with reading(file.path):
        raw = mne.io.read_raw_ctf(file.path, clean_names=True, verbose="WARNING")
    for path in sidecars(root, file, "channels", ".tsv"):
        table = read_tsv(path, dtype={"name": str, "status": str})
        if "status" in table:
            bad = table["name"][table["status"].fillna("").str.lower() == "bad"].str.split("-").str[0]
            raw.info["bads"] = [name for name in raw.ch_names if name in set(bad)]
    return raw
