import warnings

import pytest
import torch
from threadpoolctl import threadpool_info

from brainalign.encode.engine import compute
from brainalign.encode.engine.compute import (
    PRECISIONS,
    PrecisionWarning,
    choose_device,
    choose_precision,
    product_rate,
    threads_for,
)
from brainalign.errors import BrainalignError, UnknownName

CPU = torch.device("cpu")


def test_devices():
    assert choose_device("cpu") == CPU
    assert choose_device(CPU) == CPU
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:1", torch.device("cuda")])
def test_gpu_that_is_not_there_is_an_error(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BrainalignError, match='no GPU: take "cpu", or "auto"'):
        choose_device(name)
    assert choose_device("auto") == CPU


def test_a_gpu_is_taken_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize(("name", "nearest"), [("cud", "cuda"), ("cpuu", "cpu"), ("atuo", "auto")])
def test_unknown_devices_suggest_the_nearest(name, nearest):
    with pytest.raises(UnknownName, match=f"did you mean '{nearest}'"):
        choose_device(name)


@pytest.mark.parametrize("name", ["auto:0", "cpu:x", "", None])
def test_no_name_ends_in_another_error(name):
    with pytest.raises(BrainalignError):
        choose_device(name)


@pytest.mark.parametrize(
    ("dtypes", "name"),
    [
        ([torch.float32, torch.float32], "float32"),
        ([torch.float16, torch.bfloat16], "float32"),
        ([torch.float32, torch.float64], "float64"),
        ([torch.float32, torch.int16], "float64"),
        ([torch.bool, torch.int64], "float64"),
    ],
)
def test_precision_is_that_of_the_data(dtypes, name):
    assert choose_precision(None, dtypes=dtypes, device=CPU) is PRECISIONS[name]
    assert choose_precision("float64", dtypes=dtypes, device=CPU).scan == torch.float64


def test_unknown_precisions_suggest_the_nearest():
    with pytest.raises(UnknownName, match=r"'float16'.*did you mean 'float"):
        choose_precision("float16", dtypes=[], device=CPU)


@pytest.mark.parametrize("faster", [True, False])
def test_mixed_falls_back_where_bfloat16_is_not_faster(faster, monkeypatch):
    asked = []
    monkeypatch.setattr(compute, "bfloat16_is_faster", lambda device: asked.append(device) or faster)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        precision = choose_precision("mixed", dtypes=[torch.float64], device=CPU)
    assert asked == [CPU]
    assert precision.name == ("mixed" if faster else "float32")
    assert (precision.scan, precision.fit) == (torch.bfloat16 if faster else torch.float32, torch.float32)
    assert [w.category for w in caught] == ([] if faster else [PrecisionWarning])
    assert all("float32 is used" in str(w.message) for w in caught)


@pytest.mark.parametrize(("rate", "faster"), [(1.4, False), (1.6, True), (0.1, False)])
def test_faster_means_by_half(rate, faster, monkeypatch):
    monkeypatch.setattr(compute, "product_rate", lambda dtype, device: rate if dtype == torch.bfloat16 else 1.0)
    assert compute.bfloat16_is_faster(CPU) is faster


def test_rate_is_in_operations_per_second_and_measured_once():
    rate = product_rate(torch.float32, CPU, size=64)
    assert 1e7 < rate < 1e14
    assert product_rate(torch.float32, CPU, size=64) == rate


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_small_problems_take_one_thread_and_give_the_others_back():
    before, blas = torch.get_num_threads(), blas_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(ZeroDivisionError), threads_for(100, 10, 10):
            1 / ((torch.get_num_threads(), blas_threads()) != (1, {1}))
        assert torch.get_num_threads() == 2
        with threads_for(10_000, 1000, 1000):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert blas_threads() == blas
