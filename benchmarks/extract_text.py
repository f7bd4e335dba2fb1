"""How fast is text extraction? Beside the bare model on the same windows, and beside one forward pass per word.

    python benchmarks/extract_text.py [--quick] [--json FILE] [--model shipped] [--data-dir ../shared/data]

Printed in one run, so that the ratios do not depend on the machine:

- `bare`: tokens/s of `model(ids)` over the windows that extraction reads, in the same batches, on a loaded model.
- `extract`: tokens/s of the whole call, from words to `Activations`: tokenizer and weights from disk, every layer kept,
  pooled per word. Target: at least 80 % of `bare`.
- `word by word`: one forward pass per word over exactly the tokens that extraction gives it, on a sample of the words.
  Target: extraction at least 20 times faster.

The text is the book of brennan2016 where its folder is present, else the sentences below over and over.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import AutoModel, AutoTokenizer

from brainalign.extract import resolve_model, text

REPOSITORY = Path(__file__).resolve().parent.parent
SENTENCES = (
    "It was late in the afternoon when the old clockmaker closed his shop and walked down to the river.",
    "Nobody had seen the boat come in, but there it lay, tied to the post that his father had put there.",
    "She asked him twice whether he had slept, and twice he told her that the bells had kept him awake.",
)


def words_of(data_dir, n_words):
    """Give words to read and where they are from."""
    book = data_dir / "brennan2016" / "stimuli" / "alice-gutenberg.txt"
    if book.is_file():
        words, source = book.read_text(encoding="utf-8").split(), book.name
    else:
        words, source = " ".join(SENTENCES).split(), "sentences of this file, repeated"
    return (words * (1 + n_words // len(words)))[:n_words], source


def as_events(words):
    n = len(words)
    return pd.DataFrame({"run": ["1"] * n, "onset": 0.4 * np.arange(n), "duration": [0.3] * n, "word": words})


def seconds_of(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def windows_of(n_tokens, size, min_context):
    """Give (start, stop) of the windows of `extract`, by the arithmetic of its documentation."""
    stride = size - min_context
    n_windows = 1 + max(0, -(-(n_tokens - size) // stride))
    return [(i * stride, min(i * stride + size, n_tokens)) for i in range(n_windows)]


def run(config, *, words, n_repeats, n_single):
    """Time the three, in turns; return the table of results."""
    events = as_events(words)
    folder = resolve_model(config.model, revision=config.revision).folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.tensor(tokenizer(" ".join(words), add_special_tokens=False)["input_ids"])
    size = model.config.max_position_embeddings
    windows = windows_of(len(ids), size, config.min_context)
    n_read = sum(stop - start for start, stop in windows)
    planned = text.plan(events, config)
    assert (planned["n_tokens"], planned["n_tokens_read"]) == (len(ids), n_read)
    whole = [ids[start:stop] for start, stop in windows if stop - start == size]
    n = config.batch_size
    batches = [torch.stack(whole[i : i + n]) for i in range(0, len(whole), n)]
    batches += [ids[None, start:stop] for start, stop in windows if stop - start < size]
    sample = np.random.default_rng(0).integers(len(ids), size=n_single)
    stride = size - config.min_context
    starts = [0 if t < size else (t - config.min_context) // stride * stride for t in sample]

    def bare():
        with torch.inference_mode():
            for batch in batches:
                model(batch)

    def word_by_word():
        with torch.inference_mode():
            for start, t in zip(starts, sample, strict=True):
                model(ids[None, start : t + 1], output_hidden_states=True)

    timed = {"bare": bare, "extract": lambda: text.extract(events, config), "word_by_word": word_by_word}
    for function in timed.values():
        function()
    seconds = {name: [] for name in timed}
    for _ in range(n_repeats):
        for name, function in timed.items():
            seconds[name].append(seconds_of(function))
    ratios = [b / e for b, e in zip(seconds["bare"], seconds["extract"], strict=True)]
    per_word = [s / len(sample) for s in seconds["word_by_word"]]
    gains = [single * len(words) / e for single, e in zip(per_word, seconds["extract"], strict=True)]
    return {
        "n_words": len(words),
        "n_tokens": len(ids),
        "n_tokens_read": n_read,
        "n_windows": len(windows),
        "bare_tokens_per_s": round(n_read / min(seconds["bare"])),
        "extract_tokens_per_s": round(n_read / min(seconds["extract"])),
        "ratio": round(statistics.median(ratios), 3),
        "words_per_s": round(len(words) / min(seconds["extract"])),
        "word_by_word_words_per_s": round(1 / min(per_word), 1),
        "speed_up": round(statistics.median(gains), 1),
        "seconds": {name: [round(s, 3) for s in values] for name, values in seconds.items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--quick", action="store_true", help="fewer words and repeats, for a smoke test")
    parser.add_argument("--batch-size", type=int, default=8, help="windows per forward pass")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write the results here as well")
    data_dir = Path(os.environ.get("BRAINALIGN_DATA", REPOSITORY.parent / "shared" / "data"))
    parser.add_argument("--data-dir", type=Path, default=data_dir)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = text.Config(model=arguments.model, batch_size=arguments.batch_size)
    words, source = words_of(arguments.data_dir, 2_000 if arguments.quick else 20_000)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {arguments.threads} threads, torch {torch.__version__}"
    n_repeats, n_single = (2, 20) if arguments.quick else (5, 100)
    results = {
        "model": arguments.model,
        "batch_size": config.batch_size,
        "min_context": config.min_context,
        "text": source,
        "machine": machine,
        **run(config, words=words, n_repeats=n_repeats, n_single=n_single),
    }
    for name, value in results.items():
        print(f"{name:26}{value}")
    print(f"\nextract / bare         {results['ratio']:.2f}   (target: at least 0.80)")
    print(f"extract / word by word {results['speed_up']:.0f}   (target: at least 20)")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
