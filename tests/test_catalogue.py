import subprocess
import sys

import pytest

from brainalign.catalogue import describe_data_set, list_everything
from brainalign.errors import UnknownName


def test_info_describes_data_sets():
    text = describe_data_set("brennan2016")
    for expected in ("Brennan", "CC BY 4.0", "s33", "files"):
        assert expected in text
    assert "brennan2016" in list_everything()
    with pytest.raises(UnknownName):
        describe_data_set("brennan2015")


def test_a_data_set_without_files_is_told_by_its_docstring():
    from brainalign.data import DATASETS

    assert describe_data_set("simulated") == f"simulated: {DATASETS['simulated'].__doc__.strip()}"


def test_info_imports_nothing_that_computes():
    code = (
        "from brainalign.catalogue import *; describe_data_set('simulated_meg'); describe_data_set('brennan2016'); "
        "list_everything(); import sys; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "brainalign.catalogue" in loaded
    assert not {"torch", "scipy", "pandas", "numpy", "mne", "sklearn"} & set(loaded)
