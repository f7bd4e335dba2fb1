import numpy as np
import pytest

from brainalign.errors import BrainalignError
from brainalign.extract._parts import DONE, Part, fill


def parts_of(n, size):
    return [Part(i, min(i + size, n), range(i, min(i + size, n)), f"rows {i} on") for i in range(0, n, size)]


def compute(rows):
    return {"a": np.array([[i, i**2] for i in rows], dtype=np.float32), "b": np.array([[-i] for i in rows])}


def stopping_after(n):
    calls = []

    def compute_or_stop(rows):
        if len(calls) == n:
            raise KeyboardInterrupt
        calls.append(rows)
        return compute(rows)

    return compute_or_stop, calls


@pytest.mark.parametrize("size", [1, 3, 10, 50])
def test_rows_go_to_their_places(tmp_path, size):
    for scratch in (None, tmp_path):
        layers = fill(parts_of(10, size), compute, n_rows=10, scratch=scratch)
        assert list(layers) == ["a", "b"]
        np.testing.assert_array_equal(layers["a"], compute(range(10))["a"])
        np.testing.assert_array_equal(layers["b"][:, 0], -np.arange(10))


def test_what_is_done_is_not_computed_again(tmp_path):
    first, _ = stopping_after(2)
    with pytest.raises(KeyboardInterrupt):
        fill(parts_of(10, 3), first, n_rows=10, scratch=tmp_path)
    second, calls = stopping_after(99)
    layers = fill(parts_of(10, 3), second, n_rows=10, scratch=tmp_path)
    assert calls == [range(6, 9), range(9, 10)]
    np.testing.assert_array_equal(layers["a"], compute(range(10))["a"])


def test_a_last_line_that_was_cut_is_computed_again(tmp_path):
    fill(parts_of(30, 2), compute, n_rows=30, scratch=tmp_path)
    whole = (tmp_path / DONE).read_text()
    (tmp_path / DONE).write_text(whole.removesuffix("4\n"))  # of "14", as if the process died while writing it
    second, calls = stopping_after(99)
    fill(parts_of(30, 2), second, n_rows=30, scratch=tmp_path)
    assert calls == [range(28, 30)]


def test_a_line_that_was_cut_does_not_grow_into_another(tmp_path):
    first, _ = stopping_after(2)
    with pytest.raises(KeyboardInterrupt):
        fill(parts_of(30, 2), first, n_rows=30, scratch=tmp_path)
    (tmp_path / DONE).write_text("0\n1")  # followed by the "1" of part 1, it would say that part 11 is done
    second, _ = stopping_after(3)
    with pytest.raises(KeyboardInterrupt):
        fill(parts_of(30, 2), second, n_rows=30, scratch=tmp_path)
    layers = fill(parts_of(30, 2), compute, n_rows=30, scratch=tmp_path)
    np.testing.assert_array_equal(layers["a"], compute(range(30))["a"])


def test_parts_of_another_size_start_anew(tmp_path):
    first, _ = stopping_after(2)
    with pytest.raises(KeyboardInterrupt):
        fill(parts_of(10, 3), first, n_rows=10, scratch=tmp_path)
    second, calls = stopping_after(99)
    layers = fill(parts_of(10, 2), second, n_rows=10, scratch=tmp_path)
    assert len(calls) == 5
    np.testing.assert_array_equal(layers["a"], compute(range(10))["a"])


def test_a_value_that_is_not_finite_names_layer_and_part():
    def broken(rows):
        return {"3": np.array([[np.nan if i == 7 else i] for i in rows])}

    with pytest.raises(BrainalignError, match=r"layer 3: .*rows 6 on.*not finite"):
        fill(parts_of(10, 3), broken, n_rows=10)


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(BrainalignError, match=r"rows 0 on gave \(2, 1\), expected \(3, width\)"):
        fill(parts_of(10, 3), lambda _: {"a": np.zeros((2, 1))}, n_rows=10)
