"""Units that prefer a number: how they are chosen, what they prefer, and what can be read from them.

The analysis of variance of a unit's response, with a numerosities, b stimulus sets and r pictures for each pair:

    SS_number = r b sum_i (m_i. - m)^2                          a - 1 degrees of freedom
    SS_set    = r a sum_j (m_.j - m)^2                          b - 1
    SS_both   = r sum_ij (m_ij - m_i. - m_.j + m)^2             (a - 1) (b - 1)
    SS_error  = sum_ijk (y_ijk - m_ij)^2                        a b (r - 1)
    F = (SS / its degrees of freedom) / (SS_error / its degrees of freedom)
    eta^2 = SS / (SS_number + SS_set + SS_both + SS_error)

A unit is called number-selective where p < .01 for number, and p >= .01 for set and for both together. The second half
asks that something be *not* significant; with more pictures it is, for ever more units, and the share of such units
falls: it measures the power of the test. Hence the share as a curve over pictures, and eta^2, which has no threshold.
Means and SS_error are kept while pictures come in (`add`), so that no responses need to be stored.

References
----------
Nasr, Viswanathan & Nieder (2019), Science Advances 5:eaav7903. Kim, Jang, Baek, Song & Paik (2021), Science Advances
7:eabd6127, with code (vsnnlab/Number): thresholds, tuning curves, bounds of the fits. Zhang & Wu (2020), On numerosity
of deep neural networks, NeurIPS 33: the critique. Chan, Golub & LeVeque (1983), The American Statistician 37:242-247
(sums of squares of parts). Oracle: F tests of nested linear models.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import curve_fit
from scipy.special import fdtrc
from sklearn.linear_model import LogisticRegression, RidgeCV

from brainalign.errors import BrainalignError

EFFECTS = ("number", "set", "both")
SCALES = {
    "linear": lambda n: n,
    "power 0.5": lambda n: n**0.5,
    "power 0.33": lambda n: n**0.33,
    "log": np.log2,
}
"""Scales on which tuning curves are fitted."""


class Cells(NamedTuple):
    """Means of units over the pictures of each condition, and what is left within conditions.

    Parameters
    ----------
    means : array (n_numerosities, n_sets, n_units)
    within : array (n_units,)
        Sum of squares round the means of the conditions.
    n_images : int
        Pictures per condition.
    """

    means: np.ndarray
    within: np.ndarray
    n_images: int


class Anova(NamedTuple):
    """Analysis of variance of many units; the first axis is that of `EFFECTS`.

    Parameters
    ----------
    F, p, eta_squared : array (3, n_units)
        nan for units that never respond, or are constant.
    """

    F: np.ndarray
    p: np.ndarray
    eta_squared: np.ndarray


def cells_of(responses) -> Cells:
    """Give the cells of responses (n_images, n_numerosities, n_sets, n_units), in float64.

    Raises
    ------
    BrainalignError
        The responses have other axes, or are not finite.
    """
    responses = np.asarray(responses, dtype=np.float64)
    if responses.ndim != 4 or 0 in responses.shape:
        raise BrainalignError(f"responses must be (n_images, n_numerosities, n_sets, n_units), got {responses.shape}")
    if not np.isfinite(responses).all():
        raise BrainalignError("responses must be finite")
    means = responses.mean(axis=0)
    return Cells(means, ((responses - means) ** 2).sum(axis=(0, 1, 2)), len(responses))


def add(cells: Cells | None, more: Cells) -> Cells:
    """Put the cells of further pictures of the same units to those so far (None: there are none).

    References
    ----------
    Chan, Golub & LeVeque (1983); oracle: the cells of all pictures at once.
    """
    if cells is None:
        return more
    if cells.means.shape != more.means.shape:
        raise BrainalignError(f"cells must have the same shape, got {cells.means.shape} and {more.means.shape}")
    n, apart = cells.n_images + more.n_images, more.means - cells.means
    between = (apart**2).sum(axis=(0, 1)) * cells.n_images * more.n_images / n
    return Cells(cells.means + apart * more.n_images / n, cells.within + more.within + between, n)


def anova(cells: Cells) -> Anova:
    """Test number, stimulus set and both together, in all units at once.

    Parameters
    ----------
    cells : Cells
        With at least 2 pictures per condition, 2 numerosities and 2 sets.

    Returns
    -------
    anova : Anova

    Raises
    ------
    BrainalignError
        There are fewer.

    References
    ----------
    The docstring of this module; oracle: F tests of nested linear models.
    """
    (a, b, n_units), r = cells.means.shape, cells.n_images
    if min(a, b, r) < 2:
        raise BrainalignError(f"numerosities, sets and pictures must be at least 2 each, got {a}, {b} and {r}")
    grand = cells.means.mean(axis=(0, 1))
    of_number, of_set = cells.means.mean(axis=1) - grand, cells.means.mean(axis=0) - grand  # (a, n_units), (b, n_units)
    of_both = cells.means - grand - of_number[:, None] - of_set[None]
    squares = np.empty((3, n_units))
    squares[0] = r * b * (of_number**2).sum(axis=0)
    squares[1] = r * a * (of_set**2).sum(axis=0)
    squares[2] = r * (of_both**2).sum(axis=(0, 1))
    freedom = np.array([a - 1, b - 1, (a - 1) * (b - 1)])[:, None]
    left = a * b * (r - 1)
    within = np.where(cells.within > 0, cells.within, np.nan)
    ratios = squares / freedom / (within / left)
    return Anova(ratios, fdtrc(freedom, left, ratios), squares / (squares.sum(axis=0) + within))


def number_selective(tested: Anova, *, alpha: float = 0.01) -> np.ndarray:
    """Say which units are number-selective, bool (n_units,): p < alpha for number, p >= alpha for the other two."""
    number, of_set, both = tested.p
    return (number < alpha) & (of_set >= alpha) & (both >= alpha)


def tuning_curves(cells: Cells) -> np.ndarray:
    """Give the mean response to each numerosity, over pictures and sets, (n_numerosities, n_units)."""
    return cells.means.mean(axis=1)


def preferred(curves) -> np.ndarray:
    """Give the place of the numerosity of the highest response, (n_units,), of curves (n_numerosities, n_units)."""
    return np.argmax(curves, axis=0)


def mean_tuning(curves) -> np.ndarray:
    """Give the mean tuning curve of the units of each preferred numerosity, from 0 to 1.

    Parameters
    ----------
    curves : array (n_numerosities, n_units)

    Returns
    -------
    mean_curves : array (n_numerosities, n_numerosities)
        Row i is of the units that prefer numerosity i, nan where there are none.

    References
    ----------
    Kim et al. (2021): the curves of units are averaged, then brought to 0..1.
    """
    curves = np.asarray(curves, dtype=float)
    best = preferred(curves)
    rows = np.full((len(curves), len(curves)), np.nan)
    for i in np.unique(best):
        row = curves[:, best == i].mean(axis=1)
        rows[i] = (row - row.min()) / np.ptp(row) if np.ptp(row) > 0 else np.nan
    return rows


def fit_gaussian(curve, numerosities, *, scale: str) -> tuple[float, float, float]:
    """Fit a Gaussian to a tuning curve: a exp(-((x - b) / c)^2), x the numerosity on a scale.

    Parameters
    ----------
    curve : array (n_numerosities,)
    numerosities : array (n_numerosities,)
    scale : str
        One of `SCALES`.

    Returns
    -------
    centre : float
        b, on the scale.
    width : float
        The standard deviation c / sqrt(2), on the scale.
    r_squared : float
        1 - squares left / squares round the mean. All three are nan for a curve with nan.

    References
    ----------
    Kim et al. (2021), code (Weberlaw.m): a from 0 to 1.5, b from 0 to 30 and c up to 100 on the linear scale; on the
    others b spans the same numerosities (from 1) and c is as many times the span. Oracle: a Gaussian is found again.
    """
    if np.isnan(curve).any():
        return np.nan, np.nan, np.nan
    numerosities = np.asarray(numerosities, dtype=float)
    x = SCALES[scale](numerosities)
    low, high = (0.0 if scale == "linear" else x.min()), x.max()
    widest = 100 / 30 * (high - low)

    def gaussian(x, a, b, c):
        return a * np.exp(-(((x - b) / c) ** 2))

    start = (1.0, x[np.argmax(curve)], (high - low) / 4)
    found, _ = curve_fit(gaussian, x, curve, p0=start, bounds=([0, low, 1e-3], [1.5, high, widest]), maxfev=10_000)
    left = ((curve - gaussian(x, *found)) ** 2).sum()
    return found[1], found[2] / np.sqrt(2), 1 - left / ((curve - np.mean(curve)) ** 2).sum()


class Matching(NamedTuple):
    """How a read-out judged whether sample and test show the same number.

    Parameters
    ----------
    sample, test : int array (n_trials,)
        Places of the numerosities; half of the trials are matches.
    correct : bool array (n_trials,)
    """

    sample: np.ndarray
    test: np.ndarray
    correct: np.ndarray


def match_to_sample(responses, numerosities, *, n_trials: int = 2_000, seed: int = 0) -> Matching:
    """Teach a linear read-out to say whether two pictures show the same number, and test it.

    The read-out estimates the logarithm of the number from the units by ridge regression (penalty by leaving out single
    pictures) and says "same" where two estimates are near. It learns from one half of the pictures, how near from
    estimates of pictures that its weights have not seen, and is tested with the other half. Sample and test are
    pictures of different sets. Chance is .5.

    Parameters
    ----------
    responses : array (n_images, n_numerosities, n_sets, n_units)
        Of the units to read from, best to pictures that did not choose them. At least 4 pictures per condition.
    numerosities : sequence of int (n_numerosities,)
    n_trials : int
        To learn how near from, and to test with as many.
    seed : int
        Of the trials.

    Returns
    -------
    matching : Matching
        Of the test trials.

    Raises
    ------
    BrainalignError
        There are fewer than 4 pictures, 2 numerosities or 2 sets, no units, or not a number for each numerosity.

    References
    ----------
    The task of Nasr et al. (2019); how their read-out learned is not in the parts that could be read. Oracle: units
    that tell the number, units of noise, and units that tell it in one half of the pictures only.
    """
    responses = np.asarray(responses, dtype=float)
    if responses.ndim != 4 or any(n < least for n, least in zip(responses.shape, (4, 2, 2, 1), strict=True)):
        raise BrainalignError(
            "responses must be (n_images, n_numerosities, n_sets, n_units), at least (4, 2, 2, 1), got "
            f"{responses.shape}"
        )
    if len(numerosities) != responses.shape[1]:
        raise BrainalignError(f"expected {responses.shape[1]} numerosities, got {len(numerosities)}")
    generator, half = np.random.default_rng(seed), len(responses) // 2
    learned, held_out = responses[:half], responses[half:]
    spread = learned.std(axis=(0, 1, 2))
    learned, held_out = (values / np.where(spread > 0, spread, 1.0) for values in (learned, held_out))
    numbers = np.log2(np.asarray(numerosities, dtype=float))
    apart = [_estimates(np.delete(learned, i, axis=0), numbers, learned[i : i + 1]) for i in range(half)]
    differences, same, _, _ = _trials(generator, np.concatenate(apart), n_trials)
    judge = LogisticRegression().fit(differences, same)
    differences, same, sample, test = _trials(generator, _estimates(learned, numbers, held_out), n_trials)
    return Matching(sample, test, judge.predict(differences) == same)


def _estimates(learned, numbers, seen):
    """Estimate the numbers that pictures show from the units' responses to them, (n_images, ..., n_sets, 1)."""
    n_units = learned.shape[3]
    wanted = np.broadcast_to(numbers[:, None], learned.shape[:3])
    reader = RidgeCV(alphas=np.logspace(0, 6, 13)).fit(learned.reshape(-1, n_units), wanted.ravel())
    return reader.predict(seen.reshape(-1, n_units)).reshape(*seen.shape[:3], 1)


def _trials(generator, values, n_trials):
    """Draw pairs of pictures of different sets, every other one a match."""
    n_images, n_numerosities, n_sets, _ = values.shape
    sample = generator.integers(0, n_numerosities, n_trials)
    same = np.arange(n_trials) % 2 == 0
    test = np.where(same, sample, (sample + generator.integers(1, n_numerosities, n_trials)) % n_numerosities)
    sets = generator.integers(0, n_sets, n_trials)
    other = (sets + generator.integers(1, n_sets, n_trials)) % n_sets
    which = generator.integers(0, n_images, (2, n_trials))
    differences = np.abs(values[which[0], sample, sets] - values[which[1], test, other])
    return differences, same, sample, test
