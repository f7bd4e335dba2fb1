"""What can be read out of a code, and of codes that should not tell."""

from brainalign.plots._style import panels
from brainalign.plots.contributions import PALETTE


def readouts(table, *, ylabel):
    """Draw a group of bars per trait, one bar per kind of code.

    Parameters
    ----------
    table : DataFrame
        Columns `trait kind mean sd chance`; `chance` is drawn as a dotted line over the group, nan for none.
    ylabel : str

    Returns
    -------
    figure : Figure
    """
    traits, kinds = (list(dict.fromkeys(table[name])) for name in ("trait", "kind"))
    figure, (ax,) = panels(1, width=1.2 * len(traits) + 2.4, height=2.8)
    width = 0.8 / len(kinds)
    for i, kind in enumerate(kinds):
        rows = table[table["kind"] == kind].set_index("trait").loc[traits]
        x = [k + (i - (len(kinds) - 1) / 2) * width for k in range(len(traits))]
        colour = PALETTE[i % len(PALETTE)]
        ax.bar(x, rows["mean"], width, yerr=rows["sd"].fillna(0), color=colour, label=kind, ecolor="#555555")
    chances = table.groupby("trait")["chance"].first()
    for k, trait in enumerate(traits):
        ax.plot([k - 0.45, k + 0.45], [chances[trait]] * 2, color="black", linestyle=":", linewidth=1)
    ax.set_xticks(range(len(traits)), traits)
    ax.set_ylabel(ylabel)
    figure.legend(loc="outside upper center", ncols=len(kinds), fontsize=8, frameon=False)
    return figure
