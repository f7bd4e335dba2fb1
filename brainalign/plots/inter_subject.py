"""How far people share their responses: inter-subject correlations by region, and over the time from an event."""

import numpy as np

from brainalign.plots._style import TRAINED, note, panels
from brainalign.plots.contributions import PALETTE


def by_region(table, *, max_regions=40):
    """Draw the mean inter-subject correlation of each region, its standard deviation over people, and every person.

    Parameters
    ----------
    table : DataFrame
        Columns `subject region isc`.
    max_regions : int
        In the order of the table; the title says how many there are.

    Returns
    -------
    figure : Figure
    """
    if not np.isfinite(table["isc"]).any():
        return note("no finite correlations to draw")
    regions = list(dict.fromkeys(table["region"]))
    shown = regions[:max_regions]
    figure, (ax,) = panels(1, width=max(3.5, 0.3 * len(shown)), height=2.6)
    for i, region in enumerate(shown):
        r = table.loc[table["region"] == region, "isc"].dropna()
        sd = r.std() if r.nunique() > 1 else 0.0
        ax.bar(i, r.mean(), yerr=sd, width=0.7, color=TRAINED, alpha=0.45, ecolor="#555555")
        ax.plot(np.full(len(r), i), r, "_", color=TRAINED, markersize=7)
    ax.axhline(0, color="#888888", linewidth=0.6)
    ax.set_xticks(range(len(shown)), shown, rotation=40 if len(shown) > 6 else 0, fontsize=8)
    ax.set_ylabel("inter-subject correlation (r)")
    if len(regions) > max_regions:
        figure.suptitle(f"the first {max_regions} of {len(regions)} regions", fontsize=9)
    return figure


def over_lags(table):
    """Draw the inter-subject correlation of each region over time, with its standard error over people.

    Parameters
    ----------
    table : DataFrame
        Columns `subject region lag` (s) `isc`.

    Returns
    -------
    figure : Figure
    """
    if not np.isfinite(table["isc"]).any():
        return note("no finite correlations to draw")
    figure, (ax,) = panels(1, width=5.0, height=2.6)
    for i, (region, of_region) in enumerate(table.groupby("region", sort=False)):
        found = of_region.groupby("lag")["isc"].agg(["mean", "sem"])
        colour = PALETTE[i % len(PALETTE)]
        ax.plot(found.index, found["mean"], color=colour, linewidth=1.4, label=region)
        low, high = found["mean"] - found["sem"], found["mean"] + found["sem"]
        ax.fill_between(found.index, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    ax.axvline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    ax.set_xlabel("time from the event (s)")
    ax.set_ylabel("inter-subject correlation (r)")
    figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure
