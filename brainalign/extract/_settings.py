"""Checks that the settings of all families of models share."""

from brainalign.extract._hub import COMMIT


def commit_or_none(revision: str) -> str:
    """Refuse a revision that is no full commit."""
    if revision and not COMMIT.fullmatch(revision):
        raise ValueError("must be a full commit (40 hexadecimal digits): branches and tags move")
    return revision


def some_layer(layers):
    """Refuse an empty list of layers."""
    if not layers:
        raise ValueError("must name at least one layer, or 'all'")
    return layers


def batch_of_some(batch_size):
    """Refuse a batch of nothing."""
    if batch_size != "auto" and batch_size < 1:
        raise ValueError("must be at least 1, or 'auto'")
    return batch_size
