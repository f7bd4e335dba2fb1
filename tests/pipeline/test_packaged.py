import pytest

from brainalign.errors import UnknownName
from brainalign.pipeline.packaged import analysis_files, packaged_analysis


def test_packaged_analyses_are_found():
    assert {"demo", "brennan2016_layers", "kriegeskorte2008_rdms", "tuckute2024_layers"} <= {
        path.stem for path in analysis_files()
    }
    with pytest.raises(UnknownName, match="did you mean 'demo'"):
        packaged_analysis("dmeo")
