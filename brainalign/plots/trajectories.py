"""Paths of hidden states along sentences: flat, over time, and to be turned by hand."""

import numpy as np
from matplotlib import colormaps
from matplotlib.patches import Ellipse

from brainalign.plots._style import CONTROLS, NEUTRAL, note, panels


def paths(table, *, components, n_columns=2):
    """Draw the mean path of each group of sentences, with an ellipse of 1 SD over networks at each position.

    Parameters
    ----------
    table : DataFrame
        Columns `panel group position label` and, for each component, its mean `<component>` and standard deviation
        over networks `<component> sd`; rows of a group in the order of their positions. Panels share their axes.
    components : tuple of (str, str)
        Drawn to the right and upwards.
    n_columns : int

    Returns
    -------
    figure : Figure
    """
    names = list(dict.fromkeys(table["panel"]))
    colours = _colours(table["group"])
    x, y = components
    figure, axes = panels(len(names), width=4.6, height=3.9, n_columns=n_columns, sharex=True, sharey=True)
    near = 0.06 * np.ptp(table[[x, y]].to_numpy(), axis=0).max()
    for ax, name in zip(axes, names, strict=True):
        written = []
        for group, path in table[table["panel"] == name].groupby("group", sort=False):
            ax.plot(path[x], path[y], color=colours[group], linewidth=1.3, label=group)
            ax.plot(path[x].iloc[:1], path[y].iloc[:1], "o", color=colours[group], markersize=4)
            for row in path.to_dict("records"):
                size = 2 * row[f"{x} sd"], 2 * row[f"{y} sd"]
                ax.add_patch(Ellipse((row[x], row[y]), *size, color=colours[group], alpha=0.15, linewidth=0))
                if _is_new(row["label"], (row[x], row[y]), written, near=near):
                    ax.annotate(row["label"], (row[x], row[y]), fontsize=8, color=colours[group], xytext=(3, 3),
                                textcoords="offset points")  # fmt: skip
        ax.set(title=name, xlabel=x, ylabel=y)
        ax.xaxis.set_tick_params(labelbottom=True)
        ax.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return figure


def _is_new(label, place, written, *, near):
    """Whether no equal label stands at nearly the same place; if so it is noted in `written`."""
    if any(label == other and np.hypot(*np.subtract(place, there)) < near for other, there in written):
        return False
    written.append((label, place))
    return True


def distances(table, *, ylabel="distance / spread within groups"):
    """Draw how far the paths of two groups are apart over positions, a panel per `panel`, a line per `pair`.

    Parameters
    ----------
    table : DataFrame
        Columns `panel pair position value sd`.
    ylabel : str

    Returns
    -------
    figure : Figure
    """
    if not np.isfinite(table["value"]).any():
        return note("no finite distances to draw")
    names = list(dict.fromkeys(table["panel"]))
    colours = _colours(table["pair"])
    figure, axes = panels(len(names), width=3.4, height=3.0, sharey=True)
    for ax, name in zip(axes, names, strict=True):
        for pair, part in table[table["panel"] == name].groupby("pair", sort=False):
            ax.plot(part["position"], part["value"], marker="o", markersize=3, color=colours[pair], label=pair)
            low, high = part["value"] - part["sd"], part["value"] + part["sd"]
            ax.fill_between(part["position"], low, high, color=colours[pair], alpha=0.15, linewidth=0)
        positions = sorted(table["position"].unique())
        ax.set(title=name, xlabel="word of the sentence", xticks=positions, ylim=(0, None))
    axes[0].set_ylabel(ylabel)
    axes[0].legend(frameon=False, fontsize=7)
    return figure


def separability(table):
    """Draw statistics of separability: a panel per `what`, a dot per network and the mean, conditions side by side.

    A panel shows the statistics that it has values of.

    Parameters
    ----------
    table : DataFrame
        Columns `what statistic condition network value chance`; `chance` nan where there is none.

    Returns
    -------
    figure : Figure
    """
    names = list(dict.fromkeys(table["what"]))
    conditions, colours = list(dict.fromkeys(table["condition"])), _colours(table["condition"])
    figure, axes = panels(len(names), width=4.2, height=3.0, sharey=True)
    for ax, name in zip(axes, names, strict=True):
        part = table[table["what"] == name]
        statistics = list(dict.fromkeys(part["statistic"]))
        for i, statistic in enumerate(statistics):
            of_statistic = part[part["statistic"] == statistic]
            for j, condition in enumerate(conditions):
                values = of_statistic.loc[of_statistic["condition"] == condition, "value"]
                at = i + (j - (len(conditions) - 1) / 2) * 0.22
                ax.plot(np.full(len(values), at), values, ".", color=colours[condition], alpha=0.5, markersize=4)
                label = condition if i == 0 else None
                ax.plot([at - 0.08, at + 0.08], [values.mean()] * 2, color=colours[condition], linewidth=2, label=label)
            ax.plot([i - 0.4, i + 0.4], [of_statistic["chance"].mean()] * 2, ":", color=CONTROLS, linewidth=1)
        ax.axhline(0, color=NEUTRAL, linewidth=0.5)
        ax.set(title=name, ylim=(None, 1.05))
        ax.set_xticks(range(len(statistics)), statistics, fontsize=8)
    axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    return figure


def turnable(table, *, panel, components, title):
    """Give HTML of paths in three components that can be turned, with a slider and a button that walk along them.

    Colours are those that `paths` gives to the same table.

    Parameters
    ----------
    table : DataFrame
        Columns `panel group position label` and three components; rows of a group in the order of their positions.
    panel : str
        The one that is drawn.
    components : tuple of three str
    title : str

    Returns
    -------
    html : str
        Needs nothing from a network: the drawing library (4.5 MB) is in it.
    """
    import plotly.graph_objects as go

    colours = {group: f"rgb{tuple(int(255 * c) for c in rgba[:3])}" for group, rgba in _colours(table["group"]).items()}
    table = table[table["panel"] == panel]
    steps = sorted(table["position"].unique())
    of_group = {group: part.sort_values("position") for group, part in table.groupby("group", sort=False)}

    def until(step):
        drawn = []
        for group, path in of_group.items():
            part = path[path["position"] <= step]
            x, y, z = (part[component] for component in components)
            drawn.append(
                go.Scatter3d(
                    x=x, y=y, z=z, name=group, mode="lines+markers+text", text=part["label"],
                    line={"color": colours[group], "width": 5}, marker={"size": 3, "color": colours[group]},
                    textfont={"size": 11, "color": colours[group]}, hovertext=group,
                )
            )  # fmt: skip
        return drawn

    frames = [go.Frame(data=until(step), name=str(step)) for step in steps]
    show = {"mode": "immediate", "frame": {"duration": 900, "redraw": True}, "transition": {"duration": 0}}
    slider = [{"label": str(step), "method": "animate", "args": [[str(step)], show]} for step in steps]
    scene = {
        f"{axis}axis": {"title": {"text": component}, "range": _range(table[component])}
        for axis, component in zip("xyz", components, strict=True)
    }
    figure = go.Figure(until(steps[-1]), frames=frames)
    figure.update_layout(
        title=title, height=620, scene=scene | {"aspectmode": "cube"}, margin={"l": 30, "r": 30, "t": 40, "b": 80},
        sliders=[{"steps": slider, "active": len(steps) - 1, "currentvalue": {"prefix": "after word "}}],
        updatemenus=[{"type": "buttons", "x": 0.05, "y": 0.02,
                      "buttons": [{"label": "play", "method": "animate", "args": [None, show]}]}],
    )  # fmt: skip
    return figure.to_html(
        full_html=False, include_plotlyjs=True, auto_play=False, div_id="paths", config={"displaylogo": False}
    )


def _range(values):
    margin = 0.08 * (values.max() - values.min())
    return [float(values.min() - margin), float(values.max() + margin)]


def _colours(names):
    palette = colormaps["tab10"].colors + colormaps["Dark2"].colors
    return {name: palette[i % len(palette)] for i, name in enumerate(dict.fromkeys(names))}
