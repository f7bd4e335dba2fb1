"""Pictures of dots that show a number, in three sets that take away what goes along with number.

- "standard": discs of about the same radius at random places. Their area and the room they take grow with their number.
- "area": the area of all discs together is constant, and the mean distance between two of them lies in a fixed range.
- "hull": items of random shape (disc, square, ellipse, triangle) within a regular pentagon.

Radii are drawn from N(r, (r / 10)^2) for each item; items are placed one after the other at places where they touch no
other item and stay inside the frame.

What the sources say, and where they differ: Nasr et al. print what is constant, not the sizes. The code of the same
lab (for 0 to 4 dots: radius 18 px, 5 px between outlines) cannot show 30 dots: those would cover 61 % of the picture.
Kim et al. use discs of 7 px, and a pentagon of 110 px into which items fall anywhere, so that the hull of the items
grows with their number (`KIM_2021`). Nasr et al. call the hull uniform above four: five of the items then are the
corners (`NASR_2019`, with the sizes of the lab's later code but for the radius, which is Kim's).

References
----------
Nasr, Viswanathan & Nieder (2019), Number detectors spontaneously emerge in a deep neural network designed for visual
object recognition, Science Advances 5:eaav7903, figure 2A. Nasr & Nieder (2021), iScience, and its code
(khalednasr/nn-numerosity-zero). Kim, Jang, Baek, Song & Paik (2021), Visual number sense in untrained deep neural
networks, Science Advances 7:eabd6127, and its code (vsnnlab/Number).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.spatial import ConvexHull

from brainalign.errors import BrainalignError

NUMEROSITIES = (1, 2, *range(4, 31, 2))
SETS = ("standard", "area", "hull")
DISC, SQUARE, ELLIPSE, TRIANGLE = range(4)
MEAN_COLOUR = (123.68, 116.779, 103.939)  # of ImageNet, red, green, blue, from 0 to 255
N_TRIES = 400  # places tried for an item before the picture is begun anew
N_ROUNDS = 3_000  # lots of pictures begun before it is said that they do not exist
FINE = 4  # points per pixel and side, for outlines


class Display(NamedTuple):
    """How pictures are made.

    Parameters
    ----------
    size : int
        Height and width (px).
    radius : float
        Mean radius of items in the standard and hull sets (px).
    spread : float
        Standard deviation of radii, as a share of the mean.
    gap : float
        Least distance between outlines (px).
    border : float
        Least distance of an outline to the frame (px).
    area : float
        Of all discs of a picture of the area set (px^2).
    distance : (float, float)
        Range of the mean distance between two discs of the area set (px).
    hull_radius : float
        From the centre of the picture to a corner of the pentagon (px).
    corners : bool
        Whether, above four, five items lie at the corners of the pentagon; all lie anywhere in it otherwise.
    square : float
        Half the side of a square, over the radius.
    background : float
        Intensity between items, which have 1.
    """

    size: int = 227
    radius: float = 7.0
    spread: float = 0.1
    gap: float = math.sqrt(2)
    border: float = 0.0
    area: float = 1_200.0
    distance: tuple[float, float] = (90.0, 100.0)
    hull_radius: float = 110.0
    corners: bool = False
    square: float = 1.0
    background: float = 0.0


KIM_2021 = Display()
NASR_2019 = Display(
    size=224, gap=5.0, border=5.0, hull_radius=85.0, corners=True, square=math.sqrt(0.5), background=50 / 255
)


class Pictures(NamedTuple):
    """Items of pictures, before they are drawn; `render` draws them.

    Parameters
    ----------
    numerosity, stimulus_set : int array (n_pictures,)
        How many items there are, and the place in `SETS`.
    x, y, radius : array (n_pictures, n_items)
        px; from the upper left corner. nan for items that a picture has not.
    shape : int array (n_pictures, n_items)
    angle : array (n_pictures, n_items)
        Of triangles (rad).
    total_area : array (n_pictures,)
        Of all items (px^2).
    hull_area : array (n_pictures,)
        Of the convex hull of the centres of the items (px^2); 0 for one item and for two.
    mean_distance : array (n_pictures,)
        Between the centres of two items (px); nan for one item.
    display : Display
    """

    numerosity: np.ndarray
    stimulus_set: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    shape: np.ndarray
    angle: np.ndarray
    total_area: np.ndarray
    hull_area: np.ndarray
    mean_distance: np.ndarray
    display: Display

    def take(self, which) -> "Pictures":
        """Give some of the pictures: a slice, positions, or True for each that is wanted."""
        return Pictures(*(values[which] for values in self[:-1]), self.display)


def draw_pictures(n_images: int, *, numerosities=NUMEROSITIES, display: Display = KIM_2021, seed: int = 0) -> Pictures:
    """Draw the items of pictures of all numerosities and sets.

    Parameters
    ----------
    n_images : int
        Pictures per condition, that is, per numerosity and set.
    numerosities : sequence of int
        At least 1 each.
    display : Display
    seed : int

    Returns
    -------
    pictures : Pictures
        n_images * n_numerosities * 3 of them; the set changes fastest, then the numerosity, so that the first
        k * n_numerosities * 3 are k per condition.

    Raises
    ------
    BrainalignError
        A setting is out of its range, or so many items find no room.
    """
    numerosities = list(numerosities)
    if n_images < 1 or not numerosities or any(n < 1 or n != int(n) for n in numerosities):
        raise BrainalignError(
            f"n_images must be at least 1 and numerosities whole numbers of at least 1, got {n_images} and "
            f"{numerosities}"
        )
    numerosities = [int(n) for n in numerosities]
    n_items, kinds = max(numerosities), len(SETS)
    geometry = np.full((5, n_images, len(numerosities), kinds, n_items), np.nan)
    geometry[3:] = 0  # shape and angle
    for i, numerosity in enumerate(numerosities):
        for j, place in enumerate((_place_standard, _place_area, _place_hull)):
            generator = np.random.default_rng([seed, numerosity, j])
            geometry[:, :, i, j, :numerosity] = place(generator, n_images, numerosity, display)
    x, y, radius, shape, angle = geometry.reshape(5, -1, n_items)
    shape = shape.astype(int)
    conditions = [np.tile(c.ravel(), n_images) for c in np.meshgrid(numerosities, range(kinds), indexing="ij")]
    measures = np.array([_measure(*row) for row in zip(x, y, strict=True)]).reshape(-1, 2).T
    areas = np.nansum(radius**2 * _areas(display)[shape], axis=1)
    return Pictures(*conditions, x, y, radius, shape, angle, areas, *measures, display)


def render(pictures: Pictures) -> np.ndarray:
    """Draw pictures: intensities, float32 (n_pictures, size, size); outlines are smooth."""
    display = pictures.display
    drawn = np.full((len(pictures.numerosity), display.size, display.size), display.background, dtype=np.float32)
    for image, *items in zip(
        drawn, pictures.x, pictures.y, pictures.radius, pictures.shape, pictures.angle, strict=True
    ):
        for x, y, radius, shape, angle in zip(*items, strict=True):
            if not math.isnan(x):
                _draw(image, (x, y, radius, shape, angle), display)
    return drawn


def as_inputs(drawn) -> np.ndarray:
    """Give pictures as the trained AlexNet was given its images: 255 times the intensity, less the mean colour.

    Kim et al. kept this step for untrained networks. Without it the space between dots is 0, a network without biases
    answers it with 0, and units that prefer one dot are rare.

    Parameters
    ----------
    drawn : array (n_pictures, size, size)

    Returns
    -------
    inputs : float32 array (n_pictures, 3, size, size)
    """
    return (255 * drawn[:, None] - np.array(MEAN_COLOUR)[:, None, None]).astype(np.float32)


def _draw(image, item, display):
    """Draw an item onto an image in place."""
    x, y, radius, shape, angle = item
    reach = _reach(display) * radius
    left, top = max(0, math.floor(x - reach - 0.5)), max(0, math.floor(y - reach - 0.5))
    right, bottom = min(display.size, math.ceil(x + reach + 0.5)), min(display.size, math.ceil(y + reach + 0.5))
    if shape == DISC:  # pixels whose middle is half a pixel inside are full, and so on: within 0.4 % of the area
        apart = np.hypot(np.arange(left, right) + 0.5 - x, (np.arange(top, bottom) + 0.5 - y)[:, None])
        share = (radius - apart + 0.5).clip(0, 1)
    else:
        across = left + (np.arange((right - left) * FINE) + 0.5) / FINE - x
        down = (top + (np.arange((bottom - top) * FINE) + 0.5) / FINE - y)[:, None]
        inside = _inside(across / radius, down / radius, shape, angle, display.square)
        share = inside.reshape(bottom - top, FINE, right - left, FINE).mean(axis=(1, 3))
    patch = image[top:bottom, left:right]
    patch += share * (1 - display.background)


def _inside(across, down, shape, angle, square):
    """Say which points lie in an item of radius 1 that is no disc."""
    if shape == SQUARE:
        return (np.abs(across) <= square) & (np.abs(down) <= square)
    if shape == ELLIPSE:
        return across**2 + (2 * down) ** 2 <= 1
    sides = angle + np.array([1, 3, 5]) * np.pi / 3
    return np.max([across * math.cos(side) + down * math.sin(side) for side in sides], axis=0) <= 0.5


def _areas(display):
    """Areas of the four shapes of radius 1."""
    return np.array([np.pi, 4 * display.square**2, np.pi / 2, 3 * math.sqrt(3) / 4])


def _reach(display):
    """Give the radius of the circle round any shape of radius 1."""
    return max(1.0, display.square * math.sqrt(2))


def _measure(x, y):
    """Area of the hull and mean distance of centres."""
    centres = np.column_stack([x, y])[~np.isnan(x)]
    if len(centres) < 2:
        return 0.0, np.nan
    return (ConvexHull(centres).volume if len(centres) > 2 else 0.0), _mean_distance(centres[None])[0]


def _mean_distance(centres):
    """Mean distance between two of the centres (n_pictures, n_items, 2)."""
    n = centres.shape[1]
    distances = np.linalg.norm(centres[:, :, None] - centres[:, None], axis=-1)
    return distances.sum(axis=(1, 2)) / (n * (n - 1))


def _radii(generator, n_pictures, numerosity, display):
    noise = generator.standard_normal((n_pictures, numerosity)).clip(-4, 4)
    return display.radius * (1 + display.spread * noise)


def _place_standard(generator, n_images, numerosity, display):
    def attempt(n_tries):
        radii = _radii(generator, n_tries, numerosity, display)
        centres, done = _place(generator, radii, display)
        return _discs(centres, radii), done

    return _repeat(attempt, n_images, f"{numerosity} items of radius {display.radius}")


def _place_area(generator, n_images, numerosity, display):
    def attempt(n_tries):
        radii = _radii(generator, n_tries, numerosity, display)
        radii *= np.sqrt(display.area / (np.pi * (radii**2).sum(axis=1, keepdims=True)))
        centres, done = _place(generator, radii, display)
        if numerosity > 1:
            low, high = display.distance
            distance = _mean_distance(centres)
            done &= (distance >= low) & (distance <= high)
        return _discs(centres, radii), done

    said = f"{numerosity} discs with an area of {display.area} and a mean distance of {display.distance}"
    return _repeat(attempt, n_images, said, at_least=64)


def _place_hull(generator, n_images, numerosity, display):
    def attempt(n_tries):
        radii = _radii(generator, n_tries, numerosity, display)
        turn = generator.uniform(0, 2 * np.pi, n_tries)
        centres, done = _place(generator, radii * _reach(display), display, pentagon=turn)
        shape = generator.integers(0, 4, radii.shape)
        angle = generator.uniform(0, 2 * np.pi, radii.shape)
        return np.stack([*np.moveaxis(centres, -1, 0), radii, shape, angle]), done

    said = f"{numerosity} items of radius {display.radius} in a pentagon of radius {display.hull_radius}"
    return _repeat(attempt, n_images, said)


def _discs(centres, radii):
    return np.stack([*np.moveaxis(centres, -1, 0), radii, np.full_like(radii, DISC), np.zeros_like(radii)])


def _repeat(attempt, n_images, said, *, at_least=1):
    """Begin pictures until so many are done: (5, n_images, n_items)."""
    kept, n_kept = [], 0
    for _ in range(N_ROUNDS):
        items, done = attempt(max(n_images - n_kept, at_least))
        kept.append(items[:, done])
        n_kept += int(done.sum())
        if n_kept >= n_images:
            return np.concatenate(kept, axis=1)[:, :n_images]
    raise BrainalignError(f"{said} find no room in {N_ROUNDS} rounds; make them fewer or smaller")


def _place(generator, reaches, display, *, pentagon=None):
    """Place items one after the other.

    Parameters
    ----------
    generator : numpy Generator
    reaches : array (n_pictures, n_items)
        Radii of the circles round the items.
    display : Display
    pentagon : array (n_pictures,), optional
        Angle of a pentagon in which centres lie.

    Returns
    -------
    centres : array (n_pictures, n_items, 2)
    done : bool array (n_pictures,)
        Whether there was room for all.
    """
    n_pictures, n_items = reaches.shape
    centres = np.zeros((n_pictures, n_items, 2))
    done = np.ones(n_pictures, dtype=bool)
    for k in range(n_items):
        waiting = done.copy()
        if pentagon is not None and display.corners and n_items >= 5 and k < 5:
            around = pentagon + 2 * np.pi * k / 5
            centres[:, k] = display.size / 2 + display.hull_radius * np.column_stack([np.cos(around), np.sin(around)])
            continue
        for _ in range(N_TRIES // 8):
            who = np.flatnonzero(waiting)
            if not len(who):
                break
            margin = display.border + reaches[who, k, None, None]
            tried = margin + generator.random((len(who), 8, 2)) * (display.size - 2 * margin)
            fits = _fits(tried, centres[who, :k], reaches[who, : k + 1], display.gap)
            if pentagon is not None:
                fits &= _in_pentagon(tried, pentagon[who], display)
            found = fits.any(axis=1)
            centres[who[found], k] = tried[found, fits[found].argmax(axis=1)]
            waiting[who[found]] = False
        done &= ~waiting
    return centres, done


def _fits(tried, placed, reaches, gap):
    """Say which of the tried places (n, n_tried, 2) touch nothing that is placed (n, k, 2)."""
    apart = np.linalg.norm(tried[:, :, None] - placed[:, None], axis=-1)  # (n, n_tried, k)
    return (apart > reaches[:, None, :-1] + reaches[:, -1, None, None] + gap).all(axis=2)


def _in_pentagon(tried, turn, display):
    sides = turn[:, None] + (2 * np.arange(5) + 1) * np.pi / 5  # directions of the middles of the sides
    along = tried - display.size / 2
    reach = along @ np.stack([np.cos(sides), np.sin(sides)], axis=1)  # (n, n_tried, 5)
    return reach.max(axis=2) <= display.hull_radius * math.cos(math.pi / 5)
