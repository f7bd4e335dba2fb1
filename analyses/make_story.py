"""Make the embedded default's word timings and the features that drive its simulated listeners.

`words.tsv` gives every word of `story.txt` a plausible time, as a forced alignment of a calm reading would.
`log_frequency.tsv` holds what `brainalign.extract.words` says of each word with its packaged counts.
`drivers.npy` holds, for each planted layer of the shipped GPT-2, the directions of that layer that best tell it from
the others on the recording's clock (`find_drivers`), and `drivers.json` says what they were made from.
brainalign.data must not import brainalign.extract, so the numbers are made here and packaged. Run it again whenever
the story or the model changes:

    python analyses/make_story.py

All are functions of the story, the model and `Config` alone.
"""

import argparse
import json
import re

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field
from scipy.linalg import eigh, null_space

from brainalign.align.delays import delay
from brainalign.align.samples import to_samples
from brainalign.arrays import Activations, sha256_of, write_tsv
from brainalign.data import simulated
from brainalign.extract import EXTRACTORS, text
from brainalign.simulate.brain import detrend, runs_of

OUTER_MARKS = "\"'.,;:!?()"


class Config(BaseModel):
    """Everything that decides `words.tsv` and `drivers.npy`, besides the story and the model."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: int = Field(default=0, description="of the jitter of word durations and pauses")
    first_onset: float = Field(default=6.0, description="silence before the first word of a run, s")
    seconds_per_word: float = Field(default=0.1, description="part of a word's duration that every word has, s")
    seconds_per_syllable: float = Field(default=0.14, description="s")
    seconds_per_letter: float = Field(default=0.012, description="s")
    pause_at_comma: float = Field(default=0.25, description="s")
    pause_at_sentence: float = Field(default=0.55, description="s")
    pause_at_paragraph: float = Field(default=1.0, description="s")
    jitter: float = Field(default=0.15, description="standard deviation of the log of durations and pauses")
    model: str = Field(default="shipped", description="as brainalign.extract.text.Config.model")
    n_directions: int = Field(default=2, description="planted per layer")
    tr: float = Field(default=1.5, description="of the recording on whose clock layers are told apart, s")
    delays: tuple[int, ...] = Field(default=(1, 2, 3, 4, 5), description="of the encoding model that tells them apart")
    penalty: float = Field(
        default=1.0, description="its ridge penalty, in mean eigenvalues of the features' Gram matrix"
    )


def read_story(path):
    """Give the runs of the story: run -> paragraphs. A line `[1]` starts run 1; what comes before is the title."""
    parts = re.split(r"^\[(\d+)\]$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        run: [paragraph.strip() for paragraph in text.split("\n\n") if paragraph.strip()]
        for run, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def n_syllables(word):
    """Estimate by groups of vowels, the silent e at the end left out; at least one."""
    groups = re.findall(r"[aeiouy]+", re.sub(r"(?<=[^aeiouyl])e$", "", word.lower()))
    return max(len(groups), 1)


def pause_after(printed, *, ends_paragraph, config):
    if ends_paragraph:
        return config.pause_at_paragraph
    if re.search(r"[.!?][\"']?$", printed):
        return config.pause_at_sentence
    return config.pause_at_comma if re.search(r"[,;:][\"']?$", printed) else 0.0


def time_words(runs, config):
    """Give the table of words: run, onset and duration (s), word, printed form, number of the sentence.

    A word lasts `seconds_per_word + seconds_per_syllable * syllables + seconds_per_letter * letters`, a pause as long
    as its mark says, each times a log-normal factor.
    """
    rng = np.random.default_rng(config.seed)
    rows, i_sentence = [], 0
    for run, paragraphs in runs.items():
        clock = config.first_onset
        for paragraph in paragraphs:
            tokens = paragraph.split()
            for i_token, printed in enumerate(tokens):
                word = printed.strip(OUTER_MARKS)
                duration = config.seconds_per_word + config.seconds_per_syllable * n_syllables(word)
                duration = (duration + config.seconds_per_letter * len(word)) * np.exp(config.jitter * rng.normal())
                pause = pause_after(printed, ends_paragraph=i_token == len(tokens) - 1, config=config)
                rows.append((run, round(clock, 3), round(duration, 3), word, printed, i_sentence))
                clock += duration + pause * np.exp(config.jitter * rng.normal())
                i_sentence += pause >= config.pause_at_sentence
    return pd.DataFrame(rows, columns=["run", "onset", "duration", "word", "printed", "sentence_id"])


def extract_layers(words, model):
    """Give the activations of all layers, (n_layers, n_words, width)."""
    layers = text.extract(words, text.Config(model=model, layers="all", pooling="last", min_context=64))
    return np.stack([activations.values for activations in layers.values()])


def find_drivers(layers, words, config):
    """Give the directions of each planted layer that it predicts from run to run and the other layers do not.

    A direction v of layer l is a value per word, A_l v; as a response it is s = H A_l v, with H the haemodynamic
    response and the removal of drift. An encoding model on layer j (words summed per volume, delayed copies, ridge)
    that is fitted on the other runs predicts P_j s. The directions maximise

        s^T (P_l - w mean_{j < l} P_j - (1 - w) mean_{j > l} P_j) s / s^T s

    with s orthogonal to what a model on word rate and word length could predict (the same delayed copies): a
    generalised eigenvalue problem in v. Of w = 0.1, 0.2, ... 0.9, the one that leaves most between layer l and the best
    of all others is taken.

    Parameters
    ----------
    layers : array of shape (n_layers, n_words, width)
    words : DataFrame of n_words rows
        `run`, `onset`, `duration` (s), `word`.
    config : Config

    Returns
    -------
    drivers : array of shape (n_planted, n_words, n_directions), float32
        Mean 0, variance 1, the largest value of each positive.
    shares : array of shape (n_planted, n_layers)
        s^T P_j s / s^T s, mean over directions: the share of a noiseless response that layer j predicts.
    """
    rows = simulated.volumes(words, config.tr)
    run = rows["run"].to_numpy(str)
    predictors = np.stack(
        [held_out_predictor(features(layer, words, rows, config), run, penalty=config.penalty) for layer in layers]
    )  # (n_layers, n_samples, n_samples)
    low_level = features(simulated.low_level(words), words, rows, config)  # (n_samples, n_delays * 2)
    low_level -= low_level.mean(axis=0)
    drivers, all_shares = [], []
    for layer in simulated.planted_layers():
        values = simulated.standardised(layers[layer].astype(np.float64))  # (n_words, width)
        S = detrended_responses(values, words, rows)  # (n_samples, width)
        free = null_space(low_level.T @ S)  # (width, width - n_delays * 2)
        found = [
            directions(S @ free, predictors, layer, weight=weight, n=config.n_directions)
            for weight in np.arange(1, 10) / 10
        ]
        best, shares = max(found, key=lambda pair: pair[1][layer] - np.delete(pair[1], layer).max())
        driver = simulated.standardised(values @ free @ best)  # (n_words, n_directions)
        drivers.append(driver * np.sign(np.take_along_axis(driver, np.abs(driver).argmax(axis=0)[None], axis=0)))
        all_shares.append(shares)
    return np.stack(drivers).astype(np.float32), np.array(all_shares)


def directions(S, predictors, layer, *, weight, n):
    """Solve the eigenvalue problem of `find_drivers` for one w; give (n_features, n) and the shares (n_layers,)."""
    below, above = predictors[:layer], predictors[layer + 1 :]
    contrast = predictors[layer].copy()
    for others, share in ((below, weight), (above, 1 - weight)):
        if len(others):
            contrast -= share * others.mean(axis=0)
    _, vectors = eigh(S.T @ contrast @ S, S.T @ S)
    best = vectors[:, ::-1][:, :n]
    s = S @ best
    return best, np.array([np.mean(np.sum(s * (P @ s), axis=0) / np.sum(s**2, axis=0)) for P in predictors])


def features(layer, words, rows, config):
    """Give what an encoding model sees of a layer, (n_samples, n_delays * width)."""
    columns = pd.DataFrame({"layer": "-", "unit": np.arange(layer.shape[1])})
    X = to_samples(Activations(layer, words[["run", "onset", "duration"]], columns), rows, bin="sum")
    return delay(X.astype(np.float64), config.delays, run=rows["run"].to_numpy(str))


def detrended_responses(values, words, rows):
    signals = simulated.word_responses(words, values, rows)
    return detrend(signals, order=simulated.DRIFT_ORDER, run=rows["run"].to_numpy(str))


def held_out_predictor(X, run, *, penalty):
    """Give the matrix P with P s the ridge prediction of s, every run from the other runs, made symmetric.

    Only quadratic forms s^T P s are used, which the symmetric part decides.
    """
    X = simulated.standardised(X)
    gram = X @ X.T
    ridge = penalty * np.trace(gram) / len(gram)
    predictor = np.zeros_like(gram)
    for test in runs_of(run):
        train = np.setdiff1d(np.arange(len(gram)), test)
        shrunk = gram[np.ix_(train, train)] + ridge * np.eye(len(train))
        predictor[np.ix_(test, train)] = np.linalg.solve(shrunk, gram[np.ix_(train, test)]).T
    return (predictor + predictor.T) / 2


def run(config, folder=simulated.STORY):
    """Write `words.tsv`, `log_frequency.tsv`, `drivers.npy` and `drivers.json` beside `story.txt`; return the last."""
    write_tsv(time_words(read_story(folder / "story.txt"), config), folder / "words.tsv")
    words = simulated.read_words(folder)
    write_tsv(log_frequencies(words), folder / "log_frequency.tsv")
    drivers, shares = find_drivers(extract_layers(words, config.model), words, config)
    np.save(folder / "drivers.npy", drivers, allow_pickle=False)
    made = {
        "config": config.model_dump(mode="json"),
        "layers": simulated.planted_layers(),
        "model": text.fingerprint(text.Config(model=config.model)),
        "words_sha256": sha256_of(folder / "words.tsv"),
        "drivers_sha256": sha256_of(folder / "drivers.npy"),
        "share_predicted_by_layer": shares.round(3).tolist(),
    }
    (folder / "drivers.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return made


def log_frequencies(words):
    """Give the log frequency of every printed word that occurs, in alphabetical order."""
    measured = EXTRACTORS["words"].Config(quantities=("log_frequency",))
    table = words.assign(log_frequency=EXTRACTORS["words"].extract(words, measured)["-"].values[:, 0])
    once = table.drop_duplicates("word").sort_values("word")
    return once.assign(log_frequency=[f"{value:.6f}" for value in once["log_frequency"]])[["word", "log_frequency"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=JSON", help="change fields of Config")
    arguments = parser.parse_args()
    settings = json.dumps({key: json.loads(value) for key, value in (item.split("=", 1) for item in arguments.set)})
    made = run(Config.model_validate_json(settings))
    for layer, shares in zip(made["layers"], made["share_predicted_by_layer"], strict=True):
        print(f"layer {layer}: share of its noiseless response predicted by layers 0 to {len(shares) - 1}: {shares}")


if __name__ == "__main__":
    main()
