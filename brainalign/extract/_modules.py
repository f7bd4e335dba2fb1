"""What the modules of a network give or are given in a forward pass, by their paths."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Literal

import torch

from brainalign.errors import BrainalignError, UnknownName


def find_module(model: torch.nn.Module, path: str) -> torch.nn.Module:
    """Give the module at a path, as `model.named_modules()` writes it: "encoder.layer.3.mlp".

    Raises
    ------
    UnknownName
        There is none; names near ones, or the modules of the first level where none is near.
    """
    modules = dict(model.named_modules())
    del modules[""]
    if path not in modules:
        near = get_close_matches(path, list(modules), n=12, cutoff=0.6)
        first_level = [name for name in modules if "." not in name]
        raise UnknownName(f"module of {type(model).__name__}", path, near or first_level)
    return modules[path]


def first_tensor(value) -> torch.Tensor | None:
    """Give a tensor, or the first one in a tuple, list or mapping; None where there is none."""
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return None
    return next((item for item in value if isinstance(item, torch.Tensor)), None)


@contextmanager
def recording(
    model: torch.nn.Module,
    paths: Iterable[str],
    *,
    of: Literal["outputs", "inputs"] = "outputs",
    keep: Callable[[torch.Tensor], torch.Tensor] = torch.clone,
) -> Iterator[dict[str, torch.Tensor]]:
    """Record what modules give, or are given, in the one forward pass inside the `with` block.

    Hooks are removed when the block ends, however it ends.

    Parameters
    ----------
    model : torch.nn.Module
        Not a TorchScript module: those call their parts without hooks.
    paths : iterable of str
        See `find_module`.
    of : {"outputs", "inputs"}
        Of a tuple or mapping, the first tensor; of the arguments of a call, the first tensor among those by position,
        then those by name.
    keep : callable
        Applied at once to every tensor; what it gives is recorded. It must not give the tensor itself or a view of it,
        since a later module may write into it (ReLU in place, `x += residual`). By default a copy.

    Yields
    ------
    seen : dict of str to tensor
        Path to what was recorded; full when the forward pass is over.

    Raises
    ------
    UnknownName
        A path that the model does not have.
    BrainalignError
        A module that did not run, ran more than once, or has no tensor to record.
    """
    seen: dict[str, torch.Tensor] = {}

    def record(path: str, value) -> None:
        tensor = first_tensor(value)
        if tensor is None:
            raise BrainalignError(f"module {path!r}: no tensor among its {of} ({type(value).__name__})")
        if path in seen:
            raise BrainalignError(
                f"module {path!r} ran more than once: name another module, or record every forward pass by itself"
            )
        seen[path] = keep(tensor)

    handles = []
    try:
        for path in dict.fromkeys(paths):
            module = find_module(model, path)
            handles.append(_hook(module, lambda value, path=path: record(path, value), of))
        yield seen
    finally:
        for handle in handles:
            handle.remove()
    absent = [path for path in paths if path not in seen]
    if absent:
        raise BrainalignError(f"modules {absent} did not run in the forward pass of {type(model).__name__}")


def _hook(module: torch.nn.Module, record: Callable, of: str):
    if of == "inputs":

        def before(_, arguments, named):
            record([*arguments, *named.values()])

        return module.register_forward_pre_hook(before, with_kwargs=True)

    def after(_, arguments, output):  # noqa: ARG001
        record(output)

    return module.register_forward_hook(after)
