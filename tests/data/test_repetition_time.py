"""The time between volumes, as three sources state it."""

import nibabel
import numpy as np
import pytest

from brainalign.data._repetition_time import agreed_tr, stated_in_header
from brainalign.errors import Misaligned


def header(tr, unit):
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2, 3), np.float32), np.eye(4))
    if tr is not None:
        image.header.set_zooms((1, 1, 1, tr))
        image.header.set_xyzt_units("mm", unit)
    return image.header


@pytest.mark.parametrize(("tr", "unit", "seconds"), [(1.5, "sec", 1.5), (1500, "msec", 1.5), (2, "unknown", 2.0)])
def test_headers_are_read_in_their_unit(tr, unit, seconds):
    assert stated_in_header(header(tr, unit))[0] == pytest.approx(seconds)


def test_a_three_dimensional_header_has_no_time():
    assert stated_in_header(nibabel.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)).header) is None


def test_one_source_is_enough_and_the_sidecar_is_the_most_exact():
    assert agreed_tr("x", header=(2.0, "2 sec"), sidecar=None, setting=None) == 2.0
    assert agreed_tr("x", header=None, sidecar=None, setting=0.8) == 0.8
    assert agreed_tr("x", header=(0.72, "0.72 sec"), sidecar=0.72001, setting=None) == 0.72001
    never_set = stated_in_header(header(None, None))
    assert never_set == (1.0, "1 (no unit)")
    assert agreed_tr("x", header=never_set, sidecar=1.0, setting=None) == 1.0


@pytest.mark.parametrize(
    ("stated", "what"),
    [
        ({"header": None, "sidecar": None, "setting": None}, "nobody states the TR"),
        ({"header": (1.0, "1 (no unit)"), "sidecar": None, "setting": None}, "never set"),
        ({"header": (2.0, "2 sec"), "sidecar": 1.9, "setting": 2.0}, "header 2 sec, sidecar 1.9 s, setting tr 2 s"),
        ({"header": None, "sidecar": 2000.0, "setting": None}, "milliseconds"),
        ({"header": None, "sidecar": 0.0, "setting": None}, "a TR of 0 s"),
    ],
)
def test_fault_47_all_three_are_shown(stated, what):
    with pytest.raises(Misaligned, match=what):
        agreed_tr("x", **stated)
