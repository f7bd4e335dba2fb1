"""Parts of a report page that every method has: tables, figures, texts, how settings and provenance are told."""

import html
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path

from brainalign.config import render
from brainalign.files import write_file

TEXT_MODEL = "Radford et al. (2019), Language models are unsupervised multitask learners (GPT-2)"
REPORT = "Gramfort et al. (2013), Frontiers in Neuroscience 7:267 (MNE-Python, this report)"
SMALL = 5e-4  # below which three decimals show nothing


def add_figure(page, figure, title, caption, section) -> None:
    """Add a figure with its caption."""
    with tempfile.TemporaryDirectory() as folder:  # MNE shears figures whose size is not a whole number of pixels
        path = Path(folder) / "figure.png"
        figure.savefig(path, dpi=110, metadata={"Software": None})
        page.add_image(path, title=title, caption=caption, section=section)


def add_html(page, body, title, caption, section) -> None:
    """Add a piece of HTML, which needs nothing from a network, with its caption."""
    page.add_html(f"{body}<p>{html.escape(caption)}</p>", title=title, section=section)


def add_table(page, table, title, caption, *, number=None) -> None:
    """Add a DataFrame with its caption; `number` writes its numbers, `number_text` if not given."""
    body = table.to_html(
        index=False,
        float_format=number or number_text,
        na_rep="",
        border=0,
        escape=True,
        justify="left",
        classes="table table-sm table-striped",
    )
    page.add_html(
        f'<p>{html.escape(caption)}</p><div style="overflow-x: auto">{body}</div>', title=title, section="Tables"
    )


def number_text(value: float) -> str:
    """Write a number to three decimals, or three digits where it is very small (weights in tesla)."""
    return f"{value:.3f}" if value == 0 or abs(value) >= SMALL else f"{value:.3g}"


def add_text(page, title, text, *, fixed=False) -> None:
    """Add paragraphs, or a text whose spaces matter."""
    escaped = html.escape(text)
    if fixed:
        body = f'<pre style="white-space: pre-wrap">{escaped}</pre>'
    else:
        body = "".join(f"<p>{part}</p>" for part in escaped.split("\n\n"))
    page.add_html(body, title=title, section="What was run")


@contextmanager
def new_page(path: Path, title: str):
    """Give a page to fill; what is at `path` afterwards is the same for the same contents, whatever the date."""
    import mne

    with mne.utils.use_log_level("ERROR"), tempfile.TemporaryDirectory() as scratch:
        page = mne.Report(title=title, image_format="png", verbose=False)
        yield page
        page.save(Path(scratch) / "report.html", overwrite=True, open_browser=False)
        dated = (Path(scratch) / "report.html").read_text(encoding="utf-8")
    write_file(path, re.sub(r"Created on [\d :-]+ via", "Created via", dated))


def configuration_text(experiment) -> str:
    """Give the settings as TOML, paths reduced to their last part."""
    return render(_without_places(experiment.table()))


def label(space, weights) -> str:
    """Give the name of a feature space with its weights."""
    return f"{space} {weights}".strip()


def features_text(experiment) -> str:
    """Give every feature space with its settings."""
    spaces = (f"{n} ({s.extractor}: {settings_text(s.config)})" for n, s in experiment.features.items())
    return f"Feature spaces: {'; '.join(spaces)}."


def settings_text(config) -> str:
    """Give the settings of a plug-in that are not empty."""
    settings = _without_places(config.model_dump())
    given = {key: value for key, value in settings.items() if value not in (None, "", ())}
    plain = {key: ", ".join(map(str, value)) if isinstance(value, tuple) else value for key, value in given.items()}
    return ", ".join(f"{key} = {value}" for key, value in plain.items())


def versions_text(provenance: dict) -> str:
    """Say what the numbers were computed with."""
    libraries = ", ".join(f"{name} {number}" for name, number in provenance["versions"].items())
    return f"Computed with brainalign {provenance['brainalign']}, {libraries}."


def citations_text(experiment, provenance: dict, of_method: list[str]) -> str:
    """Say what to cite."""
    has_text = any(space.extractor in ("text", "surprisal") for space in experiment.features.values())
    listed = [provenance["citation"], *of_method, *([TEXT_MODEL] if has_text else []), REPORT]
    return "To cite: " + "; ".join(listed)


def _without_places(value):
    """Give settings with every absolute path reduced to its last part: a report is shown to others."""
    if isinstance(value, dict):
        return {key: _without_places(item) for key, item in value.items()}
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
