"""An experiment file, read and checked: typed, frozen, every problem listed at once with the nearest known key."""

import hashlib
import json
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from brainalign.compare.rsa import COMPARISONS, DISTANCES
from brainalign.data import DATASETS
from brainalign.encode import ESTIMATORS
from brainalign.encode.metrics import METRICS
from brainalign.errors import BadConfig, MissingData, UnknownName, did_you_mean
from brainalign.extract import EXTRACTORS

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
TAKEN = ("target", "ceiling")  # what the report's tables call columns that stand beside those of feature spaces
CEILINGS = Literal["split_half", "leave_one_subject_out", "inter_subject_ridge", "repetitions", "published"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Lags(_Part):
    """A range of delays in seconds, in which every sample of the recording is one."""

    tmin: float = Field(0.0, description="s")
    tmax: float = Field(0.8, description="s")

    @model_validator(mode="after")
    def _ordered(self):
        if self.tmax < self.tmin:
            raise ValueError(f"tmax ({self.tmax:g} s) is before tmin ({self.tmin:g} s)")
        return self


class Window(Lags):
    """The time around an event, in seconds from its onset."""

    tmin: float = Field(-0.2, description="s")
    baseline: tuple[float, float] | None = Field(None, description="s; its mean is subtracted from every epoch")
    decimate: int = Field(1, ge=1, description="every so many samples are kept")
    lowpass: float | None = Field(None, gt=0, description="Hz, that the recording was filtered below; decimate asks it")


class Align(_Part):
    """How activations come to the recording's clock."""

    to: Literal["samples", "events", "epochs"] = Field(
        "samples",
        description="samples: in time; events: one sample per event; epochs: M/EEG, all samples around an event",
    )
    bin: Literal["sum", "mean"] = Field("sum", description="of the events in a sample")
    delays: tuple[int, ...] = Field((0,), description="in samples; positive: the past stimulus explains the present")
    lags: Lags | None = Field(None, description="delays in seconds, in place of delays")
    epochs: Window | None = Field(None, description="around events, of to = epochs")

    @model_validator(mode="before")
    @classmethod
    def _spelt_out(cls, given):
        """Spell out the window of epochs."""
        if isinstance(given, dict) and given.get("to") == "epochs":
            return {"epochs": {}} | given
        return given

    @model_validator(mode="after")
    def _of_one_kind(self):
        if self.epochs is not None and self.to != "epochs":
            raise ValueError(f"epochs has no meaning with to = {self.to!r}")
        if self.lags is not None and (self.to != "samples" or self.delays != (0,)):
            raise ValueError("lags take the place of delays, with to = 'samples'")
        return self

    @field_validator("delays")
    @classmethod
    def _distinct(cls, delays):
        if not delays or len(set(delays)) != len(delays):
            raise ValueError("needs at least one delay, and none twice")
        return delays


class Alphas(_Part):
    """A logarithmic grid of ridge penalties."""

    low: float = Field(1e-1, gt=0, description="smallest penalty on the sum of squares")
    high: float = Field(1e8, gt=0, description="largest penalty")
    n: int = Field(19, ge=1, description="number of penalties, evenly spaced in the logarithm")

    @model_validator(mode="after")
    def _ordered(self):
        if self.high < self.low:
            raise ValueError(f"high ({self.high:g}) is below low ({self.low:g})")
        return self

    def values(self) -> np.ndarray:
        """Penalties, shape (n,)."""
        return np.geomspace(self.low, self.high, self.n) if self.n > 1 else np.array([self.low])


class Splits(_Part):
    """How samples are divided: never shuffled, never across what must not be split."""

    kind: Literal["blocks", "groups"] = Field("blocks", description="blocks: contiguous; groups: whole runs or stimuli")
    n: int | None = Field(None, ge=2, description="number of folds; groups without n: each group in turn")
    gap: int | None = Field(None, ge=0, description="blocks: samples left out on both sides of a test block")
    by: Literal["run", "stimulus"] | None = Field(None, description="groups: what is left out as a whole")
    seed: int | None = Field(None, ge=0, description="groups: draw them into the n folds at random; else in order")

    @model_validator(mode="before")
    @classmethod
    def _of_its_kind(cls, given):
        """Spell out the defaults of the kind, and refuse what belongs to the other."""
        if not isinstance(given, dict):
            return given
        groups = given.get("kind") == "groups"
        foreign = [name for name in (("gap",) if groups else ("by", "seed")) if given.get(name) is not None]
        if foreign:
            raise ValueError(f"{foreign[0]!r} has no meaning with kind = {'groups' if groups else 'blocks'!r}")
        return ({"by": "run"} if groups else {"n": 5, "gap": 0}) | given


class Encode(_Part):
    """The encoding model and how it is scored."""

    estimator: Literal[tuple(ESTIMATORS)] = Field(
        "ridge", description="ridge: one penalty per target; banded: one per feature space and target"
    )
    alphas: Alphas = Alphas()
    outer: Splits = Splits()
    inner: Splits = Splits(n=4)
    scale: bool = Field(True, description="divide features by their standard deviation in the training fold")
    precision: Literal["float64", "float32", "mixed"] = Field(
        "float64", description="mixed: penalties are scanned in bfloat16 where that is faster, and fitted in float32"
    )
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="where models are fitted; auto: a GPU if any")
    metric: Literal[tuple(METRICS)] = Field("pearson", description="reported first; all metrics are in scores.tsv")
    controls: str = Field(
        "", description="feature space that every other one is also fitted together with; '' for none"
    )
    together: tuple[str, ...] = Field(
        (), description="feature spaces also fitted all together, and all but each: what each alone contributes"
    )

    @field_validator("together")
    @classmethod
    def _several(cls, together):
        if together and (len(together) < 2 or len(set(together)) != len(together)):
            raise ValueError("needs at least two feature spaces, and none twice")
        return together

    @property
    def unions(self) -> list[tuple[str, ...]]:
        """What is fitted as one model: all of `together`, and all but each where that leaves several."""
        rest = [tuple(other for other in self.together if other != name) for name in self.together]
        return [union for union in (self.together, *rest) if len(union) > 1]


class Clock(_Part):
    """A check whether features and recording are on one clock."""

    features: str = Field(description="feature space that is shifted against the responses; of one layer")
    reach: int = Field(8, ge=1, description="samples either way")
    n_controls: int = Field(19, ge=2, description="shifts to another part of the stimulus")


class Generalisation(_Part):
    """A model of every lag, scored at every lag."""

    features: str = Field(description="feature space of the model; of one layer")


class Report(_Part):
    """What the report adds."""

    ceilings: tuple[CEILINGS, ...] = Field(
        (),
        description="split_half (group mean), leave_one_subject_out or inter_subject_ridge (single subjects), "
        "repetitions (both), published",
    )
    clock: Clock | None = Field(None, description="scores of shifted features, of a recording in time")
    generalisation: Generalisation | None = Field(None, description="models of one lag scored at all others, of epochs")


class Compare(_Part):
    """How dissimilarities of stimuli are measured in features, and compared with those of brains."""

    distance: Literal[tuple(DISTANCES)] = Field("correlation", description="between the features of two stimuli")
    comparison: Literal[tuple(COMPARISONS)] = Field(
        "kendall_tau_a", description="reported first; all comparisons are in similarities.tsv"
    )
    n_permutations: int = Field(
        1000, ge=0, description="random orders of the stimuli that a p-value is from; 0 for none"
    )


class Decode(_Part):
    """What is told from responses, on runs left out, and how."""

    column: str = Field("category", description="of the events: the class of each")
    shift: float = Field(
        0.0, ge=0, description="s from an event to its response, whose samples are averaged; about 5 for fMRI"
    )
    decoder: Literal["logistic", "svm", "ridge"] = Field("logistic", description="linear, of scaled responses")
    penalty: float = Field(1.0, gt=0, description="on the squared weights: alpha of ridge, 1 / C of the others")
    n_features: int | None = Field(
        None, ge=1, description="targets kept, those that differ most between classes in the training runs; none: all"
    )
    n_permutations: int = Field(1000, ge=0, description="of the labels within runs, that a p-value is from; 0 for none")
    threshold: float | None = Field(
        None, description="of a column of numbers: the two classes are those above it, and the others"
    )
    epochs: Window | None = Field(None, description="M/EEG: decode at every time of a window around events by itself")
    score: Literal["accuracy", "roc_auc"] = Field(
        "accuracy", description="over the time of epochs; roc_auc: of two classes, whatever their balance"
    )
    generalise: bool = Field(False, description="also test what was trained at one time of epochs at all others")

    @model_validator(mode="after")
    def _of_one_kind(self):
        if self.epochs is None and (self.score != "accuracy" or self.generalise):
            raise ValueError("score and generalise are over the time of epochs; say which window, decode.epochs")
        if self.epochs is not None and self.shift:
            raise ValueError("shift has no meaning with epochs, every time of which is decoded")
        return self


class _Frame(_Part):
    name: str = Field(pattern=NAME)
    seed: int = Field(0, ge=0)


class _EncodeFrame(_Frame):
    align: Align = Align()
    encode: Encode = Encode()
    report: Report = Report()


class _CompareFrame(_Frame):
    compare: Compare = Compare()


class _DecodeFrame(_Frame):
    decode: Decode = Decode()


FRAMES = {"encode": _EncodeFrame, "compare": _CompareFrame, "decode": _DecodeFrame}
"""What an experiment file holds besides data and features, by its method."""

WITHOUT_FEATURES = ("decode",)
"""Methods that ask nothing of features."""


class DataChoice(_Part):
    """A data set by name with its own settings."""

    set: str
    config: BaseModel


class FeatureSpace(_Part):
    """An extractor by name with its own settings."""

    extractor: str
    config: BaseModel

    @property
    def variants(self) -> tuple[str, ...]:
        """Weights to extract with; a family without weights has the one variant ''."""
        return getattr(self.config, "weights", ("",))


class Experiment(_Frame):
    """Everything that decides the numbers of a run.

    Read one with `read_experiment`; `key` is the same for files that differ only in comments, order or spelt-out
    defaults. Parts that do not belong to its method are None.
    """

    data: DataChoice
    features: dict[str, FeatureSpace]
    align: Align | None = None
    encode: Encode | None = None
    report: Report | None = None
    compare: Compare | None = None
    decode: Decode | None = None

    @property
    def method(self) -> str:
        """What is done with the features, a name in `pipeline.METHODS`."""
        return next(name for name in FRAMES if getattr(self, name) is not None)

    def table(self) -> dict[str, Any]:
        """Give the experiment as nested plain values, all defaults spelt out, in the order of an experiment file."""
        frame = self.model_dump(mode="json", include=set(FRAMES[self.method].model_fields) - {"name", "seed"})
        return {
            "name": self.name,
            "seed": self.seed,
            "data": {"set": self.data.set, **self.data.config.model_dump(mode="json")},
            "features": {
                name: {"extractor": space.extractor, **space.config.model_dump(mode="json")}
                for name, space in self.features.items()
            },
            **frame,
        }

    @property
    def key(self) -> str:
        """Sha256 of the resolved settings."""
        return hashlib.sha256(json.dumps(self.table(), sort_keys=True).encode()).hexdigest()


def read_experiment(path: Path, overrides: tuple[str, ...] = ()) -> Experiment:
    """Read an experiment file and apply `KEY=VALUE` overrides.

    Parameters
    ----------
    path : Path
        A TOML file. Values that begin with `./`, `../` or `~`, or that have a slash and name something that exists, are
        paths relative to it.
    overrides : tuple of str
        `encode.outer.n=10`: a dotted key and a TOML value; what is not TOML is taken as text. Paths are relative to the
        working directory.

    Raises
    ------
    BadConfig
        Lists every problem with its key.
    MissingData
        The file is absent.
    """
    path = Path(path)
    table = _absolute(_read_toml(path), path.parent)
    problems: list[str] = []
    for override in overrides:
        _apply(table, override, problems)
    source = str(path) if not overrides else f"{path} with --set {' '.join(overrides)}"
    if problems:
        raise BadConfig(problems, source)
    return parse_experiment(table, source)


def parse_experiment(table: dict[str, Any], source: str = "experiment") -> Experiment:
    """Check a nested table of settings; see `read_experiment`."""
    problems: list[str] = []
    table = dict(table)
    data, features = table.pop("data", None), table.pop("features", None)
    choice = _plugin(data, "set", DATASETS, "data", problems)
    spaces = {}
    features, bare = features or {}, next((name for name in WITHOUT_FEATURES if name in table), None)
    if not isinstance(features, dict) or bool(features) == bool(bare):
        no_features = "features: expected at least one table [features.<name>]"
        problems.append(f"features: [{bare}] has none, it asks what responses tell" if bare else no_features)
        features = {}
    for name, settings in features.items():
        where = f"features.{name}"
        if not _is_label(name):
            problems.append(f"{where}: names are letters, digits, '_' and '-'")
        if name in TAKEN:
            problems.append(f"{where}: tables of scores have another column of this name; take another")
        spaces[name] = _plugin(settings, "extractor", EXTRACTORS, where, problems)
    methods = [name for name in FRAMES if name in table]
    if len(methods) > 1:
        problems.append(f"an experiment has one of the tables {', '.join(f'[{name}]' for name in methods)}")
    method, *others = methods or FRAMES
    table = {key: value for key, value in table.items() if key not in others}
    frame = _validate(FRAMES[method], table, "", problems, also_known=("data", "features", *others))
    if isinstance(frame, _EncodeFrame):
        _check_names(frame, features, problems)
    if problems:
        raise BadConfig(problems, source)
    return Experiment(
        **{name: getattr(frame, name) for name in type(frame).model_fields},
        data=DataChoice(set=choice[0], config=choice[1]),
        features={name: FeatureSpace(extractor=e, config=c) for name, (e, c) in spaces.items()},
    )


def parse_settings(model: type[BaseModel], overrides: tuple[str, ...] = (), source: str = "settings") -> BaseModel:
    """Give settings that have defaults with `KEY=VALUE` overrides applied; see `read_experiment`."""
    problems: list[str] = []
    table: dict[str, Any] = {}
    for override in overrides:
        _apply(table, override, problems)
    settings = _validate(model, table, "", problems)
    if problems:
        raise BadConfig(problems, source)
    return settings


def _check_names(frame: _EncodeFrame, features: dict[str, Any], problems: list[str]) -> None:
    """Note feature spaces that are named but not there."""
    named = {
        "encode.controls": [frame.encode.controls] if frame.encode.controls else [],
        "encode.together": frame.encode.together,
        "report.clock.features": [frame.report.clock.features] if frame.report.clock else [],
        "report.generalisation.features": [frame.report.generalisation.features] if frame.report.generalisation else [],
    }
    for key, name in ((key, name) for key, names in named.items() for name in names):
        if name not in features:
            hint = did_you_mean(name, features)
            problems.append(f"{key}: no feature space {name!r}{hint}; there are {list(features)}")


def render(table: dict[str, Any], comments: dict[str, str] | None = None) -> str:
    """Write nested settings as TOML that reads back equal; `comments` maps dotted keys to a remark."""
    lines: list[str] = []
    _render_table(table, (), lines, comments or {})
    return "\n".join(lines).strip() + "\n"


def describe(experiment: Experiment) -> dict[str, str]:
    """Dotted key -> description of every setting that has one, for the comments of `brainalign init`."""
    described: dict[str, str] = {}
    _describe(FRAMES[experiment.method], (), described)
    _describe(type(experiment.data.config), ("data",), described)
    for name, space in experiment.features.items():
        _describe(type(space.config), ("features", name), described)
    return described


def _read_toml(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise MissingData(f"{path} is a folder; give an experiment file (.toml)")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else [])
        raise MissingData(f"{path}: no such experiment file{near}") from None
    except UnicodeDecodeError as error:
        raise BadConfig([f"not UTF-8 at byte {error.start}; save the file as UTF-8"], str(path)) from None
    if path.suffix.lower() in {".yaml", ".yml"}:
        raise BadConfig(["experiment files are TOML; `brainalign init` writes one"], str(path))
    if not text.strip():
        raise BadConfig(["the file is empty; `brainalign init` writes one with every default"], str(path))
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise BadConfig([f"not TOML: {error}"], str(path)) from None


def _absolute(value: Any, folder: Path) -> Any:
    """Make text that is spelt as a relative path absolute."""
    if isinstance(value, dict):
        return {key: _absolute(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_absolute(item, folder) for item in value]
    if isinstance(value, str) and value:
        path = folder / Path(value).expanduser()
        if value.startswith(("./", "../", "~")) or ("/" in value and path.exists()):
            return str(path.resolve())
    return value


def _apply(table: dict[str, Any], override: str, problems: list[str]) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        problems.append(f"--set {override}: expected KEY=VALUE")
        return
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            problems.append(f"--set {override}: {parent!r} is not a table")
            return
    table[last] = _absolute(value, Path.cwd())


def _is_label(name: str) -> bool:
    return all(c.isascii() and (c.isalnum() or c in "_-") for c in name) and bool(name)


def _frozen(value: Any) -> Any:
    """TOML arrays as tuples, which is what frozen settings hold."""
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _plugin(settings, selector, registry, where, problems):
    """Give (name, Config) of a plug-in table, or note what is wrong with it."""
    if not isinstance(settings, dict):
        problems.append(f"{where}: expected a table [{where}] with `{selector}`")
        return None
    settings = dict(settings)
    name = settings.pop(selector, None)
    if not isinstance(name, str):
        problems.append(f"{where}.{selector}: expected one of {', '.join(registry)}")
        return None
    try:
        module = registry[name]
    except UnknownName as error:
        problems.append(f"{where}.{selector}: {error}")
        return None
    return name, _validate(module.Config, settings, where, problems, also_known=(selector,))


def _validate(model, settings, where, problems, *, also_known=()):
    try:
        return model.model_validate(_frozen(settings))
    except ValidationError as error:
        items = error.errors()
        for item in items:
            if not _follows_from_another(item, items):
                problems.append(_explain(item, model, where, also_known))
        return None


def _follows_from_another(item, items) -> bool:
    """Tell whether a list counts as empty only because its members were refused."""
    inside = (other["loc"] for other in items if len(other["loc"]) > len(item["loc"]))
    return item["type"] == "too_short" and any(loc[: len(item["loc"])] == item["loc"] for loc in inside)


def _explain(item, model, where, also_known) -> str:
    """One line for one pydantic error: the key, what is wrong, what was got, the nearest known key."""
    path = [str(part) for part in item["loc"]]
    key = ".".join([where, *path] if where else path)
    if item["type"] == "extra_forbidden":
        known = [*_fields_at(model, path[:-1]), *(also_known if len(path) == 1 else ())]
        return f"{key}: unknown key{did_you_mean(path[-1], known)}; known: {', '.join(known)}"
    if item["type"] == "missing":
        return f"{key}: missing"
    return f"{key}: {item['msg'].removeprefix('Value error, ')}, got {item['input']!r}"


def _model_in(annotation) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next(filter(None, map(_model_in, typing.get_args(annotation))), None)
    return None


def _fields_at(model, path) -> list[str]:
    for part in path:
        model = _model_in(model.model_fields[part].annotation) if part in model.model_fields else None
        if model is None:
            return []
    return list(model.model_fields)


def _describe(model, where, described) -> None:
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is not None:
            _describe(inner, (*where, name), described)
        elif field.description:
            described[".".join((*where, name))] = _with_choices(field.description, field.annotation)


def _with_choices(description: str, annotation) -> str:
    """Add the words that a setting may be, unless its description has one of them."""
    choices = [str(choice) for choice in _literals(annotation)]
    if len(choices) < 2 or any(choice in description for choice in choices):
        return description
    return f"{description} ({', '.join(choices)})"


def _literals(annotation) -> tuple:
    if typing.get_origin(annotation) is Literal:
        return typing.get_args(annotation)
    return tuple(literal for inner in typing.get_args(annotation) for literal in _literals(inner))


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{key} = {_toml_value(item)}" for key, item in value.items() if item is not None) + " }"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value) if isinstance(value, bool | int) else repr(float(value))


def _render_table(table, where, lines, comments) -> None:
    for key, value in table.items():
        dotted = ".".join((*where, key))
        if value is None or (isinstance(value, dict) and (not where or where == ("features",))):
            continue
        text = f"{key} = {_toml_value(value)}"
        remark = comments.get(dotted)
        if isinstance(value, dict):
            explained = (k for k, item in value.items() if item is not None and f"{dotted}.{k}" in comments)
            remark = "; ".join(f"{k}: {comments[f'{dotted}.{k}']}" for k in explained)
        lines.append(f"{text}  # {remark}" if remark else text)
    for key, value in table.items():
        if isinstance(value, dict) and (not where or where == ("features",)):
            if where or key != "features":
                lines += ["", f"[{'.'.join((*where, key))}]"]
            _render_table(value, (*where, key), lines, comments)
