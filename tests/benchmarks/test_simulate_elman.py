"""The benchmark of Elman networks refuses before it runs what it could not finish."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "simulate_elman.py"


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--json", "/no/such/x"], "cannot write /no/such/x"), (["--device", "tpu"], "'tpu'")]
)
def test_what_cannot_be_done_is_said_at_once(arguments, said, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("simulate_elman", BENCHMARK)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    monkeypatch.setattr(benchmark, "timed", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(sys, "argv", [str(BENCHMARK), "--quick", *arguments])
    with pytest.raises(SystemExit, match="2"):
        benchmark.main()
    assert said in capsys.readouterr().err
