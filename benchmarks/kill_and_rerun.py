"""Kill runs of the demo at random moments, run them again, and compare with an uninterrupted run byte for byte.

    python benchmarks/kill_and_rerun.py [--n 30] [--quick] [--json FILE]

For every kill: the real command line is started in an empty folder and killed at a random moment of its run time; no
finished cell may be damaged and no visible file half-written; then it is run again, and every result file must equal
that of an uninterrupted run.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from brainalign.jobs.store import RECEIPT, problem_of


def command(folder):
    return [sys.executable, "-m", "brainalign.cli", "demo", "--out", str(folder)]


def results(folder):
    """Bytes of every visible file."""
    files = (p for p in folder.rglob("*") if p.is_file())
    visible = (p for p in files if not any(part.startswith(".") for part in p.relative_to(folder).parts))
    return {str(p.relative_to(folder)): p.read_bytes() for p in visible}


def kill_once(folder, moment, whole):
    """Kill a run, look, run again; give (was it killed, was anything wrong before the rerun, is the result equal)."""
    process = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(moment)
    process.kill()
    killed = process.wait() < 0
    left = results(folder) if folder.exists() else {}
    damaged = [p for p in folder.glob(f"cells/[!.]*/{RECEIPT}") if problem_of(p.parent)]
    wrong = bool(damaged) or any(whole.get(name) != data for name, data in left.items())
    subprocess.run(command(folder), check=True, capture_output=True)
    return killed, wrong, results(folder) == whole


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=30, help="how many kills")
    parser.add_argument("--quick", action="store_true", help="one kill")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    n_kills = 1 if arguments.quick else arguments.n
    moments = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        start = time.monotonic()
        subprocess.run(command(root / "whole"), check=True, capture_output=True)
        seconds = time.monotonic() - start
        whole = results(root / "whole")
        kills = [(root / f"run{i}", moments.uniform(0, seconds), whole) for i in range(n_kills)]
        with ThreadPoolExecutor(os.cpu_count()) as several:
            rows = list(several.map(lambda kill: kill_once(*kill), kills))
    n_killed, n_wrong, n_equal = (sum(column) for column in zip(*rows, strict=True))
    figures = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "seconds_uninterrupted": round(seconds, 1),
        "killed": n_killed,
        "something_wrong_visible": n_wrong,
        "equal_after_rerun": n_equal,
        "files": len(whole),
    }
    print(
        f"{n_kills} runs of {seconds:.0f} s, {n_killed} killed by SIGKILL at a random moment: "
        f"something half-written visible in {n_wrong}, all {len(whole)} result files equal to an uninterrupted run's, "
        f"byte for byte, after a rerun in {n_equal} of {n_kills}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
