"""Representational dissimilarity matrices, and how similar they are to those of brains."""

import numpy as np

from brainalign.plots._style import CONTROLS, JOINT, SHADE, TRAINED, note, panels

FAMILIES = {"features": TRAINED, "published": "#888888", "brain": JOINT}


def matrices(rdms, *, max_rdms=24):
    """Draw RDMs as squares, dissimilarities in ranks.

    Parameters
    ----------
    rdms : DataFrame
        One row per pair of stimuli: columns `first, second`, their positions, then one column per RDM, whose first
        word says what it is of.
    max_rdms : int
        Squares at most, in the order of the columns; the title says how many there are.

    Returns
    -------
    figure : Figure
    """
    names = [name for name in rdms if name not in ("first", "second")]
    if not names:
        return note("no RDMs to draw")
    shown = names[:max_rdms]
    figure, axes = panels(len(shown), width=1.9, height=1.9, n_columns=4)
    for ax, name in zip(axes, shown, strict=True):
        square = np.zeros((rdms["second"].max() + 1,) * 2)
        square[rdms["first"], rdms["second"]] = square[rdms["second"], rdms["first"]] = rdms[name].rank(pct=True)
        image = ax.imshow(square, cmap="viridis", vmin=0, vmax=1)
        ax.set_title(name.replace(" ", "\n", 1), fontsize=8)  # what it is of, above its name
        ax.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=list(axes), label="rank of dissimilarity", shrink=0.6)
    if len(names) > max_rdms:
        figure.suptitle(f"the first {max_rdms} of {len(names)}", fontsize=9)
    return figure


def similarities(table, *, ylabel):
    """Draw a bar per candidate with a dot per subject where there are several, and the bounds of the noise ceiling.

    Parameters
    ----------
    table : DataFrame
        Columns `subject family feature_space weights layer similarity ceiling_lower ceiling_upper`: one target.
    ylabel : str

    Returns
    -------
    figure : Figure
    """
    if not np.isfinite(table["similarity"]).any():
        return note("no finite similarities to draw")
    names = table[["feature_space", "weights", "layer"]].agg(lambda parts: " ".join(filter(None, parts)), axis=1)
    by_name = table.assign(name=names).groupby(["family", "name"], sort=False)
    figure, (ax,) = panels(1, width=max(4.0, 0.42 * by_name.ngroups), height=3.4)
    means = by_name["similarity"].mean()
    ax.bar(range(len(means)), means, color=[FAMILIES[family] for family, _ in means.index])
    for i, (_, of_name) in enumerate(by_name if table["subject"].nunique() > 1 else ()):
        ax.plot([i] * len(of_name), of_name["similarity"], ".", color=CONTROLS, markersize=4)
    lower, upper = table["ceiling_lower"].iloc[0], table["ceiling_upper"].iloc[0]
    if np.isfinite(lower):
        ax.axhspan(lower, upper, color=SHADE, zorder=0, label="noise ceiling")
        ax.legend(frameon=False, fontsize=8)
    ax.axhline(0, color="#888888", linewidth=0.6)
    ax.set_xticks(range(len(means)), [name for _, name in means.index], rotation=50, ha="right", fontsize=8)
    ax.set_ylabel(ylabel)
    return figure
