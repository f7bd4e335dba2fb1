"""Le Petit Prince: sections by the scanner's series, words by section, published numbers of volumes, the clock."""

import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from brainalign.data import li2022
from brainalign.data._manifest import load_manifest
from brainalign.errors import Misaligned, MissingData, UnknownName

here = Path(__file__)
manifest = SimpleNamespace(**runpy.run_path(str(here.with_name("planted_manifest.py"))))
tree = SimpleNamespace(**runpy.run_path(str(here.with_name("bids_folder.py"))))

SHAPE = (3, 2, 2)
N_VOLUMES = [20 + i for i in range(9)]
SERIES = {"sub-EN057": range(15, 24), "sub-EN058": [2, *range(8, 16)], "sub-FR001": range(1, 10)}
ROWS = [(run, f"w{run}{i}", 2.0 * i + 0.5, 2.0 * i + 1.0) for run in range(1, 10) for i in range(5)]


def volumes(subject, run, n_volumes=None):
    """Voxel v of volume t says whose, which section's and which volume it is; voxel 0 is outside of the head."""
    n_volumes = n_volumes or N_VOLUMES[run - 1]
    values = np.arange(12.0)[:, None] + 100 * np.arange(n_volumes) + 1e4 * run + 1e5 * sorted(SERIES).index(subject)
    values[0] = 0
    return values.reshape(*SHAPE, n_volumes).astype(np.float32)


def bold(root, subject, run):
    language, series = subject[4:6], list(SERIES[subject])[run - 1]
    name = f"{subject}_task-lpp{language}_run-{series:02d}_space-MNIColin27_desc-preproc_bold.nii.gz"
    return root / "li2022/derivatives" / subject / "func" / name


def write_words(root, rows=ROWS, language="EN", header=",word,onset,offset,section,logfreq"):
    path = root / f"li2022/annotation/{language}/lpp{language}_word_information.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{i},{word},{onset},{offset},{run},1.5" for i, (run, word, onset, offset) in enumerate(rows)]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def plant(monkeypatch, root, **published):
    n_volumes = dict.fromkeys(("EN", "FR", "CN"), N_VOLUMES)
    known = {"n_volumes": n_volumes, "left_out_rows": {"EN": [1], "FR": [], "CN": []}} | published
    return manifest.plant(monkeypatch, "li2022", root, published=known)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("li2022")
    for subject in SERIES:
        for run in range(1, 10):
            tree.save_nifti(volumes(subject, run), bold(root, subject, run), tr=2.0)
    for language in ("EN", "FR", "CN"):
        write_words(root, language=language)
    rows = [("sub-EN057", 20, "F", 30, 36), ("sub-EN058", 21, "M", 8, 32), ("sub-FR001", 23, "F", "n/a", "n/a")]
    header = ("\ufeffparticipant_id", "age", "sex", "correct_quiz_questions", "total_quiz_questions")
    tree.write_tsv(root / "li2022/participants.tsv", header, rows)
    return root


@pytest.fixture
def planted(written, tmp_path, monkeypatch):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    plant(monkeypatch, tmp_path)
    return tmp_path


def load(planted, language="EN", **settings):
    config = li2022.Config(language=language, **settings)
    assert li2022.check(config, planted) == []
    return li2022.load(config, planted)


def test_listeners_are_side_by_side_and_sections_are_in_order_of_the_series(planted):
    recording = load(planted, runs=(3, 1))
    responses = recording.responses
    assert responses.columns["subject"].unique().tolist() == ["sub-EN057", "sub-EN058"]
    assert responses.rows["run"].unique().tolist() == ["1", "3"]
    for i_subject, subject in enumerate(("sub-EN057", "sub-EN058")):
        expected = [volumes(subject, run).reshape(12, -1).T[:, 1:] for run in (1, 3)]
        np.testing.assert_array_equal(responses.values[:, 11 * i_subject : 11 * (i_subject + 1)], np.vstack(expected))
    assert responses.columns["target"].iloc[0] == "0-0-1"
    responses.save(planted / "saved")
    np.testing.assert_allclose(responses.rows["time"], 2.0 * np.r_[:20, :22])
    assert recording.participants["quiz_score"].tolist() == [30 / 36, 0.25]


def test_words_are_those_of_the_section(planted):
    recording = load(planted, runs=(1, 2), subjects=("sub-EN057",), annotations=("logfreq",))
    events = recording.events
    assert events["word"].tolist() == ["w10", "w12", "w13", "w14", "w20", "w21", "w22", "w23", "w24"]  # row 1 left out
    assert events["run"].tolist() == ["1"] * 4 + ["2"] * 5
    np.testing.assert_allclose(events["onset"].head(4), [0.5, 4.5, 6.5, 8.5])
    assert set(events["logfreq"]) == {"1.5"}
    counts = recording.responses.provenance["words"]
    assert counts["1"]["n_rows_left_out"] == 1
    assert (counts["2"]["n_rows_left_out"], counts["2"]["n_events"]) == (0, 5)
    whole = load(planted, runs=(1,), subjects=("sub-EN057",), left_out=()).events
    assert whole["word"].tolist() == ["w10", "w11", "w12", "w13", "w14"]


def test_empty_cells_and_impossible_times_are_counted(planted, monkeypatch):
    rows = [(1, "null", 0.5, 1), (1, "", 1, 2), (1, "nan", 2, 2.5), (1, "b", "", ""), (1, "c", 4, 4.5), (2, "x", 1, 2), (2, "y", 3, 4)]  # fmt: skip  # noqa: E501
    write_words(planted, rows)
    plant(monkeypatch, planted, left_out_rows={"EN": []})
    recording = load(planted, runs=(1,), subjects=("sub-EN057",))
    assert recording.events["word"].tolist() == ["null", "nan", "b", "c"]
    np.testing.assert_allclose(recording.events["onset"], [0.5, 2, 3, 4])
    assert recording.events["interpolated"].tolist() == [False, False, True, False]
    counts = recording.responses.provenance["words"]["1"]
    assert (counts["n_empty_rows"], counts["n_interpolated"]) == (1, 1)


def test_the_chinese_clock_must_be_given():
    with pytest.raises(ValidationError, match="sound_onset must be given in Chinese"):
        li2022.Config(language="CN")
    assert li2022.Config(language="CN", sound_onset=0.0).sound_onset == 0


def test_the_beginning_of_the_sound_moves_the_words(planted):
    recording = load(planted, "FR", sound_onset=-3.0, runs=(1,))
    np.testing.assert_allclose(recording.events["onset"], [1.5, 3.5, 5.5])
    assert recording.responses.provenance["words"]["1"]["n_before_recording"] == 2
    assert np.isnan(recording.participants["quiz_score"].iloc[0])


def test_another_number_of_volumes_is_refused_or_taken(planted, monkeypatch):
    tree.save_nifti(volumes("sub-EN057", 2, 18), bold(planted, "sub-EN057", 2), tr=2.0)
    plant(monkeypatch, planted)
    with pytest.raises(Misaligned, match=r"18 volumes, 21 published for section 2 in EN; n_volumes = 'any'"):
        load(planted, subjects=("sub-EN057",))
    assert len(load(planted, subjects=("sub-EN057",), runs=(2,), n_volumes="any").responses.values) == 18
    with pytest.raises(Misaligned, match="has 21 samples in 2"):
        load(planted, runs=(2,), n_volumes="any")
    tree.save_nifti(volumes("sub-EN057", 2, 3), bold(planted, "sub-EN057", 2), tr=2.0)
    plant(monkeypatch, planted)
    with pytest.raises(Misaligned, match="the words of another sound"):
        load(planted, subjects=("sub-EN057",), n_volumes="any")


def test_the_header_must_agree_on_the_tr(planted, monkeypatch):
    tree.save_nifti(volumes("sub-EN057", 1), bold(planted, "sub-EN057", 1), tr=2.5)
    plant(monkeypatch, planted)
    with pytest.raises(Misaligned, match=r"the TR differs: header 2.5 sec, sidecar none, setting tr 2 s"):
        load(planted, subjects=("sub-EN057",))
    recording = load(planted, subjects=("sub-EN057",), header_tr="ignored")
    assert recording.responses.rows["duration"].unique().tolist() == [2.0]


def test_another_affine_is_refused(planted, monkeypatch):
    moved = tree.AFFINE + np.eye(4)[3] * 0
    moved[0, 3] += 1
    tree.save_nifti(volumes("sub-EN057", 2), bold(planted, "sub-EN057", 2), tr=2.0, affine=moved)
    plant(monkeypatch, planted)
    with pytest.raises(Misaligned, match="is not on the grid of 1: affine"):
        load(planted, subjects=("sub-EN057",))


def test_a_file_that_is_absent_or_changed_names_the_command(planted):
    bold(planted, "sub-EN058", 4).write_bytes(b"")
    bold(planted, "sub-EN058", 5).unlink()
    problems = li2022.check(li2022.Config(language="EN"), planted)
    assert len(problems) == 2
    assert "0 bytes" in problems[0]
    with pytest.raises(
        MissingData,
        match=r"run-10.*not the published file(?s:.*)run-11.*no such file.*fetch li2022 --include .derivatives",
    ):
        li2022.load(li2022.Config(language="EN"), planted)


def test_parcels_are_means_in_every_person(planted):
    labels = np.zeros(SHAPE, np.int16)
    labels[1], labels[2] = 1, 2
    tree.save_nifti(labels, planted / "atlas.nii.gz")
    (planted / "names.tsv").write_text("index\tname\n1\tSTS\n2\tIFG\n")
    recording = load(planted, runs=(2,), parcels="atlas.nii.gz", parcel_names="names.tsv")
    assert recording.responses.columns["target"].tolist() == ["STS", "IFG"] * 2
    expected = volumes("sub-EN058", 2)[1].reshape(4, -1).mean(0)
    np.testing.assert_allclose(recording.responses.values[:, 2], expected, rtol=1e-6)
    assert {"atlas.nii.gz", "names.tsv"} <= set(recording.responses.provenance["files"])


def test_unknown_names_are_refused(planted, monkeypatch):
    with pytest.raises(UnknownName, match="sub-FR001"):
        li2022.load(li2022.Config(language="EN", subjects=("sub-FR001",)), planted)
    with pytest.raises(UnknownName, match=r"unknown column of lppEN_word_information.csv 'logfrek' \(did you mean"):
        load(planted, annotations=("logfrek",))
    with pytest.raises(Misaligned, match=r"rows \[99\] are to be left out, it has 45"):
        load(planted, left_out=(99,))
    write_words(planted, header=",word,start,offset,section,logfreq")
    plant(monkeypatch, planted)
    with pytest.raises(MissingData, match=r"columns \['onset'\] missing"):
        load(planted)
    write_words(planted, [(1, "a", "late", 2)])
    plant(monkeypatch, planted, left_out_rows={"EN": []})
    with pytest.raises(MissingData, match="onset of row 0 is 'late'"):
        load(planted)


REAL = load_manifest("li2022")


def test_what_is_asked_for_is_in_the_list():
    asked = []
    for language, n_subjects in REAL.facts["n_subjects_by_language"].items():
        config = li2022.Config(language=language, sound_onset=0.0)
        subjects, warnings = li2022._listeners(config, REAL)
        assert (len(subjects), warnings) == (n_subjects, [])
        paths = li2022._paths(config, subjects)
        assert set(paths) <= set(REAL.by_path)
        asked += [path for path in paths if path.endswith("_bold.nii.gz")]
    assert len(asked) == len(set(asked)) == REAL.facts["n_recordings"]


def test_series_in_their_order_are_the_sections():
    """Compressed sizes follow the published numbers of volumes, in the order of the series and in no other."""
    for subject in {path.split("/")[1] for path in REAL.by_path if path.startswith("derivatives/")}:
        sizes = [REAL.file(path).bytes for path in li2022.bold_paths(subject, REAL).values()]
        published = REAL.published["n_volumes"].value[subject[4:6]]
        assert np.corrcoef(sizes, published)[0, 1] > 0.98, subject
        assert np.corrcoef(np.roll(sizes, 1), published)[0, 1] < 0.9, subject


def test_published_volumes_cover_the_published_sounds():
    for language, after in (("EN", (3.0, 6.0)), ("FR", (1.0, 3.0)), ("CN", (0.0, 1.0))):
        volumes_of, seconds = (REAL.published[name].value[language] for name in ("n_volumes", "sound_seconds"))
        more = np.array(volumes_of) - np.array(seconds) / 2.0
        assert after[0] <= more.min(), (language, more)
        assert more.max() <= after[1], (language, more)


def test_the_published_participants(data_dir):
    if not (data_dir / "li2022").is_dir():
        pytest.skip(f"{data_dir / 'li2022'} is absent")
    table = li2022.read_participants(data_dir)
    scored = table.dropna(subset=["quiz_score"])["subject"].str[4:6].value_counts().to_dict()
    assert scored == {name: n for name, n in REAL.facts["n_quiz_scores"].items() if n}
    assert table["quiz_score"].dropna().between(0, 1).all()
