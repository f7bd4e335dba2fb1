"""Look at real evoked fields: unit, latency and size of what tones and checkerboards evoke, per kind of sensor.

    python analyses/mne_sample.py --data-dir DIR --out results/mne_sample

It prints, for each of four averages of MNE's sample subject and each kind of sensor, the unit, when the root mean
square over sensors is largest, how large it is there and against that before the stimulus, and the sensor that shows
most. It writes this table (`peaks.tsv`), a row of heads per average and kind of sensor, and joint plots of the
magnetometers.
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import mne
import numpy as np
import pandas as pd

from brainalign.arrays import write_tsv
from brainalign.data import mne_sample
from brainalign.plots.sensors import topographies

WINDOW = (0.05, 0.25)  # s in which the largest answer is looked for
SHOWN = (-0.1, 0.0, 0.05, 0.09, 0.13, 0.18, 0.25, 0.4)  # s, of the heads


def peaks(responses):
    """Give when, how large and where each average is largest, per kind of sensor.

    Parameters
    ----------
    responses : Responses
        From `mne_sample.load_evoked`.

    Returns
    -------
    table : DataFrame
        `condition`, `channel_type`, `unit`, `n_channels`, `peak_ms` (of the root mean square over the channels between
        50 and 250 ms), `rms` (there, in the unit), `ratio` (to the root mean square before the stimulus), `target` (the
        channel with the largest value there) and its `amplitude` (in the unit).
    """
    found = []
    for condition, rows in responses.rows.groupby("run", sort=False):
        time = rows["time"].to_numpy()
        inside, before = (time >= WINDOW[0]) & (time <= WINDOW[1]), time < 0
        for (kind, unit), columns in responses.columns.groupby(["channel_type", "unit"], sort=False):
            values = responses.values[np.ix_(rows.index, columns.index)]  # (n_times, n_channels)
            rms = np.sqrt((values**2).mean(axis=1))
            peak = np.flatnonzero(inside)[rms[inside].argmax()]
            largest = np.abs(values[peak]).argmax()
            noise = np.sqrt((values[before] ** 2).mean())
            found.append(
                {
                    "condition": condition,
                    "channel_type": kind,
                    "unit": unit,
                    "n_channels": len(columns),
                    "peak_ms": 1000 * time[peak],
                    "rms": rms[peak],
                    "ratio": rms[peak] / noise,
                    "target": columns["target"].iloc[largest],
                    "amplitude": values[peak, largest],
                }
            )
    return pd.DataFrame(found)


def values_on_heads(responses, condition, kind):
    """Give the values of one average and kind of sensor, for `topographies`: `target, x, y, z, lag, score`.

    Planar gradiometers stand in pairs at right angles, whose mean says nothing: a pair has the root of the sum of the
    squares.
    """
    columns = responses.columns[responses.columns["channel_type"] == kind]
    rows = responses.rows[responses.rows["run"] == condition]
    values = pd.DataFrame(responses.values[np.ix_(rows.index, columns.index)], columns=columns["target"])
    places = columns.set_index("target")[["x", "y", "z"]]
    if kind == "grad":
        pair = places.index.str[:-1]
        values = (values**2).T.groupby(pair).sum().T ** 0.5
        places = places.groupby(pair).first()
    table = values.assign(lag=rows["time"].to_numpy()).melt("lag", var_name="target", value_name="score")
    return table.join(places, on="target")


def write_figures(responses, averages, folder):
    """Write a row of heads per average and kind of sensor, and a joint plot of the magnetometers per average."""
    from matplotlib import pyplot

    units = dict(responses.columns[["channel_type", "unit"]].drop_duplicates().to_numpy())
    written = []
    for condition, average in averages.items():
        name = condition.lower().replace(" ", "-")
        for kind, unit in units.items():
            figure = topographies(values_on_heads(responses, condition, kind), lags=SHOWN, label=unit)
            written.append(folder / f"{name}-{kind}.png")
            figure.savefig(written[-1], dpi=110)
        if "mag" in units:
            joint = average.copy().pick("mag").plot_joint(times=[0.09, 0.18], title=condition, show=False)
            written.append(folder / f"{name}-joint.png")
            joint.savefig(written[-1], dpi=110)
            pyplot.close(joint)
    return written


def main(arguments=None):
    """Print the table and write it and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder that holds mne_sample/")
    parser.add_argument("--out", type=Path, default=Path("results/mne_sample"), help="folder of the results")
    chosen = parser.parse_args(arguments)
    mpl.use("Agg")
    config = mne_sample.Config()
    responses = mne_sample.load_evoked(config, chosen.data_dir)
    table = peaks(responses)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    chosen.out.mkdir(parents=True, exist_ok=True)
    write_tsv(table, chosen.out / "peaks.tsv")
    with mne.use_log_level("WARNING"):
        written = write_figures(responses, mne_sample.read_evoked(config, chosen.data_dir), chosen.out)
    print(*written, sep="\n")


if __name__ == "__main__":
    main()
