"""Objects of all models of a results folder as files."""

import re
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import nibabel
import numpy as np

from brainalign.errors import BrainalignError, UnknownName
from brainalign.export.choice import ONE_MODEL, of_one_subject, only, scores_frame, scores_of
from brainalign.export.images import score_image, score_surface
from brainalign.export.sensors import evoked_functions, evoked_scores
from brainalign.results import read_config, read_table


def write_objects(folder, out, *, to, feature_space=None, metric=None, subject=None):
    """Write the scores of every model, a file each (of a surface one per hemisphere), or all in one table.

    Parameters
    ----------
    folder : path
        Results of an encoding experiment.
    out : path
        Folder for the files; made if absent. Files of the same names are replaced.
    to : {"fif", "nifti", "gifti", "csv"}
        mne's evoked data with response functions where there are any, volumes, surfaces, a table.
    feature_space, metric, subject : str, optional
        As in `evoked_scores`; of a table, those of all.

    Returns
    -------
    files : list of Path

    Raises
    ------
    UnknownName
        There is no such format, or nothing of such a name was scored.
    MissingData, BrainalignError
        As the function of the format.
    """
    folder, out = Path(folder), Path(out)
    if to not in ("csv", *WRITERS):
        raise UnknownName("format", to, ("csv", *WRITERS))
    if to == "csv":
        table = scores_frame(folder, feature_space=feature_space, metric=metric, subject=subject)
        objects = {"scores.csv": partial(table.to_csv, index=False)}
    else:
        scores = only(scores_of(folder), feature_space=feature_space, metric=metric)
        metric = metric or read_config(folder).encode.metric
        models = of_one_subject(scores, subject)[["subject", "feature_space", "weights"]].drop_duplicates()
        objects = WRITERS[to](folder, [model | {"metric": metric} for model in models.to_dict("records")])
    return _write(out, objects)


def _write(out: Path, objects: Mapping[str, Callable]) -> list[Path]:
    """Write files into a folder, each by a function of its path; none is ever half there."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".") as scratch:
        for name, write in objects.items():
            write(Path(scratch) / name)
            (Path(scratch) / name).replace(out / name)
    return [out / name for name in objects]


def _file_name(model: dict) -> str:
    names = (model[key] for key in ("subject", "feature_space", "weights", "layer", "unit", "metric") if key in model)
    return re.sub(r"[^\w+.-]+", "-", "_".join(filter(None, names)))


def _fif_files(folder: Path, models: list[dict]) -> dict[str, Callable]:
    files = {f"{_file_name(model)}-ave.fif": evoked_scores(folder, **model).save for model in models}
    if not (folder / "response_functions.tsv").exists():
        return files
    functions = read_table(folder, "response_functions")
    wanted = {(model["subject"], model["feature_space"], model["weights"]) for model in models}
    for feature in functions[["subject", *ONE_MODEL, "unit"]].drop_duplicates().to_dict("records"):
        name = f"{_file_name(feature)}_function-ave.fif"
        if name in files:
            raise BrainalignError(f"{folder}: two units would be written as {name}; take `evoked_functions`")
        if (feature["subject"], feature["feature_space"], feature["weights"]) in wanted:
            files[name] = evoked_functions(folder, **feature).save
    return files


def _nifti_files(folder: Path, models: list[dict]) -> dict[str, Callable]:
    return {f"{_file_name(model)}.nii.gz": score_image(folder, **model).to_filename for model in models}


def _gifti_files(folder: Path, models: list[dict]) -> dict[str, Callable]:
    files = {}
    for model in models:
        for side, values in score_surface(folder, **model).data.parts.items():
            array = nibabel.gifti.GiftiDataArray(values.astype(np.float32))
            about = nibabel.gifti.GiftiMetaData({"AnatomicalStructurePrimary": f"Cortex{side.title()}"})
            image = nibabel.GiftiImage(darrays=[array], meta=about)
            files[f"{_file_name(model)}_hemi-{side[0].upper()}.func.gii"] = image.to_filename
    return files


WRITERS = {"fif": _fif_files, "nifti": _nifti_files, "gifti": _gifti_files}
