"""How fast is vision extraction? Beside the bare model on the same batches, and beside one image at a time.

    python benchmarks/extract_vision.py [--quick] [--json FILE] [--model vit-base] [--device cpu]

Printed in one run, so that the ratios do not depend on the machine:

- `bare`: images/s of `model(pixels)` in the batches of extraction, pixels ready in memory, on a loaded model.
- `extract`: images/s of the whole call, from JPEG files to `Activations`: weights and pictures from disk, every hidden
  state kept, pooled. Target: at least 80 % of `bare`.
- `one by one`: read a picture, process it, run the model on it, keep the hidden states pooled, and so on.
- `peak_mb`: the most memory that a process which extracts needs, for n and for 4 n pictures, less the result.

Models have the sizes of the published ones and random weights; speed does not depend on what weights are.
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import transformers
from PIL import Image

from brainalign.extract import vision

MODELS = {
    "vit-base": (transformers.ViTConfig(), transformers.ViTModel),
    "vit-small": (
        transformers.ViTConfig(hidden_size=384, num_attention_heads=6, intermediate_size=1536),
        transformers.ViTModel,
    ),
    "resnet-50": (transformers.ResNetConfig(), transformers.ResNetModel),
    "resnet-18": (
        transformers.ResNetConfig(hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic"),
        transformers.ResNetModel,
    ),
}
PROCESSOR = {
    "image_processor_type": "BitImageProcessor",
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
}


def save_model(name, folder):
    config, model_class = MODELS[name]
    torch.manual_seed(0)
    model = model_class(config)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))


def save_pictures(folder, n):
    """Photographs in size and detail: 500 x 375, smooth over some pixels, JPEG of quality 90."""
    rng = np.random.default_rng(0)
    for i in range(n):
        coarse = rng.integers(0, 256, size=(75, 100, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=90)
    return [str(folder / f"{i}.jpg") for i in range(n)]


def as_events(pictures):
    n = len(pictures)
    return pd.DataFrame({"run": ["1"] * n, "onset": 1.0 * np.arange(n), "duration": [0.5] * n, "image": pictures})


def peak_mb(config, pictures, n_threads, queue):
    """Give a fresh process's largest memory, less the activations it returns."""
    torch.set_num_threads(n_threads)
    layers = vision.extract(as_events(pictures), config)
    result = sum(layer.values.nbytes for layer in layers.values())
    high_water = Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1].split()[0]  # kB
    queue.put((1024 * int(high_water) - result) / 1e6)


def peak_of(config, pictures, n_threads):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=peak_mb, args=(config, pictures, n_threads, queue))
    process.start()
    peak = queue.get()
    process.join()
    return round(peak)


def seconds_of(function, device):
    start = time.perf_counter()
    function()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def run(config, *, pictures, n_repeats, n_single):
    """Time the three, in turns; return the table of results."""
    events, n = as_events(pictures), config.batch_size
    processor = transformers.AutoImageProcessor.from_pretrained(config.model)
    model = transformers.AutoModel.from_pretrained(config.model, dtype=getattr(torch, config.dtype))
    model = model.eval().to(config.device)

    def pixels_of(pictures):
        read = [Image.open(picture).convert("RGB") for picture in pictures]
        return processor(read, return_tensors="pt")["pixel_values"]

    batches = [pixels_of(pictures[i : i + n]) for i in range(0, min(len(pictures), 4 * n), n)]
    rounds = [batches[i % len(batches)] for i in range(-(-len(pictures) // n))]

    def bare():
        with torch.inference_mode():
            for batch in rounds:
                model(batch.to(config.device, model.dtype))

    def one_by_one():
        with torch.inference_mode():
            for picture in pictures[:n_single]:
                pixels = pixels_of([picture]).to(config.device, model.dtype)
                hidden = model(pixels, output_hidden_states=True).hidden_states
                [states.flatten(2).mean(dim=1 if states.ndim == 3 else 2).float().cpu() for states in hidden]

    timed = {"bare": bare, "extract": lambda: vision.extract(events, config), "one_by_one": one_by_one}
    for function in timed.values():
        function()
    seconds = {name: [] for name in timed}
    for _ in range(n_repeats):
        for name, function in timed.items():
            seconds[name].append(seconds_of(function, config.device))
    n_bare = sum(map(len, rounds))
    bare_rate, rate = ([k / s for s in seconds[name]] for name, k in (("bare", n_bare), ("extract", len(pictures))))
    single_rate = [n_single / s for s in seconds["one_by_one"]]
    n_threads = torch.get_num_threads()
    quarter = pictures[: len(pictures) // 4]
    return {
        "n_pictures": len(pictures),
        "bare_images_per_s": round(max(bare_rate), 1),
        "extract_images_per_s": round(max(rate), 1),
        "ratio": round(statistics.median(e / b for e, b in zip(rate, bare_rate, strict=True)), 3),
        "one_by_one_images_per_s": round(max(single_rate), 1),
        "speed_up": round(statistics.median(e / s for e, s in zip(rate, single_rate, strict=True)), 2),
        "peak_mb": {len(some): peak_of(config, some, n_threads) for some in (quarter, pictures)},
        "seconds": {name: [round(s, 3) for s in values] for name, values in seconds.items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, help="default vit-base, with --quick resnet-18")
    parser.add_argument("--quick", action="store_true", help="a smaller model, fewer pictures and repeats")
    parser.add_argument("--batch-size", type=int, help="images per forward pass; default 16, with --quick 8")
    parser.add_argument("--n-pictures", type=int, help="default 192, with --quick 48")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write the results here as well")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    name = arguments.model or ("resnet-18" if arguments.quick else "vit-base")
    n_pictures = arguments.n_pictures or (48 if arguments.quick else 192)
    n_repeats, n_single = (1, 8) if arguments.quick else (3, 32)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {arguments.threads} threads, torch {torch.__version__}"
    if arguments.device != "cpu":
        machine += f", {torch.cuda.get_device_name(arguments.device)}"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").mkdir()
        save_model(name, Path(folder) / "model")
        pictures = save_pictures(Path(folder), n_pictures)
        config = vision.Config(
            model=str(Path(folder) / "model"),
            batch_size=arguments.batch_size or (8 if arguments.quick else 16),
            device=arguments.device,
            dtype=arguments.dtype,
        )
        results = {
            "model": name,
            "batch_size": config.batch_size,
            "device": config.device,
            "dtype": config.dtype,
            "machine": machine,
            **run(config, pictures=pictures, n_repeats=n_repeats, n_single=n_single),
        }
    for key, value in results.items():
        print(f"{key:26}{value}")
    print(f"\nextract / bare         {results['ratio']:.2f}   (target: at least 0.80)")
    print(f"extract / one by one   {results['speed_up']:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
