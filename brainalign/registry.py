"""Names to things: a mapping whose KeyError helps, filled from a folder of modules or a plain dict."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping

from brainalign.errors import UnknownName


class Registry(Mapping):
    """A read-only mapping that names the known entries, and the nearest, when one is missing.

    Parameters
    ----------
    kind : str
        What an entry is, for the error: "data set", "metric".
    loaders : mapping of str to callable
        Called without arguments when the entry is asked for, so listing names imports nothing.
    """

    def __init__(self, kind: str, loaders: Mapping[str, Callable]):
        self.kind = kind
        self._loaders = dict(loaders)

    def __getitem__(self, name: str):
        if name not in self._loaders:
            raise UnknownName(self.kind, str(name), self._loaders)
        return self._loaders[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._loaders

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaders)

    def __len__(self) -> int:
        return len(self._loaders)


def registry_of(kind: str, entries: Mapping[str, object]) -> Registry:
    """Make a registry of things that are already at hand."""
    return Registry(kind, {name: (lambda entry=entry: entry) for name, entry in entries.items()})


def registry_of_folder(kind: str, package: str, path: list[str]) -> Registry:
    """Make a registry of the public modules of a package, imported when asked for.

    Parameters
    ----------
    kind : str
        What a module stands for.
    package : str
        The package's `__name__`.
    path : list of str
        The package's `__path__`.
    """
    names = sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))
    return Registry(kind, {name: (lambda name=name: importlib.import_module(f"{package}.{name}")) for name in names})
