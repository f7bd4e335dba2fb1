"""The time between volumes, as header, sidecar and settings state it: three clocks that must agree."""

from typing import Any

from brainalign.errors import Misaligned

SAME = 1e-4  # relative difference within which two times are one: 0.1 volumes in 1,000
LONGEST = 30.0  # s
NEVER_SET = 1.0  # what a NIfTI header reads that was never given a time
SECONDS_PER = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}


def stated_in_header(header: Any) -> tuple[float, str] | None:
    """Give the TR of a NIfTI header (s), and how the header says it; None for a header without time.

    Parameters
    ----------
    header : nibabel.Nifti1Header
    """
    zooms = header.get_zooms()
    if len(zooms) < 4:
        return None
    unit = header.get_xyzt_units()[1]
    tr = float(zooms[3]) * SECONDS_PER.get(unit, 1.0)
    return round(tr, 6), f"{float(zooms[3]):g} {unit if unit != 'unknown' else '(no unit)'}"


def agreed_tr(source: str, *, header: tuple[float, str] | None, sidecar: float | None, setting: float | None) -> float:
    """Give the one TR that all who state it agree on.

    Parameters
    ----------
    source : str
        The recording, for the errors.
    header : tuple of float and str, optional
        As `stated_in_header` gives it.
    sidecar : float, optional
        `RepetitionTime` (s).
    setting : float, optional
        `tr` of the user (s).

    Returns
    -------
    tr : float
        In seconds: as the sidecar has it, else the setting, else the header.

    Raises
    ------
    Misaligned
        They differ, nobody states it, the header alone states 1.0 without a unit, or it cannot be in seconds.
    """
    shown = f"header {header[1] if header else 'none'}, sidecar {_shown(sidecar)}, setting tr {_shown(setting)}"
    stated = [tr for tr in (sidecar, setting, header[0] if header else None) if tr is not None]
    if not stated:
        raise Misaligned(f"{source}: nobody states the TR ({shown}); set `tr`, in seconds")
    if max(stated) - min(stated) > SAME * max(stated):
        raise Misaligned(f"{source}: the TR differs: {shown}; correct the one that is wrong")
    if not 0 < stated[0] <= LONGEST:
        raise Misaligned(f"{source}: a TR of {stated[0]:g} s: {shown}; is it in milliseconds?")
    if len(stated) == 1 and header and header[0] == NEVER_SET and "no unit" in header[1]:
        raise Misaligned(f"{source}: the TR in the header was never set ({shown}); set `tr`, in seconds")
    return stated[0]


def _shown(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds:g} s"
