"""Windows over texts longer than the context."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.extract._windows import Window, batches_of, windows_of, windows_of_texts


@st.composite
def cases(draw):
    before, after = draw(st.integers(0, 8)), draw(st.integers(0, 8))
    size = before + after + draw(st.integers(1, 12))
    return draw(st.integers(1, 120)), size, before, after


@given(case=cases())
def test_every_token_is_kept_once_with_its_context(case):
    n_tokens, size, before, after = case
    windows = windows_of(n_tokens, size=size, before=before, after=after)
    kept = [t for _, _, first, last in windows for t in range(first, last)]
    assert kept == list(range(n_tokens))
    for start, stop, first, last in windows:
        assert 0 <= start <= first < last <= stop <= n_tokens
        assert stop - start <= size
        assert first - start >= min(before, first)
        assert stop - last >= min(after, n_tokens - last)
    assert len(windows) == (1 if n_tokens <= size else 1 + int(np.ceil((n_tokens - size) / (size - before - after))))


def test_the_stride_is_the_largest_that_keeps_the_context():
    assert windows_of(20, size=10, before=4) == [(0, 10, 0, 10), (6, 16, 10, 16), (12, 20, 16, 20)]
    assert windows_of(10, size=10, before=4) == [(0, 10, 0, 10)]
    assert windows_of(3, size=10, before=4, after=4) == [(0, 3, 0, 3)]
    assert windows_of(14, size=10, before=4, after=4) == [(0, 10, 0, 6), (2, 12, 6, 8), (4, 14, 8, 14)]


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_batches_hold_every_window_once_and_those_of_one_length_together(batch_size):
    windows = windows_of_texts([30, 3, 12, 3, 50], size=12, before=2)
    batches = list(batches_of(windows, batch_size))
    assert sorted(window for batch in batches for window in batch) == sorted(windows)
    assert all(len(batch) <= batch_size for batch in batches)
    lengths = [{window.stop - window.start for window in batch} for batch in batches]
    assert all(len(of_batch) == 1 for of_batch in lengths)
    assert [max(of_batch) for of_batch in lengths] == sorted((max(of_batch) for of_batch in lengths), reverse=True)


def test_auto_fills_batches_by_tokens():
    windows = [Window(0, 0, 1024, 0, 1024)] * 5 + [Window(1, 0, 8, 0, 8)] * 600
    assert [len(batch) for batch in batches_of(windows, "auto", device="cpu")] == [4, 1, 512, 88]
    assert [len(batch) for batch in batches_of(windows, "auto", device="cuda")] == [5, 600]
    assert len(next(batches_of([Window(0, 0, 9000, 0, 9000)], "auto"))) == 1
