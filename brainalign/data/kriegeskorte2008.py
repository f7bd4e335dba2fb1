"""92 object images, and how dissimilar they are to human and monkey inferior temporal cortex (IT), people and models.

The published files hold images and dissimilarities. There is no recording in them: no samples, no clock, no responses.
So there is no `load`; `load_rdms` serves experiments with `[compare]`.

References
----------
Kriegeskorte, Mur, Ruff, Kiani, Bodurka, Esteky, Tanaka & Bandettini (2008). Matching categorical object representations
in inferior temporal cortex of man and monkey. Neuron 60:1126-1141. doi:10.1016/j.neuron.2008.10.043. Behaviour: Mur,
Meys, Bodurka, Goebel, Bandettini & Kriegeskorte (2013), Front Psychol 4:128.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pooch
from pydantic import BaseModel, ConfigDict, Field
from scipy.io import loadmat

from brainalign.arrays import Dissimilarities, Rdms
from brainalign.data._manifest import check_files, provenance_of, require_folder, verified_files
from brainalign.errors import BrainalignError, MissingData
from brainalign.files import sha256_of, whole_file

NAME = "kriegeskorte2008"
MAIN = "Kriegeskorte_Neuron2008_supplementalData.mat"
BRAIN, BEHAVIOUR, MODELS = "92_brainRDMs.mat", "92_behavRDMs.mat", "92_modelRDMs.mat"
HMAX = "rdm92_HMAXnatImPatch.mat"
FILES = [MAIN, BRAIN, BEHAVIOUR, MODELS, HMAX]
N_IMAGES = 92
PAIRS = np.triu_indices(N_IMAGES, k=1)
MEAN = "mean"

Area = Literal["human_it", "monkey_it"]


class Config(BaseModel):
    """Settings of the data set."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    targets: tuple[Area, ...] = Field(
        ("human_it", "monkey_it"), min_length=1, description="human_it: four people, two sessions each; monkey_it"
    )
    models: bool = Field(True, description="compare the published models too, and EVA, human early visual cortex")


def check(config: Config, data_dir: Path) -> list[str]:  # noqa: ARG001 - every setting needs the same files
    """List what stands in the way of loading, before any work."""
    try:
        return check_files(NAME, require_folder(data_dir), FILES)
    except MissingData as error:
        return [str(error)]


def load_rdms(config: Config, data_dir: Path) -> Dissimilarities:
    """Load the images, and the dissimilarities of the brain areas that are asked for.

    Returns
    -------
    dissimilarities : Dissimilarities
        `events` of `write_images`, the images in the user's cache folder. `brains`: (9, 4186), eight human sessions and
        monkey IT. `models`: the published ones by name, without the copy of monkey IT that is among them.

    Raises
    ------
    MissingData
        A file is absent, is not the published one, or holds something else.
    BrainalignError
        The cache folder cannot be written.
    """
    rdms = published_rdms(data_dir)
    source, name = rdms.rows["source"], rdms.rows["name"]
    areas = rdms.take_rows(source.isin(config.targets).to_numpy())
    brains = replace(areas, rows=areas.rows.rename(columns={"source": "target"}))
    models = rdms.take_rows(((source == "model") & (name != "monkeyIT")).to_numpy())
    folder = Path(pooch.os_cache("brainalign")) / NAME / sha256_of(require_folder(data_dir) / NAME / MAIN)[:16]
    try:
        events = write_images(data_dir, folder)
    except OSError as error:
        raise BrainalignError(
            f"cannot write the images into {folder} ({error}): name a folder in XDG_CACHE_HOME"
        ) from None
    return Dissimilarities(events, brains, models if config.models else None)


def published_rdms(data_dir: Path) -> Rdms:
    """Load all dissimilarities of the 92 images.

    Parameters
    ----------
    data_dir : Path
        The folder that holds `kriegeskorte2008/`.

    Returns
    -------
    rdms : Rdms
        (35, 4186), float64, rows `source, subject, session, name`. `source` tells whose they are:

        - "human_it": 1 - Pearson's r of fMRI patterns of 316 voxels, `subject` BE, KO, SN, TI, `session` 1, 2.
        - "human_it_mean": the mean of these eight, as in figure 1 of the paper.
        - "monkey_it": 1 - Pearson's r of 674 neurons of two monkeys, as in figure 1.
        - "behaviour": similarity judgements, `subject` subject1 to subject16; their unit differs between people.
        - "model": by `name`. animacy and FaceBodyManmadeNatobj are 0 or 1; monkeyIT is "monkey_it" once more; EVA is a
          human brain area, early visual cortex; HMAX and HMAXnatImPatch are two versions.

        `subject` and `session` are "mean" where there is one RDM of all.

    Raises
    ------
    MissingData
        A file is absent, is not the published one, or holds something else.
    """
    files = verified_files(NAME, require_folder(data_dir), FILES)
    rows, values = [], []

    def add(rdm, *, source, subject=MEAN, session=MEAN, name):
        rows.append({"source": source, "subject": subject, "session": session, "name": name})
        values.append(_condensed(rdm, f"{files[MAIN].parent}: {name}"))

    for rdm, name in _fields(files[BRAIN], "RDMs", "RDM", "name"):
        _, subject, session = name.split(" | ")
        add(rdm, source="human_it", subject=subject, session=session.removeprefix("Session: "), name=name)
    (monkey, monkey_name), (human, human_name) = _fields(files[MAIN], "RDMs_mIT_hIT_fig1", "RDM", "name")
    add(human, source="human_it_mean", name=human_name)
    add(monkey, source="monkey_it", name=monkey_name)
    for rdm, name in _fields(files[BEHAVIOUR], "rdms_behav_92", "RDM", "name"):
        add(rdm, source="behaviour", subject=name.removeprefix("simJudge | "), name=name)
    for rdm, name in _fields(files[MODELS], "Models", "RDM", "name"):
        add(rdm, source="model", name=name)
    add(_variable(files[HMAX], "rdm92_HMAXnatImPatch"), source="model", name="HMAXnatImPatch")
    columns = pd.DataFrame({"first": PAIRS[0], "second": PAIRS[1]})
    provenance = {"data_set": NAME, "files": provenance_of(NAME, files)}
    return Rdms(np.stack(values), pd.DataFrame(rows), columns, provenance)


def load_images(data_dir: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Load the 92 images and their categories.

    Returns
    -------
    images : uint8 array of shape (92, 175, 175, 3)
        Red, green, blue; objects on a grey background of 128.
    categories : DataFrame of 92 rows
        `category` ("human face", "artificial inanimate", ...; there are six) and twelve columns of bool named as
        published: `animate`, `inanim`, `human`, `nonhumani`, `body`, `face`, `natObj`, `artiObj`, `rand24`, `rand48`,
        `other48`, `monkeyape`.

    Raises
    ------
    MissingData
        The file is absent or is not the published one.
    """
    file = verified_files(NAME, require_folder(data_dir), [MAIN])[MAIN]
    stimuli = list(_fields(file, "stimuli_92objs", "image", "category"))
    labels, flags = _variable(file, "categoryLabels"), _variable(file, "categoryVectors")
    categories = pd.DataFrame({"category": [category for _, category in stimuli]})
    categories[[str(label) for label in labels]] = flags.astype(bool)
    return np.stack([image for image, _ in stimuli]), categories


def write_images(data_dir: Path, folder: Path) -> pd.DataFrame:
    """Write the 92 images as files, for extractors, and give the events that name them.

    Parameters
    ----------
    data_dir : Path
        The folder that holds `kriegeskorte2008/`.
    folder : Path
        Made where it is missing; holds `image_01.ppm` to `image_92.ppm` afterwards (PPM keeps every bit).

    Returns
    -------
    events : DataFrame of 92 rows
        `run` "1", `onset`, `duration`, `image` (path), and the columns of categories of `load_images`. The images have
        no clock: image i has onset i and duration 1.

    Raises
    ------
    MissingData
        The file is absent or is not the published one.
    """
    images, categories = load_images(data_dir)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"image_{i:02d}.ppm" for i in range(1, len(images) + 1)]
    for path, image in zip(paths, images, strict=True):
        height, width, _ = image.shape
        content = f"P6 {width} {height} 255\n".encode() + image.tobytes()
        if not path.exists() or path.read_bytes() != content:
            with whole_file(path) as partial:
                partial.write_bytes(content)
    events = pd.DataFrame({"run": "1", "onset": np.arange(len(images), dtype=float), "duration": 1.0})
    return events.assign(image=[str(path) for path in paths]).join(categories)


def _variable(path: Path, name: str) -> Any:
    return loadmat(path, squeeze_me=True, variable_names=[name])[name]


def _fields(path: Path, name: str, *fields: str) -> list[tuple[Any, ...]]:
    """Give fields of every element of a Matlab structure, row by row."""
    structure = _variable(path, name).ravel()
    return list(zip(*(structure[field] for field in fields), strict=True))


def _condensed(rdm: np.ndarray, source: str) -> np.ndarray:
    """Give the pairs of an RDM that is square or condensed already, in float64."""
    rdm = np.asarray(rdm, dtype=np.float64)
    if rdm.ndim == 2:
        if rdm.shape != (N_IMAGES, N_IMAGES) or not np.array_equal(rdm, rdm.T) or np.diag(rdm).any():
            raise MissingData(f"{source} is no symmetric ({N_IMAGES}, {N_IMAGES}) RDM with a zero diagonal")
        rdm = rdm[PAIRS]
    if rdm.shape != PAIRS[0].shape or not np.isfinite(rdm).all():
        raise MissingData(f"{source} is no RDM of {len(PAIRS[0])} finite pairs, got shape {rdm.shape}")
    return rdm
