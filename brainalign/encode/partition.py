"""Which feature space explains what: unique and shared variance, and the split of a joint model's r2."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from brainalign.encode.metrics import as_float, check_finite, is_constant, power_of_two
from brainalign.encode.score import cross_validate
from brainalign.encode.spaces import columns_of, named_spaces
from brainalign.errors import BrainalignError, Misaligned, UnknownName


@dataclass(frozen=True, eq=False)
class Partition:
    """What each combination of feature spaces explains that no other space does.

    `partition["a"]` is what only a explains, `partition["a", "b"]` what a and b both explain and the others do not.

    Parameters
    ----------
    parts : dict of tuple of str to array of shape (n_targets,)
        Shares of the variance: 3 for two feature spaces, 7 for three. They sum to `full`.
    r2 : dict of tuple of str to array of shape (n_targets,)
        Of the models that the parts were computed from, one per union of feature spaces.
    """

    parts: dict[tuple[str, ...], np.ndarray]
    r2: dict[tuple[str, ...], np.ndarray]

    @property
    def full(self):
        """The r2 of the model of all feature spaces, (n_targets,)."""
        return self.r2[max(self.r2, key=len)]

    def __getitem__(self, names):
        asked = _as_set(names)
        for part, share in self.parts.items():
            if set(part) == asked:
                return share
        raise UnknownName("part", _joined(sorted(asked)), [_joined(part) for part in self.parts])


def partition(r2):
    """Split the variance that two or three feature spaces explain into unique and shared parts.

    With R(T) the r2 of the model of the spaces T and N all of them, what only the spaces of S explain, all together, is

        part(S) = sum over T within S of (-1)^(|S| - |T|) (R(N) - R(N without T))        R of no space: 0

    for two spaces `R(ab) - R(b)`, `R(ab) - R(a)`, and shared `R(a) + R(b) - R(ab)`.

    Parameters
    ----------
    r2 : dict of str, tuple or frozenset of str to array of shape (n_targets,)
        The held-out r2 of every union of the feature spaces: 3 for two, 7 for three.

    Returns
    -------
    partition : Partition
        Negative parts are kept: held-out r2 of noisy models need not grow with their features, and spaces may explain
        more together than the sum of both (suppression). Clipped parts would no longer sum to the full model, and
        would be positive on average where there is nothing. nan in all parts of a target where one r2 is nan.

    Raises
    ------
    BrainalignError
        One or more than three feature spaces, a union that is missing, superfluous, or there twice.
    Misaligned
        The arrays are not 1-D or differ in length.

    References
    ----------
    de Heer et al. (2017), J Neurosci 37:6539, Methods; Lescroart et al. (2015), Front Comput Neurosci 9:135. Oracles:
    the set differences written out, planted shared features.
    """
    r2 = _checked_unions(r2)
    spaces = max(r2, key=len)
    undefined = np.isnan(np.stack(list(r2.values()))).any(axis=0)  # (n_targets,)
    explained = {frozenset(union): share for union, share in r2.items()} | {frozenset(): 0.0}
    every = frozenset(spaces)

    def part(names):
        subsets = [frozenset(subset) for size in range(len(names) + 1) for subset in combinations(names, size)]
        gains = [(-1) ** (len(names) - len(T)) * (explained[every] - explained[every - T]) for T in subsets]
        return np.where(undefined, np.nan, sum(gains))

    return Partition({names: part(names) for names in _unions(spaces)}, r2)


def partition_variance(estimator, spaces, Y, *, folds, groups=None, run=None):
    """Cross-validate the models of all unions of two or three feature spaces and split what they explain.

    Parameters
    ----------
    estimator : estimator, or callable of a dict of str to slice that gives one
        The encoding model of a union. A callable is handed the columns that each of its spaces has in the X of the
        union, in order: what a banded model needs.
    spaces : dict of str to array of shape (n_samples, n_features)
    Y : array of shape (n_samples, n_targets)
    folds : list of (train, test)
    groups, run : arrays of shape (n_samples,), optional
        As in `score.cross_validate`.

    Returns
    -------
    partition : Partition
        Of the r2, averaged over the folds that have one.

    Raises
    ------
    BrainalignError
        One or more than three feature spaces, folds that `score.cross_validate` refuses.
    Misaligned
        Feature spaces that are not 2-D or differ in length.

    References
    ----------
    See `partition`.
    """
    spaces = named_spaces(spaces)
    _check_number_of(spaces)
    r2 = {}
    for union in _unions(spaces):
        X = np.concatenate([spaces[name] for name in union], axis=1)
        model = estimator(columns_of({name: spaces[name] for name in union})) if callable(estimator) else estimator
        r2[union] = cross_validate(model, X, Y, folds=folds, groups=groups, run=run, metrics=("r2",)).mean("r2")
    return partition(r2)


def product_measure(Y, Y_hats):
    """Split the r2 of a joint linear model into one share per feature space.

    With y centred over the samples, y_hat_i what space i adds to the prediction, and y_hat their sum,

        r2_i = sum(y_hat_i (2 y - y_hat)) / sum(y^2)

    Parameters
    ----------
    Y : array of shape (n_samples, n_targets)
    Y_hats : dict of str to array of shape (n_samples, n_targets)
        What each feature space adds, without the intercept.

    Returns
    -------
    shares : dict of str to array of shape (n_targets,)
        They sum to the r2 of the summed prediction of `Y - mean Y`. Negative where a space makes it worse. nan where
        the response is constant.

    Raises
    ------
    Misaligned
        A shape differs from that of `Y`, which must be 2-D.
    BrainalignError
        A value is not finite, there is no prediction.

    References
    ----------
    Hoffman (1960), Psychol Bull 57:116; Pratt (1987); Dupré la Tour et al. (2022), NeuroImage 264:119728, section 2.
    Oracle: `himalaya.scoring.r2_score_split`.
    """
    Y = as_float(Y)
    Y_hats = {name: as_float(Y_hat) for name, Y_hat in Y_hats.items()}
    if not Y_hats:
        raise BrainalignError("no prediction to split: give what each feature space adds, by name")
    for name, Y_hat in Y_hats.items():
        if Y.ndim != 2 or Y_hat.shape != Y.shape:
            raise Misaligned(f"Y and what {name!r} adds must both be (n_samples, n_targets): {Y.shape}, {Y_hat.shape}")
        check_finite(Y_hat, name=f"the prediction of {name!r}", column="target")
    check_finite(Y, name="Y", column="target")
    centred = Y - Y.mean(axis=0, dtype=np.float64)
    unit = power_of_two(np.abs(centred).max(axis=0))
    centred /= unit
    total = np.where(is_constant(Y), np.nan, np.square(centred).sum(axis=0))
    gain = 2 * centred - sum(Y_hat / unit for Y_hat in Y_hats.values())
    return {name: np.einsum("it,it->t", Y_hat / unit, gain) / total for name, Y_hat in Y_hats.items()}


def _as_set(names):
    return frozenset([names]) if isinstance(names, str) else frozenset(names)


def _joined(names):
    return "+".join(names)


def _unions(spaces):
    """Give all non-empty combinations of names, the smallest first."""
    return [union for size in range(1, len(spaces) + 1) for union in combinations(spaces, size)]


def _check_number_of(spaces):
    if len(spaces) not in (2, 3):
        raise BrainalignError(
            f"variance is partitioned among 2 or 3 feature spaces, got {len(spaces)}: {list(spaces)}; "
            "join some, or split the r2 of their joint model with product_measure"
        )


def _checked_unions(r2):
    """Give the r2 of every union, keys as tuples in one order of the names."""
    given = [_as_set(union) for union in r2]
    spaces = list(dict.fromkeys(name for union in sorted(given, key=len) for name in sorted(union)))
    _check_number_of(spaces)
    expected = _unions(spaces)
    missing = [_joined(union) for union in expected if frozenset(union) not in given]
    if missing:
        raise BrainalignError(f"the r2 of every union of {spaces} is needed, missing: {missing}")
    if len(given) > len(expected):
        raise BrainalignError(f"a union is there twice or has no name: {[_joined(sorted(union)) for union in given]}")
    shares = dict(zip(given, (np.asarray(share, dtype=np.float64) for share in r2.values()), strict=True))
    shapes = {_joined(union): shares[frozenset(union)].shape for union in expected}
    if len(set(shapes.values())) > 1 or shares[given[0]].ndim != 1:
        raise Misaligned(f"the r2 of all unions must be (n_targets,), got {shapes}")
    return {union: shares[frozenset(union)] for union in expected}
