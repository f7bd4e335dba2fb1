"""Representational similarity: whether stimuli that are alike to a model are alike to a brain.

data -> events, RDMs of brains; events -> activations (one cell per feature space and weights); activations -> RDM,
compared with the RDM of every person and with their mean (one cell per feature space, weights and layer). Models that
were published with the data, and brain areas among each other, are compared in the same way.

References
----------
Kriegeskorte, Mur & Bandettini (2008), Front Syst Neurosci 2:4; Nili et al. (2014), PLoS Comput Biol 10:e1003553.
"""

import timeit
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import __version__
from brainalign.arrays import Dissimilarities, Rdms
from brainalign.compare.relatedness import p_values, random_order_similarities
from brainalign.compare.rsa import COMPARISONS, DISTANCES, noise_ceiling
from brainalign.config import Experiment
from brainalign.data import DATASETS
from brainalign.errors import BrainalignError, Misaligned
from brainalign.jobs.cells import Cell
from brainalign.pipeline.cell_files import read_arrays, write_arrays
from brainalign.pipeline.features import (
    CellPlan,
    Features,
    load_activations,
    problems_of_layers,
    sha256_of_parts,
)
from brainalign.pipeline.subjects import MEAN

TABLES = ("similarities", "rdms")
LOADED_BY = "load_rdms"
COLUMNS = (
    "subject", "family", "feature_space", "weights", "layer", "target", "comparison", "similarity", "p", "p_corrected",
    "ceiling_lower", "ceiling_upper",
)  # fmt: skip
FEATURES, PUBLISHED, BRAIN = "features", "published", "brain"
N_TIMED = 9  # comparisons that a plan measures; the median, as other programs may interrupt some of them
RESOLUTION = 1e-10  # share of the largest dissimilarity of features: smaller differences are rounding, not ranked


@dataclass(frozen=True)
class Candidate:
    """What is compared with the brains: a layer of a feature space, a published model, or another brain area.

    Parameters
    ----------
    family : {"features", "published", "brain"}
    feature_space : str
        Its name in tables.
    weights, layer : str
        "" where there are none.
    extraction : Cell, optional
        Of features.
    """

    family: str
    feature_space: str
    weights: str = ""
    layer: str = ""
    extraction: Cell | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """An experiment with its data in memory and its work laid out.

    Parameters
    ----------
    experiment : Experiment
    stimuli : Dissimilarities
    references : Rdms
        Rows `target, subject`: one RDM per person, the mean of the sessions, and the mean of the people as a subject of
        its own.
    """

    experiment: Experiment
    stimuli: Dissimilarities
    references: Rdms

    @cached_property
    def features(self) -> Features:
        """Feature spaces over the stimuli, with their extraction cells."""
        return Features(self.experiment.features, self.stimuli.events)

    @cached_property
    def candidates(self) -> dict[Cell, Candidate]:
        """Comparison cells and what each compares, in the order of the experiment file."""
        described = _describe_rdms(self.references)
        return {self._cell(c, described): c for c in self._candidates()}

    @property
    def cells(self) -> list[Cell]:
        """All cells, each after those it reads."""
        return [*self.features.cells.values(), *self.candidates]

    @property
    def provenance(self) -> dict:
        """What the RDMs came from."""
        return self.stimuli.brains.provenance

    def given_rdm(self, candidate: Candidate) -> np.ndarray:
        """RDM of a published model, or the mean RDM of a brain area, (n_pairs,)."""
        if candidate.family == PUBLISHED:
            rdms, chosen = self.stimuli.models, self.stimuli.models.rows["name"] == candidate.feature_space
        else:
            rows = self.references.rows
            rdms, chosen = self.references, (rows["target"] == candidate.feature_space) & (rows["subject"] == MEAN)
        return rdms.values[chosen.to_numpy()][0]

    def _candidates(self) -> Iterator[Candidate]:
        for (name, weights), cell in self.features.cells.items():
            for layer in self.features.layers(name):
                yield Candidate(FEATURES, name, weights, layer, cell)
        for name in self.stimuli.models.rows["name"] if self.stimuli.models is not None else ():
            yield Candidate(PUBLISHED, name)
        targets = self.references.rows["target"].unique()
        for name in targets if len(targets) > 1 else ():
            yield Candidate(BRAIN, name)

    def _cell(self, candidate: Candidate, references: str) -> Cell:
        compare = self.experiment.compare
        settings = {
            "does": "compare",
            "version": __version__,
            "references": references,
            "comparison": compare.comparison,
            "n_permutations": compare.n_permutations,
            "seed": self.experiment.seed,
        }
        if candidate.extraction is None:
            settings["rdm"] = sha256_of_parts(np.ascontiguousarray(self.given_rdm(candidate)).tobytes())
            return Cell(f"compare-{candidate.family}-{candidate.feature_space}", settings)
        settings |= {"features": [candidate.extraction.folder, candidate.layer], "distance": compare.distance}
        parts = ("compare", candidate.feature_space, candidate.weights, candidate.layer.strip("-"))
        return Cell("-".join(filter(None, parts)), settings, needs=(candidate.extraction.folder,))


def prepare(experiment: Experiment, data_dir: Path | None) -> Prepared:
    """Load the data of an experiment and lay out its work.

    Raises
    ------
    MissingData
        The data are absent.
    """
    stimuli = DATASETS[experiment.data.set].load_rdms(experiment.data.config, data_dir)
    return Prepared(experiment, stimuli, mean_rdms(stimuli.brains))


def mean_rdms(brains: Rdms) -> Rdms:
    """Average the RDMs of the sessions of every person, and of several people as the subject "mean".

    A target of one subject gets no mean of its own: its only RDM is called "mean".
    """
    rows, values = [], []
    for target, of_target in brains.rows.groupby("target", sort=False):
        people = of_target.groupby("subject", sort=False)
        of_people = [brains.values[of_person.index].mean(axis=0) for _, of_person in people]
        if len(of_people) > 1:
            rows += [{"target": target, "subject": subject} for subject, _ in people]
            values += of_people
        rows.append({"target": target, "subject": MEAN})
        values.append(np.mean(of_people, axis=0))
    return Rdms(np.stack(values), pd.DataFrame(rows), brains.columns, brains.provenance)


def _describe_rdms(rdms: Rdms) -> str:
    return sha256_of_parts(np.ascontiguousarray(rdms.values).tobytes(), rdms.rows.to_csv(index=False))


class Computer:
    """Computes the cells of a prepared experiment.

    Parameters
    ----------
    prepared : Prepared
    store : jobs.store.Store
        Where the cells that a cell reads are, and what it has half done.
    """

    def __init__(self, prepared: Prepared, store):
        self.prepared = prepared
        self.store = store

    def __call__(self, cell: Cell, folder: Path) -> None:
        """Compute a cell and write its files into an empty folder."""
        if cell in self.prepared.candidates:
            self.compare(self.prepared.candidates[cell], folder)
        else:
            self.prepared.features.extract(cell, folder, self.store)

    def rdm(self, candidate: Candidate) -> np.ndarray:
        """RDM of a candidate, (n_pairs,).

        Raises
        ------
        Misaligned
            A feature space does not have one row per stimulus.
        BrainalignError
            The stimuli are all alike to it, or a distance is undefined.
        """
        if candidate.extraction is None:
            return self.prepared.given_rdm(candidate)
        activations = load_activations(self.store.path, candidate.extraction, candidate.layer)
        if len(activations.values) != len(self.prepared.stimuli.events):
            raise Misaligned(f"{candidate.feature_space}: {len(activations.values)} rows, one per stimulus is needed")
        rdm = _resolved(DISTANCES[self.prepared.experiment.compare.distance](activations.values))
        if not np.isfinite(rdm).all() or np.ptp(rdm) == 0:
            where = " ".join(filter(None, (candidate.feature_space, candidate.weights, candidate.layer)))
            raise BrainalignError(
                f"{where}: {np.isnan(rdm).sum()} of {rdm.size} dissimilarities are undefined (a constant stimulus), "
                "or all are equal; choose another compare.distance or other layers"
            )
        return rdm

    def compare(self, candidate: Candidate, folder: Path) -> None:
        """Write the RDM of a candidate, its similarity with every reference, and that of random orders."""
        compare, references = self.prepared.experiment.compare, self.prepared.references
        rdm = self.rdm(candidate)
        arrays = {"rdm": rdm}
        arrays |= {f"similarity_{name}": measure(rdm, references.values) for name, measure in COMPARISONS.items()}
        if compare.n_permutations:
            arrays["random_orders"] = random_order_similarities(
                rdm,
                references.values[(references.rows["subject"] == MEAN).to_numpy()],
                comparison=compare.comparison,
                n_permutations=compare.n_permutations,
                seed=self.prepared.experiment.seed,
            )
        write_arrays(folder, arrays)


def _resolved(rdm: np.ndarray) -> np.ndarray:
    """Make equal what differs by rounding only: ranks would tell apart the dissimilarities of categories."""
    step = RESOLUTION * np.abs(rdm).max()
    return np.rint(rdm / step) * step if step > 0 else rdm


def tabulate(prepared: Prepared, path_of) -> dict[str, pd.DataFrame]:
    """Gather the finished cells of an experiment: the tables of `TABLES` by name.

    Parameters
    ----------
    prepared : Prepared
    path_of : callable
        Cell -> folder of the finished cell.

    Returns
    -------
    tables : dict of str to DataFrame
        "similarities": one row per subject x candidate x target x comparison, columns `COLUMNS`. The subject "mean" is
        the mean RDM. p-values, of the comparison that is reported first, belong to the mean RDM; the bounds of the
        noise ceiling to the average over single subjects. "rdms": one row per pair of stimuli, one column per candidate
        and target.
    """
    references = prepared.references.rows
    blocks, nulls = [], []
    rdms = _mean_rdms_by_column(prepared.references)
    for cell, candidate in prepared.candidates.items():
        found = read_arrays(path_of(cell))
        what = {"family": candidate.family, "feature_space": candidate.feature_space}
        what |= {"weights": candidate.weights, "layer": candidate.layer.strip("-")}
        for name in COMPARISONS:
            similarity = found[f"similarity_{name}"]
            blocks.append(references.assign(**what, comparison=name, similarity=similarity))
        nulls.append(found.get("random_orders"))
        if candidate.family != BRAIN:
            rdms[_column_of(candidate)] = found["rdm"]
    table = pd.concat(blocks, ignore_index=True)
    table = table[(table["family"] != BRAIN) | (table["feature_space"] != table["target"])]
    table = table.merge(_ceilings(prepared.references), how="left", on=["target", "comparison"], validate="many_to_one")
    table = _with_p_values(table, prepared, nulls)
    return {"similarities": table[list(COLUMNS)], "rdms": rdms}


def _column_of(candidate: Candidate) -> str:
    """Name of a candidate among the RDMs: whatever a feature space is called, it is neither a model nor a position."""
    parts = (candidate.family, candidate.feature_space, candidate.weights, candidate.layer.strip("-"))
    return " ".join(filter(None, parts))


def _mean_rdms_by_column(references: Rdms) -> pd.DataFrame:
    means = references.take_rows((references.rows["subject"] == MEAN).to_numpy())
    names = [f"{BRAIN} {target}" for target in means.rows["target"]]
    return pd.concat([references.columns, pd.DataFrame(means.values.T, columns=names)], axis=1)


def _ceilings(references: Rdms) -> pd.DataFrame:
    """Bounds of the noise ceiling of targets of several subjects: `target comparison ceiling_lower ceiling_upper`."""
    rows = []
    for target, of_target in references.rows[references.rows["subject"] != MEAN].groupby("target", sort=False):
        for name in COMPARISONS:
            ceiling = noise_ceiling(references.values[of_target.index], comparison=name)
            bounds = {"ceiling_lower": ceiling.lower, "ceiling_upper": ceiling.upper}
            rows.append({"target": target, "comparison": name, **bounds})
    return pd.DataFrame(rows, columns=["target", "comparison", "ceiling_lower", "ceiling_upper"])


def _with_p_values(table: pd.DataFrame, prepared: Prepared, nulls: list) -> pd.DataFrame:
    """Add p-values against random orders, corrected over the candidates of a target."""
    table = table.assign(p=np.nan, p_corrected=np.nan)
    if not prepared.experiment.compare.n_permutations:
        return table
    of_first = (table["subject"] == MEAN) & (table["comparison"] == prepared.experiment.compare.comparison)
    targets = prepared.references.rows.query("subject == @MEAN")["target"]
    for i_target, target in enumerate(targets):
        rows = table.index[of_first & (table["target"] == target)]
        null = [
            of_candidate[:, i_target]
            for candidate, of_candidate in zip(prepared.candidates.values(), nulls, strict=True)
            if (candidate.family, candidate.feature_space) != (BRAIN, target)
        ]
        p, corrected = p_values(table.loc[rows, "similarity"].to_numpy(), np.stack(null))
        table.loc[rows, "p"], table.loc[rows, "p_corrected"] = p, corrected
    return table


def problems_of_settings(experiment: Experiment) -> list[str]:
    """Name what is wrong whatever the data."""
    return problems_of_layers(experiment.features)


def problems_of_prepared(prepared: Prepared, known: list[str]) -> list[str]:
    """Name what would be stumbled over; `known`: problems that were found before."""
    own_clocks = [
        f"features.{name}: its rows have a clock of their own, but RDMs are of stimuli"
        for name in prepared.experiment.features
        if prepared.features.have_own_clock(name)
    ]
    return [*own_clocks, *prepared.features.problems(known=[*known, *own_clocks])]


def plan_cells(prepared: Prepared) -> list[CellPlan]:
    """Say what every cell needs, before anything is computed."""
    n_references, n_pairs = prepared.references.shape
    plans, seconds = prepared.features.plan_cells(), cache(lambda: _seconds_of_random_orders(prepared))
    for cell, candidate in prepared.candidates.items():
        width = prepared.features.width(candidate.extraction) if candidate.extraction else 0
        n_stimuli, n_random = len(prepared.stimuli.events), prepared.experiment.compare.n_permutations
        size = f"{n_stimuli} stimuli x {width} units, {n_references} RDMs" if width else f"{n_references} RDMs"
        on_disk = 8 * (n_pairs + len(COMPARISONS) * n_references + n_random * n_references)
        memory = 8 * (n_stimuli * width + 3 * n_stimuli**2) + on_disk
        plans.append(CellPlan(cell, size, memory, on_disk, seconds))
    return plans


def _seconds_of_random_orders(prepared: Prepared) -> float:
    """Measure a few comparisons, which are nearly all of the work."""
    compare, references = COMPARISONS[prepared.experiment.compare.comparison], prepared.references
    means = references.values[(references.rows["subject"] == MEAN).to_numpy()]
    taken = timeit.repeat(lambda: compare(means[:1], means), number=1, repeat=N_TIMED)
    return prepared.experiment.compare.n_permutations * float(np.median(taken))
