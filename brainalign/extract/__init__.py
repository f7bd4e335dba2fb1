"""Stimuli to activations: one module per family of models, each with a `Config` and `extract(events, config)`."""

from brainalign.extract._hub import fetch_model, resolve_model
from brainalign.registry import registry_of_folder

EXTRACTORS = registry_of_folder("extractor", __name__, __path__)

__all__ = ["EXTRACTORS", "fetch_model", "resolve_model"]
