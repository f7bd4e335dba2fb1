"""How fast is speech extraction? Beside the bare model on the same windows, one window at a time, and on longer sound.

    python benchmarks/extract_speech.py [--quick] [--json FILE] [--model FOLDER]

Printed in one run, so that the ratios do not depend on the machine, for windows of 8 s (in batches of 4) and of 0.5 s
(in batches of 16):

- `bare`: windows/s of `model(inputs)` over the windows that extraction reads, in the same batches, on a loaded model
  and inputs that are scaled already.
- `extract`: windows/s of the whole call, from a WAV file to `Activations`: configuration and weights from disk, every
  layer kept, pooled per row. Target: at least 80 % of `bare`.
- `one at a time`: windows/s of one forward pass per window, beside the same windows in batches. On a CPU batches gain
  nothing where a window fills the cores by itself.
- memory: how much the peak of the process (VmHWM) grows during extraction of sounds of several lengths, on a small
  model, with the result on disk. The kernel counts pages of that file as memory while it likes; so the result's size
  stands beside it. Target: an hour takes no more than 20 MB above a tenth of it, the result set aside.

The sound is noise; the models are built here with fresh weights, as speed and memory do not depend on them (--model
takes a real one).
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
import transformers

from brainalign.extract import speech

SFREQ = 16_000
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
QUICK = SMALL | {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "conv_dim": (128,) * 7}
BASE = {}  # wav2vec 2.0 base: 12 blocks of 768 units, 512 channels
LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}


def build(folder, settings):
    """Save a wav2vec 2.0 of these settings with fresh weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**settings))
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return str(folder)


def events_of(folder, seconds):
    """Write noise and give the event that plays it."""
    path = folder / f"{seconds}s.wav"
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", SFREQ, 1, subtype="PCM_16") as file:
        for _ in range(seconds):
            file.write(0.1 * rng.standard_normal(SFREQ))
    return pd.DataFrame({"run": ["1"], "onset": [0.0], "duration": [float(seconds)], "audio": [str(path)]})


def batches_of(config, seconds):
    """Give scaled inputs of every window, in the batches of `extract`: by the arithmetic of its documentation."""
    sound = soundfile.read(config["path"], dtype="float32")[0]
    extractor = transformers.AutoFeatureExtractor.from_pretrained(config["model"])
    size, step = round(config["context"] * SFREQ), round(config["step"] * SFREQ)
    ends = np.arange(step, seconds * SFREQ + 1, step)
    windows = [sound[max(0, end - size) : end] for end in ends]
    batches = []
    for part in (windows[i : i + speech.ROWS_PER_PART] for i in range(0, len(windows), speech.ROWS_PER_PART)):
        whole = [window for window in part if len(window) == size]
        n = config["batch_size"]
        groups = [[window] for window in part if len(window) < size]
        groups += [whole[i : i + n] for i in range(0, len(whole), n)]
        batches += [extractor(group, sampling_rate=SFREQ, return_tensors="pt").input_values for group in groups]
    return batches


def seconds_of(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure_speed(folder, *, model, seconds, context, step, batch_size, n_repeats, n_single):
    """Time the three, in turns; return the table of results."""
    events = events_of(folder, seconds)
    config = speech.Config(model=model, step=step, context=context, batch_size=batch_size)
    counts = speech.plan(events, config)
    settings = {"path": events["audio"][0], "model": model, "context": config.context, "step": step}
    batches = batches_of(settings | {"batch_size": batch_size}, seconds)
    assert sum(map(len, batches)) == counts["n_windows"]
    assert sum(batch.numel() for batch in batches) == counts["n_samples_read"]
    whole = [window[None] for batch in batches for window in batch if batch.shape[1] == round(config.context * SFREQ)]
    loaded = transformers.AutoModel.from_pretrained(model, dtype=torch.float32).eval()

    def bare(of_windows=batches):
        with torch.inference_mode():
            for batch in of_windows:
                loaded(batch)

    timed = {
        "bare": bare,
        "extract": lambda: speech.extract(events, config),
        "batches": lambda: bare([torch.cat(whole[i : i + batch_size]) for i in range(0, n_single, batch_size)]),
        "one_at_a_time": lambda: bare(whole[:n_single]),
    }
    taken = {name: [] for name in timed}
    timed["one_at_a_time"]()
    for _ in range(n_repeats):
        for name, function in timed.items():
            taken[name].append(seconds_of(function))
    ratios = [b / e for b, e in zip(taken["bare"], taken["extract"], strict=True)]
    gains = [o / b for o, b in zip(taken["one_at_a_time"], taken["batches"], strict=True)]
    n = counts["n_windows"]
    return {
        "seconds_of_sound": seconds,
        "context": config.context,
        "step": step,
        "batch_size": batch_size,
        "n_windows": n,
        "n_layers": counts["n_layers"],
        "n_parameters": counts["n_parameters"],
        "bare_windows_per_s": round(n / min(taken["bare"]), 2),
        "extract_windows_per_s": round(n / min(taken["extract"]), 2),
        "ratio": round(statistics.median(ratios), 3),
        "one_at_a_time_windows_per_s": round(n_single / min(taken["one_at_a_time"]), 2),
        "gain_of_batches": round(statistics.median(gains), 2),
        "times": {name: [round(s, 3) for s in values] for name, values in taken.items()},
    }


def peak_memory():
    """Give the largest resident memory that this process had, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))


def memory_of_one(model, audio, seconds):
    """Extract once with the result on disk, in this process; give what it took above a short extraction."""
    torch.set_num_threads(1)
    config = speech.Config(model=model, step=1.0, context=2.0)
    events = pd.DataFrame({"run": ["1"], "onset": [0.0], "duration": [float(seconds)], "audio": [audio]})
    speech.extract(events.assign(duration=10.0), config)
    before = peak_memory()
    with tempfile.TemporaryDirectory() as scratch:
        taken = seconds_of(lambda: speech.extract(events, config, scratch=Path(scratch)))
    return {
        "seconds_of_sound": seconds,
        "bytes_of_sound": 4 * SFREQ * seconds,
        "bytes_result": speech.plan(events, config)["bytes_result"],
        "bytes_taken": peak_memory() - before,
        "seconds": round(taken, 1),
    }


def measure_memory(folder, lengths):
    """Run `memory_of_one` in a fresh process per length."""
    model = build(folder / "small", SMALL | LAYER_NORM)
    rows = []
    for seconds in lengths:
        audio = events_of(folder, seconds)["audio"][0]
        call = [sys.executable, str(Path(__file__).resolve()), "--memory-of", model, audio, str(seconds)]
        rows.append(json.loads(subprocess.run(call, capture_output=True, text=True, check=True).stdout))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder of a wav2vec 2.0 or its kin; default: the base size, fresh weights")
    parser.add_argument("--quick", action="store_true", help="a smaller model and less sound, for a smoke test")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write the results here as well")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        model, audio, seconds = arguments.memory_of
        print(json.dumps(memory_of_one(model, audio, int(seconds))))
        return
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    n_repeats = 2 if arguments.quick else 3
    sizes = [
        {"seconds": 12 if arguments.quick else 20, "context": 8.0, "step": 1.0, "batch_size": 4, "n_single": 4},
        {"seconds": 5 if arguments.quick else 20, "context": 0.5, "step": 0.1, "batch_size": 16, "n_single": 32},
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = arguments.model or build(folder / "model", QUICK if arguments.quick else BASE)
        speed = [measure_speed(folder, model=model, n_repeats=n_repeats, **size) for size in sizes]
        memory = measure_memory(folder, [60, 240] if arguments.quick else [60, 360, 1200, 3600])
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {arguments.threads} threads, torch {torch.__version__}"
    results = {"model": arguments.model or "built here", "machine": machine, "speed": speed, "memory": memory}
    print(f"model   {results['model']}\nmachine {machine}")
    for row in speed:
        print()
        for key, value in row.items():
            print(f"{key:30}{value}")
        print(f"extract / bare            {row['ratio']:.2f}   (target: at least 0.80)")
        print(f"batches / one at a time   {row['gain_of_batches']:.2f}")
    print(f"\n{'sound, s':>10}{'as samples, MB':>16}{'result, MB':>12}{'memory taken, MB':>18}{'time, s':>10}")
    for row in memory:
        sizes = (row[key] / 1e6 for key in ("bytes_of_sound", "bytes_result", "bytes_taken"))
        print("{:>10}{:>16.1f}{:>12.1f}{:>18.1f}{:>10}".format(row["seconds_of_sound"], *sizes, row["seconds"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
