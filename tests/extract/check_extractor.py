"""What every family of extractors promises, checked on a small model of each."""

import numpy as np
import pandas as pd

from brainalign.arrays import Activations

BATCH_SIZES = (1, 2, 7, 32)


def check_extractor(module, config, events, *, atol=1e-5, n_rows=None, scratch=None):
    """Check one extractor.

    Parameters
    ----------
    module : module of `brainalign.extract`
    config : its Config
        With `weights=("trained", "untrained")` if the family has weights, and a field `batch_size` if it has batches.
    events : DataFrame
        With at least three events.
    atol : float
        Between batch sizes.
    n_rows : int, optional
        Rows expected per layer; by default one per event.
    scratch : Path, optional
        An empty folder: an extraction that stops half-way must go on there.
    """
    assert module.check(events, config) == []
    layers = module.extract(events, config)
    assert tuple(layers) == module.layer_names(config)
    assert module.plan(events, config)["bytes_result"] == sum(layer.values.nbytes for layer in layers.values())
    for name, layer in layers.items():
        check_rows(layer, events, n_rows=len(events) if n_rows is None else n_rows)
        assert set(layer.columns["layer"]) == {name}
    check_same(module.extract(events, config), layers, atol=0)
    check_provenance(module, config, layers)
    for batch_size in BATCH_SIZES if hasattr(config, "batch_size") else ():
        other = config.model_copy(update={"batch_size": batch_size})
        assert module.settings(other) == module.settings(config)
        check_same(module.extract(events, other), layers, atol=atol)
    if "untrained" in getattr(config, "weights", ()):
        twin = module.extract(events, config, weights="untrained")
        check_same(module.extract(events, config, weights="untrained"), twin, atol=0)
        assert all(not np.allclose(twin[name].values, layers[name].values) for name in layers)
        assert module.fingerprint(config) != module.fingerprint(config, weights="untrained")
    if scratch is not None:
        check_resume(module, config, events, layers, scratch)


def check_rows(activations, events, *, n_rows):
    """Check that rows are total, in the order of the events and of time, and values finite and float32."""
    assert isinstance(activations, Activations)
    assert activations.values.dtype == np.float32
    assert np.isfinite(activations.values).all()
    assert len(activations.rows) == n_rows
    assert (activations.rows["duration"] > 0).all()
    assert list(dict.fromkeys(activations.rows["run"])) == list(dict.fromkeys(events["run"]))
    for _, of_run in activations.rows.groupby("run"):
        assert (np.diff(of_run["onset"]) >= 0).all()
    if n_rows == len(events):
        pd.testing.assert_series_equal(
            activations.rows["onset"], events["onset"].reset_index(drop=True), check_dtype=False
        )


def check_same(found, expected, *, atol):
    """Check that two extractions give the same layers."""
    assert tuple(found) == tuple(expected)
    for name, layer in expected.items():
        pd.testing.assert_frame_equal(found[name].rows, layer.rows)
        pd.testing.assert_frame_equal(found[name].columns, layer.columns)
        np.testing.assert_allclose(found[name].values, layer.values, rtol=0, atol=atol)


def check_provenance(module, config, layers):
    """Check that an array says what made it."""
    for layer in layers.values():
        assert layer.provenance["extractor"] == module.__name__.rpartition(".")[2]
        assert layer.provenance["settings"] == module.settings(config)
        assert layer.provenance["files"] == module.fingerprint(config)


def check_resume(module, config, events, layers, scratch):
    """Check that an extraction that was stopped after some parts goes on, without computing them again."""
    from brainalign.extract import _parts

    one_by_one = config.model_copy(update={"batch_size": 1}) if hasattr(config, "batch_size") else config
    expected = module.extract(events, one_by_one)

    class Stopped(Exception):
        pass

    noted, note = [], _parts._note

    def stop_after_two(*arguments):
        note(*arguments)
        noted.append(arguments[1])
        if len(noted) == 2:
            raise Stopped

    _parts._note = stop_after_two
    try:
        module.extract(events, one_by_one, scratch=scratch)
    except Stopped:
        pass
    else:
        raise AssertionError("fewer than two parts")
    finally:
        _parts._note = note
    done = [int(line) for line in (scratch / _parts.DONE).read_text().split()]
    assert done == [0, 1]
    check_same(module.extract(events, one_by_one, scratch=scratch), expected, atol=0)
    done = [int(line) for line in (scratch / _parts.DONE).read_text().split()]
    assert len(done) == len(set(done)) > 2
