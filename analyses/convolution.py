"""What does a convolution compute, and which pixels made a convolutional network answer as it did?

First by hand: a 3 x 3 kernel on a 4 x 4 input with a frame of zeros, which begins with 6, 11, 15. The kernel is laid on
as it stands, a cross-correlation; the convolution of mathematics turns it by half a circle and would begin with 20, 24,
15: the worked example settles which of the two is meant. Then small networks learn to name one of scikit-learn's
digits, 8 x 8 pixels, at any place of an empty picture. Two questions are put to them: do Grad-CAM and SmoothGrad, asked
for a digit, point to that digit in a picture of two (the answer is known), and do the maps change when the weights are
destroyed (Adebayo et al. 2018)? A map of the image alone, its edges, passes for an explanation and fails there.
"""

from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch.nn import functional

from brainalign.plots import attribution as plots
from brainalign.simulate.attribution import cascade, grad_cam, gradient, rank_correlation, smooth_grad
from brainalign.simulate.convnet import ConvNet, accuracy, one_digit, train, two_digits
from brainalign.simulate.convolution import (
    EXAMPLE_IMAGE,
    EXAMPLE_KERNEL,
    convolve,
    max_pool,
    mean_pool,
    turned,
    windows,
)
from brainalign.simulations import Drawing, Published, Settings, main

SHEET = "worked example"
LAYER = "relu3"  # the last maps, 4 x 4
SIZE, DIGIT = 16, 8  # px
N_CHECKED = 60  # images that destroyed networks see
N_SHOWN = 4
LIMIT = 0.3

PUBLISHED = (
    Published("output in row 1, column 1", 6, SHEET, "cross-correlation; a turned kernel gives 20"),
    Published("output in row 1, column 2", 11, SHEET, "a turned kernel gives 24"),
    Published("output in row 1, column 3", 15, SHEET, "a turned kernel gives 15 as well"),
    Published("Grad-CAM, rank correlation after destroying all weights", "< 0.3", "Adebayo et al. 2018",
              "threshold from memory"),
    Published("SmoothGrad, rank correlation after destroying all weights", "< 0.3", "Adebayo et al. 2018",
              "threshold from memory; of signed maps"),
)  # fmt: skip


class Config(Settings):
    """Settings of the analysis."""

    seed: int = Field(
        0, ge=0, lt=2**32, description="network i has weights and draws of seed + i; pictures are of seed, for all"
    )
    n_networks: int = Field(5, ge=1, description="networks, side by side")
    n_updates: int = Field(600, ge=1, description="of the weights, each from 32 pictures")
    n_samples: int = Field(20, ge=1, description="noisy copies of an image for SmoothGrad")
    noise: float = Field(0.15, ge=0, description="their noise, as a share of the range of the image")
    device: Literal["cpu", "cuda"] = Field("cpu", description="where networks learn")


def run(config: Config) -> dict[str, pd.DataFrame]:
    network = ConvNet(n_networks=config.n_networks, seed=config.seed, device=config.device)
    losses = train(network, *one_digit(6_000, size=SIZE, seed=config.seed), n_updates=config.n_updates)
    held_out = one_digit(1_000, size=SIZE, held_out=True, seed=config.seed + 1)
    singles = [network.single(i).cpu() for i in range(config.n_networks)]
    tables = {
        "worked": worked(),
        "windows": worked_windows(),
        "learning": learning(losses.cpu()),
        "accuracy": pd.DataFrame(
            {"network": range(config.n_networks), "accuracy": accuracy(network, *held_out).cpu().numpy()}
        ),
        "kernels": kernels(singles[0]),
        "maps": example_maps(singles[0], config),
        "pointing": pd.concat([pointing(one, config).assign(network=i) for i, one in enumerate(singles)]),
        "cascade": pd.concat([destroyed(one, config).assign(network=i) for i, one in enumerate(singles)]),
    }
    return tables | {"obtained": obtained(tables)}


def worked() -> pd.DataFrame:
    """Give the arrays of the example, and what other settings make of it."""
    image = torch.tensor(EXAMPLE_IMAGE, dtype=torch.float64)[None, None]
    kernel = torch.tensor(EXAMPLE_KERNEL, dtype=torch.float64)[None, None]
    out = convolve(image, kernel, padding=1)
    arrays = {
        "input": image,
        "input, framed by zeros": functional.pad(image, (1,) * 4),
        "kernel": kernel,
        "output": out,
        "kernel turned": turned(kernel),
        "output, kernel turned": convolve(image, turned(kernel), padding=1),
        "no padding": convolve(image, kernel),
        "padding 1, stride 2": convolve(image, kernel, padding=1, stride=2),
        "highest of 2 x 2 of the output": max_pool(out, 2),
        "mean of 2 x 2 of the output": mean_pool(out, 2),
    }
    return pd.concat([grid(values[0, 0]).assign(array=name) for name, values in arrays.items()], ignore_index=True)


def worked_windows() -> pd.DataFrame:
    """Give every sum of the worked example, products that are 0 left out."""
    image = torch.tensor(EXAMPLE_IMAGE)[None, None]
    seen, kernel, rows = windows(image, 3, padding=1)[0, 0], torch.tensor(EXAMPLE_KERNEL), []
    for i in range(4):
        for j in range(4):
            pairs = zip(kernel.flatten().tolist(), seen[i, j].flatten().tolist(), strict=True)
            said = " + ".join(f"{k} x {x}" for k, x in pairs if k and x)
            rows.append({"row": i + 1, "column": j + 1, "sum": said, "output": int((kernel * seen[i, j]).sum())})
    return pd.DataFrame(rows)


def grid(values) -> pd.DataFrame:
    """Give an array as a table of row, column and value."""
    values = np.asarray(values)
    row, column = np.indices(values.shape)
    return pd.DataFrame({"row": row.ravel(), "column": column.ravel(), "value": values.ravel()})


def learning(losses) -> pd.DataFrame:
    """Give the loss, mean of ten updates."""
    usable = losses.shape[1] // 10 * 10 or losses.shape[1]
    means = losses[:, :usable].unflatten(1, (-1, min(10, usable))).mean(dim=2).numpy()
    network, step = np.indices(means.shape)
    return pd.DataFrame({"network": network.ravel(), "update": 10 * step.ravel(), "loss": means.ravel()})


def kernels(network) -> pd.DataFrame:
    weights = network.conv1.weight.detach()[:, 0]
    return pd.concat([grid(one).assign(map=k + 1) for k, one in enumerate(weights)], ignore_index=True)


def smooth(network, images, labels, config: Config):
    """Give SmoothGrad of the one channel, (n_images, height, width)."""
    found = smooth_grad(network, images, labels, n_samples=config.n_samples, noise=config.noise, seed=config.seed)
    return found[:, 0]


def example_maps(network, config: Config) -> pd.DataFrame:
    """Give the maps of some pictures of two digits, asked for each of them, and of the destroyed network."""
    images, labels, _ = two_digits(N_SHOWN, size=SIZE, seed=config.seed + 2)
    images = torch.from_numpy(images)
    *_, (_, ruined) = cascade(network, seed=config.seed)
    rows = []
    for k in range(N_SHOWN):
        image = images[k : k + 1]
        shown = {"image": image[0, 0]}
        for m, number in enumerate(("first", "second")):
            shown[f"Grad-CAM, {number}"] = grad_cam(network, image, labels[k, m], layer=LAYER)[0]
            shown[f"SmoothGrad, {number}"] = smooth(network, image, labels[k, m], config)[0]
        shown["gradient, first"] = gradient(network, image, labels[k, 0])[0, 0]
        shown["Grad-CAM, destroyed"] = grad_cam(ruined, image, labels[k, 0], layer=LAYER)[0]
        shown["SmoothGrad, destroyed"] = smooth(ruined, image, labels[k, 0], config)[0]
        name = f"{labels[k, 0]} and {labels[k, 1]}"
        rows += [grid(values).assign(image=f"{k + 1}: {name}", method=method) for method, values in shown.items()]
    return pd.concat(rows, ignore_index=True)


def pointing(network, config: Config) -> pd.DataFrame:
    """Give how often the highest point of a map lies on the digit that was asked for, and on either digit."""
    images, labels, corners = two_digits(200, size=SIZE, seed=config.seed + 3)
    images = torch.from_numpy(images)
    methods = {
        "Grad-CAM": lambda wanted: grad_cam(network, images, wanted, layer=LAYER),
        "SmoothGrad": lambda wanted: smooth(network, images, wanted, config),
        "gradient": lambda wanted: gradient(network, images, wanted)[:, 0],
    }
    rows = []
    for method, maps_of in methods.items():
        for k in (0, 1):
            maps = maps_of(labels[:, k]).numpy()
            places = np.stack(np.unravel_index(maps.reshape(len(maps), -1).argmax(axis=1), maps.shape[1:]), axis=1)
            on = [((places >= corners[:, m]) & (places < corners[:, m] + DIGIT)).all(axis=1) for m in (k, 1 - k)]
            rows.append({"method": method, "asked": on[0].mean(), "either": (on[0] | on[1]).mean()})
    return pd.DataFrame(rows).groupby("method", sort=False).mean().reset_index()


def destroyed(network, config: Config) -> pd.DataFrame:
    """Give rank correlations of maps with those of the network destroyed down to each part, mean over images."""
    images, labels = one_digit(N_CHECKED, size=SIZE, held_out=True, seed=config.seed + 4)
    images = torch.from_numpy(images)

    def maps_of(one):
        smoothed = smooth(one, images, labels, config)
        return {
            "Grad-CAM": grad_cam(one, images, labels, layer=LAYER, upsample=False),
            "SmoothGrad": smoothed,
            "SmoothGrad, without sign": smoothed.abs(),
            "edges of the image": edges(images),
        }

    true = maps_of(network)
    rows = [{"method": method, "part": "(intact)", "correlation": 1.0, "undefined": 0.0} for method in true]
    for part, one in cascade(network, seed=config.seed):
        for method, maps in maps_of(one).items():
            alike = rank_correlation(true[method], maps)
            rows.append({"method": method, "part": part, "correlation": np.nanmean(alike),
                         "undefined": np.isnan(alike).mean()})  # fmt: skip
    return pd.DataFrame(rows)


def edges(images):
    """Give the length of the slope of the image itself: a map in which there is no network."""
    down, right = torch.gradient(images[:, 0], dim=(1, 2))
    return torch.hypot(down, right)


def obtained(tables) -> pd.DataFrame:
    """Give published quantities and more, over networks."""
    out = tables["worked"].query("array == 'output' and row == 0").sort_values("column")["value"].to_numpy()
    rows = {f"output in row 1, column {k + 1}": pd.Series([out[k]]) for k in range(3)}
    alike = tables["cascade"]
    for method in alike["method"].unique():
        here = (alike["method"] == method) & (alike["part"] == "conv1")
        rows[f"{method}, rank correlation after destroying all weights"] = alike.loc[here, "correlation"]
    rows["held-out digits named rightly (%)"] = 100 * tables["accuracy"]["accuracy"]
    for method, of_method in tables["pointing"].groupby("method", sort=False):
        rows[f"{method}, highest on the digit asked for (%)"] = 100 * of_method["asked"]
        rows[f"{method}, highest on either digit (%)"] = 100 * of_method["either"]
    return pd.DataFrame(
        [(name, v.mean(), v.std() if len(v) > 1 else np.nan, len(v)) for name, v in rows.items()],
        columns=["quantity", "value", "sd", "n"],
    )


def draw(tables, config: Config) -> list[Drawing]:
    alike = tables["cascade"].groupby(["method", "part"], sort=False)["correlation"].agg(["mean", "std"]).reset_index()
    alike = alike.rename(columns={"mean": "correlation", "std": "sd"}).fillna({"sd": 0})
    first = tables["windows"].query("row == 1")
    said = "; ".join(f"{row.sum} = {row.output}" for row in first[["sum", "output"]].itertuples(index=False))
    return [
        Drawing("The worked example", plots.arrays(tables["worked"]), f"First row of the output: {said}."),
        Drawing("Learning", plots.learning(tables["learning"], accuracies=tables["accuracy"]),
                f"{config.n_networks} networks side by side, {config.n_updates} updates."),
        Drawing("Kernels of the first layer", plots.kernels(tables["kernels"]),
                "Of the first network; red numbers are above 0, blue ones below."),
        Drawing("Grad-CAM and SmoothGrad", plots.maps(tables["maps"]),
                "Asked for the first digit and for the second. Grad-CAM has 4 x 4 places, enlarged. The last two "
                "columns: the same network with all its weights in random order, asked for the first digit."),
        Drawing("Destroying the weights", plots.cascade(alike, limit=LIMIT),
                "From the intact network, through its output layer, down to its first convolution; mean and standard "
                "deviation over networks. Edges of the image do not change: they say nothing about the network."),
    ]  # fmt: skip


if __name__ == "__main__":
    main(__file__)
