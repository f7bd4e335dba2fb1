"""LeBel et al.: words and HDF5 responses of one listener; the list's sizes say when volumes begin and end."""

import importlib.util
import json
import math
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from brainalign.data import lebel2023
from brainalign.data._manifest import load_manifest
from brainalign.errors import Misaligned, MissingData, UnknownName

manifest = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("planted_manifest.py"))))

HAS_H5PY = importlib.util.find_spec("h5py") is not None
N_VOXELS = 7
STORIES = {"alpha": 20, "beta": 25, "gamma": 22}


class StandInFile(dict):
    """What of `h5py.File` is used, over JSON, for where h5py is not installed."""

    def __init__(self, path, mode):
        assert mode == "r"
        try:
            content = json.loads(Path(path).read_bytes())
        except ValueError:
            raise OSError("Unable to open file (file signature not found)") from None
        super().__init__({name: StandInDataset(values) for name, values in content.items()})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class StandInDataset:
    def __init__(self, values):
        self.values = np.array(values, dtype=float)
        self.shape = self.values.shape

    def __getitem__(self, key):
        return self.values[key]


@pytest.fixture(autouse=True)
def h5py_or_stand_in(monkeypatch):
    if not HAS_H5PY:
        monkeypatch.setitem(sys.modules, "h5py", SimpleNamespace(File=StandInFile))


def write_hdf5(path, **datasets):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not HAS_H5PY:
        path.write_text(json.dumps({name: np.asarray(values).tolist() for name, values in datasets.items()}))
        return
    import h5py

    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = np.asarray(values, dtype=float)


def responses_of(story, *, subject="UTS03", n_voxels=N_VOXELS):
    planted = np.arange(STORIES[story])[:, None] + 100.0 * np.arange(n_voxels) + 1e4 * sorted(STORIES).index(story)
    planted += 1e5 * (subject == "UTS05")
    planted[:, 2] = 5.0  # a voxel without a signal
    return planted


def write_textgrid(path, intervals, *, tier="word"):
    end = max(stop for _, stop, _ in intervals)
    tiers = (("phone", [(0.0, end, "AH0")]), (tier, intervals))
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end}",
        "tiers? <exists>",
    ]
    lines += [f"size = {len(tiers)}", "item []:"]
    for i_tier, (name, spans) in enumerate(tiers, start=1):
        lines += [f"    item [{i_tier}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", f"        xmax = {end}", f"        intervals: size = {len(spans)}"]
        for i, (start, stop, label) in enumerate(spans, start=1):
            lines += [f"        intervals [{i}]:", f"            xmin = {start}", f"            xmax = {stop}"]
            lines += [f'            text = "{label}"']
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def words_of(story):
    """A word every 2 s, beginning 0.5 s after the last; noises and silence between."""
    spans = [(0.0, 0.5, "{SP}"), (0.5, 1.0, "BEFORE")]
    for second in range(2, 2 * STORIES[story] + 20, 2):
        spans += [
            (second - 1.0, second + 0.5, "" if second % 4 else "{lg}"),
            (second + 0.5, second + 1.0, f"W{second}"),
        ]
    return spans


@pytest.fixture
def planted(tmp_path, monkeypatch):
    root = tmp_path / "lebel2023"
    for subject, stories in (("UTS03", STORIES), ("UTS05", ("alpha",))):
        for story in stories:
            values = responses_of(story, subject=subject)
            more = {"individual_repeats": np.stack([values] * 3)} if story == "gamma" else {}
            write_hdf5(root / lebel2023.response_path(subject, story), data=values, **more)
    for story in STORIES:
        write_textgrid(root / lebel2023.textgrid_path(story), words_of(story))
    (root / "participants.tsv").write_text("participant_id\tage\tsex\nsub-UTS03\t21\tM\nsub-UTS05\t24\tF\n")
    manifest.plant(monkeypatch, "lebel2023", tmp_path)
    return tmp_path


def load(planted, stories=("beta", "alpha"), **settings):
    config = lebel2023.Config(subject=settings.pop("subject", "UTS03"), stories=stories, **settings)
    assert lebel2023.check(config, planted) == []
    return lebel2023.load(config, planted)


def test_stories_are_runs_in_the_order_of_the_settings(planted):
    recording = load(planted)
    responses = recording.responses
    kept = [0, 1, 3, 4, 5, 6]
    expected = np.vstack([responses_of(story)[:, kept] for story in ("beta", "alpha")])
    np.testing.assert_array_equal(responses.values, expected)
    assert responses.rows["run"].unique().tolist() == ["beta", "alpha"]
    assert responses.columns["voxel"].tolist() == kept
    responses.save(planted / "saved")
    np.testing.assert_allclose(responses.rows["time"], 2.0 * np.r_[:25, :20])
    assert responses.provenance["subjects"]["UTS03"]["left_out"]["n_points"] == 1
    assert recording.participants.to_dict("records") == [{"subject": "UTS03", "age": 21, "sex": "M"}]
    assert load(planted, "all").responses.rows["run"].unique().tolist() == ["alpha", "beta", "gamma"]


def test_words_count_from_ten_seconds_into_the_sound(planted):
    recording = load(planted, ("alpha",))
    events = recording.events
    assert events["word"].tolist() == [f"w{second}" for second in range(10, 50, 2)]
    np.testing.assert_allclose(events["onset"], 2.0 * np.arange(20) + 0.5)
    np.testing.assert_allclose(events["duration"], 0.5)
    counts = recording.responses.provenance["words"]["alpha"]
    assert (counts["n_before_recording"], counts["n_after_recording"], counts["n_events"]) == (5, 5, 20)
    assert counts["n_not_words"] == 1 + 29
    assert load(planted, ("alpha",), lower_case=False).events["word"].iloc[0] == "W10"


def test_single_repetitions_are_not_read(planted):
    recording = load(planted, ("gamma",))
    np.testing.assert_array_equal(recording.responses.values[:, 0], responses_of("gamma")[:, 0])


def test_words_of_another_story_are_refused(planted, monkeypatch):
    root = planted / "lebel2023"
    write_textgrid(root / lebel2023.textgrid_path("alpha"), [*words_of("beta"), (80.0, 80.5, "LATE")])
    manifest.plant(monkeypatch, "lebel2023", planted)
    with pytest.raises(
        Misaligned, match=r"the last of 36 words begins at 70.00 s, the recording of alpha is 40 s long"
    ):
        load(planted, ("alpha",))
    assert load(planted, ("alpha",), late_tolerance=30.0).events["onset"].max() < 40


def test_stories_with_other_voxels_are_refused(planted, monkeypatch):
    write_hdf5(planted / "lebel2023" / lebel2023.response_path("UTS03", "beta"), data=responses_of("beta", n_voxels=8))
    manifest.plant(monkeypatch, "lebel2023", planted)
    with pytest.raises(Misaligned, match="7 voxels, not 8"):
        load(planted)


def test_voxels_without_a_signal_can_be_refused(planted):
    with pytest.raises(Misaligned, match=r"1 of 7 points are constant or not finite: 2;"):
        load(planted, unusable="refuse")


def test_files_without_responses_are_refused(planted, monkeypatch):
    path = planted / "lebel2023" / lebel2023.response_path("UTS03", "alpha")
    write_hdf5(path, resp=responses_of("alpha"))
    manifest.plant(monkeypatch, "lebel2023", planted)
    with pytest.raises(MissingData, match=r"expected a dataset 'data'.*'resp': \(20, 7\)"):
        load(planted, ("alpha",))
    path.write_bytes(b"no HDF5")
    manifest.plant(monkeypatch, "lebel2023", planted)
    with pytest.raises(MissingData, match="cannot be read"):
        load(planted, ("alpha",))
    path.unlink()
    with pytest.raises(MissingData, match=r"no such file .*brainalign fetch lebel2023 --include .*alpha.hf5"):
        lebel2023.load(lebel2023.Config(subject="UTS03", stories=("alpha",)), planted)


def test_without_h5py_the_command_is_named(planted, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    config = lebel2023.Config(subject="UTS03", stories=("alpha",))
    [problem] = lebel2023.check(config, planted)
    assert "pip install 'h5py>=3.11'" in problem
    with pytest.raises(MissingData, match="h5py is not installed: pip install"):
        lebel2023.load(config, planted)


def test_names(planted, monkeypatch):
    with pytest.raises(UnknownName, match=r"unknown subject of lebel2023 'UTS3' \(did you mean"):
        lebel2023.load(lebel2023.Config(subject="UTS3", stories=("alpha",)), planted)
    with pytest.raises(UnknownName, match="unknown story of UTS05 'beta'; known: alpha"):
        lebel2023.load(lebel2023.Config(subject="UTS05", stories=("beta",)), planted)
    write_textgrid(planted / "lebel2023" / lebel2023.textgrid_path("alpha"), words_of("alpha"), tier="words")
    manifest.plant(monkeypatch, "lebel2023", planted)
    with pytest.raises(UnknownName, match=r"tier of alpha.TextGrid, set word_tier: 'word' \(did you mean 'words'"):
        load(planted, ("alpha",))
    assert len(load(planted, ("alpha",), word_tier="words").events) == 20
    for stories in ((), ("alpha", "alpha")):
        with pytest.raises(ValidationError):
            lebel2023.Config(subject="UTS03", stories=stories)


REAL = load_manifest("lebel2023")


def test_what_is_asked_for_is_in_the_list():
    for subject, n_stories in REAL.facts["n_stories_by_subject"].items():
        config = lebel2023.Config(subject=subject, stories="all")
        stories = lebel2023.chosen_stories(config, REAL)
        assert len(stories) == n_stories
        assert set(lebel2023._paths(config, stories)) <= set(REAL.by_path)
        assert {f"stimuli/{story}.wav" for story in stories} <= set(REAL.by_path)


def test_sizes_are_volumes_times_the_published_voxels():
    for subject, n_voxels in REAL.published["n_voxels"].value.items():
        paths = [path for path in REAL.by_path if f"/{subject}/" in path and "wheretheressmoke" not in path]
        odd = [path for path in paths if (REAL.file(path).bytes - 2048) % (8 * n_voxels)]
        assert not odd, odd


def test_sizes_say_that_ten_seconds_are_missing_at_both_ends():
    """Of sounds that are 44.1 kHz stereo of 16 bits, as most are; the others are shorter by their sizes."""
    n_voxels = REAL.published["n_voxels"].value["UTS03"]
    agree = []
    for story in lebel2023.chosen_stories(lebel2023.Config(subject="UTS03", stories="all"), REAL):
        n_volumes = (REAL.file(lebel2023.response_path("UTS03", story)).bytes - 2048) // (8 * n_voxels)
        seconds = REAL.file(f"stimuli/{story}.wav").bytes / (44100 * 2 * 2)
        agree.append(math.floor((seconds - 20.0) / 2.0) == n_volumes)
    assert sum(agree) >= 60
