import mmap

import numpy as np
import pytest
import torch

from brainalign.encode.engine.sources import CHUNK, WIDTH, Samples, standard_unit
from brainalign.errors import BrainalignError, Misaligned


def responses(values):
    return Samples(values, name="Y", column="target")


def numbers(n_samples=150, n_targets=7, *, seed=0):
    return np.random.default_rng(seed).standard_normal((n_samples, n_targets))


@pytest.fixture
def on_disk(tmp_path):
    """Give a function that writes an array and maps it."""

    def write(values, mode="r"):
        path = tmp_path / "Y.npy"
        np.save(path, values)
        return np.load(path, mmap_mode=mode)

    return write


LAYOUTS = {
    "rows": lambda Y: Y,
    "Fortran": np.asfortranarray,
    "negative strides": lambda Y: Y[::-1, ::-1].copy()[::-1, ::-1],
    "every other": lambda Y: np.repeat(Y, 2, axis=1)[:, ::2],
    "big-endian": lambda Y: Y.astype(">f8"),
    "objects": lambda Y: Y.astype(object),
    "list": lambda Y: Y.tolist(),
    "tensor": torch.as_tensor,
    "tensor with gradient": lambda Y: torch.as_tensor(Y).requires_grad_(),
    "runs": lambda Y: [Y[:11], Y[11:90], Y[90:]],
    "tuple of tensors": lambda Y: (torch.as_tensor(Y[:64]), torch.as_tensor(Y[64:])),
    "iterator": lambda Y: iter([Y[:1], Y[1:65], Y[65:]]),
    "iterator with an empty run": lambda Y: iter([Y[:1], Y[:0], Y[1:]]),
    "list with an empty run": lambda Y: [Y[:1], Y[:0], Y[1:]],
    "generator of tensors": lambda Y: (torch.as_tensor(part.copy()) for part in np.array_split(Y, 4)),
    "runs in different layouts": lambda Y: [np.asfortranarray(Y[:80]), Y[:79:-1][::-1]],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_reads_the_same(layout):
    Y = numbers()
    samples = responses(LAYOUTS[layout](Y))
    assert samples.shape == Y.shape
    assert samples.dtype == torch.float64
    assert not samples.one_column
    np.testing.assert_array_equal(samples.whole().numpy(), Y)
    for columns in (slice(2, 5), slice(0, 7), np.array([6, 0, 3])):
        block = samples.read(columns, dtype=torch.float64)
        assert block.is_contiguous()
        np.testing.assert_array_equal(block.numpy(), Y[:, columns].T)


@pytest.mark.parametrize("n_samples", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_rows_are_read_in_chunks(n_samples):
    Y = numbers(n_samples)
    np.testing.assert_array_equal(responses(Y).read(slice(0, 7), dtype=torch.float64).numpy(), Y.T)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("f2", torch.float16),
        ("f4", torch.float32),
        (">f4", torch.float32),
        (">f2", torch.float64),
        (">i4", torch.float64),
        ("i1", torch.int8),
        ("u1", torch.uint8),
        ("u2", torch.float64),
        ("u8", torch.float64),
        ("?", torch.bool),
        ("g", torch.float64),
    ],
)
def test_numbers_of_every_type(dtype, expected):
    Y = (np.arange(12).reshape(4, 3) % 2 if dtype == "?" else np.arange(12).reshape(4, 3)).astype(dtype)
    samples = responses(Y)
    assert samples.dtype == expected
    assert samples.whole().is_floating_point()
    np.testing.assert_array_equal(samples.whole().double().numpy(), Y.astype(float))
    np.testing.assert_array_equal(samples.read(slice(0, 3), dtype=torch.float64).numpy(), Y.T.astype(float))


def test_runs_of_different_types_are_read_in_the_larger():
    Y = numbers()
    samples = responses([Y[:40].astype(np.float32), Y[40:]])
    assert samples.dtype == torch.float64
    np.testing.assert_array_equal(samples.whole()[40:].numpy(), Y[40:])


def test_runs_are_numbered_and_arrays_have_none():
    Y = numbers()
    assert responses([Y[:11], Y[11:]]).run.tolist() == [0] * 11 + [1] * 139
    assert responses(iter([Y])).run.tolist() == [0] * 150
    assert responses(Y).run is None
    assert responses(Y.tolist()).run is None


def test_one_dimension_is_one_target():
    y = numbers()[:, 0]
    for values in (y, y.tolist(), torch.as_tensor(y), iter([y[:50], y[50:]]), [y[:50], y[50:]], [y[:75], y[75:]]):
        samples = responses(values)
        assert samples.one_column
        assert samples.shape == (150, 1)
        np.testing.assert_array_equal(samples.whole()[:, 0].numpy(), y)


def test_arrays_that_may_not_be_written_do_not_warn_and_stay():
    Y = numbers()
    Y.flags.writeable = False
    block = responses(Y).read(slice(0, 7), dtype=torch.float64)
    block += 1
    np.testing.assert_array_equal(Y, numbers())


def test_blocks_cover_all_columns_in_nearly_equal_widths():
    samples = responses(np.zeros((2, 2 * WIDTH + 1)))
    pieces = samples.blocks()
    assert np.concatenate([np.arange(2 * WIDTH + 1)[piece] for piece in pieces]).tolist() == list(range(2 * WIDTH + 1))
    widths = [piece.stop - piece.start for piece in pieces]
    assert len(widths) == 3
    assert max(widths) <= WIDTH
    assert max(widths) - min(widths) <= 2
    chosen = np.arange(0, 100, 3)
    assert np.concatenate(samples.blocks(chosen, width=10)).tolist() == chosen.tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("columns", [slice(100, 200), np.array([3, 150, 9])])
def test_what_is_not_finite_is_named_by_sample_and_target_of_the_whole(bad, columns):
    Y = numbers(90, 220)
    Y[77, 150] = bad
    samples = responses([Y[:50], Y[50:]])
    with pytest.raises(BrainalignError, match=f"Y is {bad} at sample 77, target 150 "):
        samples.read(columns, dtype=torch.float64)
    samples.read(slice(0, 100), dtype=torch.float64)
    with pytest.raises(BrainalignError, match="sample 77, target 150 "):
        samples.whole()


def test_both_infinities_that_cancel_are_found():
    Y = numbers()
    Y[3, 1], Y[5, 2] = np.inf, -np.inf
    with pytest.raises(BrainalignError, match=r"sample 3, target 1 .2 values"):
        responses(Y).whole()


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_memory_maps_read_the_same_again_after_their_pages_are_released(mode, on_disk):
    Y = numbers(300, 50)
    samples = responses(on_disk(Y, mode))
    for _ in range(2):
        np.testing.assert_array_equal(samples.read(slice(10, 20), dtype=torch.float64).numpy(), Y[:, 10:20].T)
        samples.release()


def test_maps_that_were_written_to_keep_what_was_written(on_disk):
    Y = numbers(300, 50)
    changed = on_disk(Y, "c")
    changed[:] = Y + 1
    for view in (
        changed,
        np.asarray(changed),
        changed[:],
        np.asarray(changed)[5:],
        changed.T.T,
        changed.view(np.ndarray),
    ):
        responses(view).release()
        np.testing.assert_array_equal(changed, Y + 1)
    shared = on_disk(Y, "r+")
    shared[:] = Y + 2
    responses(shared).release()
    np.testing.assert_array_equal(shared, Y + 2)


@pytest.mark.parametrize("flags", ["MAP_PRIVATE", "MAP_SHARED"])
def test_private_memory_behind_an_array_is_not_thrown_away(flags):
    """`madvise(MADV_DONTNEED)` fills private anonymous memory with zeros."""
    memory = mmap.mmap(-1, 300 * 50 * 8, flags=getattr(mmap, flags) | mmap.MAP_ANONYMOUS)
    Y = np.ndarray((300, 50), dtype=np.float64, buffer=memory)
    Y[:] = numbers(300, 50)
    responses(Y).release()
    np.testing.assert_array_equal(Y, numbers(300, 50))


def test_iterators_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Y = numbers()
    samples = responses(iter([Y[:70], Y[70:]]))
    assert list(tmp_path.iterdir()) == []
    samples.read(slice(0, 3), dtype=torch.float64)
    samples.release()
    np.testing.assert_array_equal(samples.whole().numpy(), Y)


@pytest.mark.parametrize(
    "values",
    [
        lambda: iter([]),
        lambda: iter([numbers(), numbers()[:, 0]]),
        lambda: [numbers(), numbers()[:, :3]],
        lambda: np.zeros((3, 4, 5)),
        lambda: np.float64(3),
        lambda: np.zeros((3, 4), dtype=complex),
        lambda: torch.zeros(3, 4, dtype=torch.complex64),
        lambda: np.array([["a", "b"]]),
        lambda: np.zeros((3, 4), dtype="M8[s]"),
        lambda: [numbers()[:30, 0], numbers()[30:]],
    ],
)
def test_what_is_no_matrix_is_refused_in_words(values):
    with pytest.raises(BrainalignError):
        responses(values())


def test_runs_that_differ_in_width_are_refused():
    with pytest.raises(Misaligned, match=r"runs of Y differ in their number of targets: \[3, 7\]"):
        responses([numbers(), numbers()[:, :3]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [-20, -13, -6, 0, 6, 13, 20, 30, 37])
def test_standard_unit_is_exact_in_every_unit(dtype, size):
    values = torch.as_tensor(numbers(200, 5).T * 10.0**size + 3 * 10.0**size, dtype=dtype)
    block, mean, unit, constant = standard_unit(values.clone())
    assert torch.isfinite(block).all()
    assert not constant.any()
    assert (np.log2(unit) % 1 == 0).all()
    assert (block.abs().amax(dim=1) <= 1).all()
    assert (block.abs().amax(dim=1) >= 0.25).all()
    back = block.double().numpy() * unit[:, None] + mean[:, None]
    np.testing.assert_allclose(back, values.double().numpy(), rtol=0, atol=2e-6 * 10.0**size)
    np.testing.assert_allclose(block.double().mean(dim=1).numpy(), 0, atol=1e-6)


@pytest.mark.parametrize("size", [1e-40, 3e38])
def test_standard_unit_at_the_ends_of_float32(size):
    values = torch.as_tensor(numbers(2000, 5).clip(-1, 1).T * size, dtype=torch.float32)
    block, *_ = standard_unit(values)
    assert torch.isfinite(block).all()
    assert (block.std(dim=1) > 0.1).all()


def test_standard_unit_of_constant_targets():
    values = torch.tensor([[0.1] * 4, [0.0] * 4, [1e-13, 2e-13, 1e-13, 1e-13], [1e6, 1e6, 1e6, 1e6 * (1 + 1e-15)]])
    block, mean, _, constant = standard_unit(values.double())
    assert constant.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(block[[0, 1, 3]].numpy(), 0)
    np.testing.assert_allclose(mean[[0, 1, 3]], [0.1, 0, 1e6], rtol=1e-7)
