"""One response per sentence."""

import numpy as np
import pytest
from pydantic import ValidationError

from brainalign.arrays import sha256_of
from brainalign.data import tuckute2024
from brainalign.data._manifest import load_manifest, verified
from brainalign.errors import MissingData


def test_facts(data_dir):
    facts = load_manifest("tuckute2024").facts
    recording = tuckute2024.load(tuckute2024.Config(), data_dir)
    assert recording.responses.shape == (facts["n_sentences"], len(facts["noise_ceiling_r"]))
    assert np.isfinite(recording.responses.values).all()
    n_words = recording.events["sentence"].str.split().str.len()
    assert (n_words == 6).sum() == facts["n_sentences_of_6_words"]
    assert (n_words == 7).sum() == facts["n_sentences_of_7_words"]
    columns = recording.responses.columns
    ceilings = dict(zip(columns["target"], columns["noise_ceiling"], strict=True))
    assert ceilings == facts["noise_ceiling_r"]
    assert set(columns["n_subjects"]) == {facts["n_participants"]}


def test_the_ceilings_are_the_published_ones_and_correlations(data_dir):
    table = tuckute2024._read_csv(verified("tuckute2024", data_dir, "noise_ceiling_LH.csv"), ["roi", "nc", "ncsnr"])
    ncsnr, nc, n_subjects = (table[name].astype(float).to_numpy() for name in ("ncsnr", "nc", "n_uids"))
    facts = load_manifest("tuckute2024").facts
    assert dict(zip(table["roi"].str.removeprefix("lang_LH_"), nc, strict=True)) == facts["noise_ceiling_r"]
    assert set(n_subjects) == {facts["n_participants"]}
    rounded = {"netw": 0.559, "PostTemp": 0.579, "MFG": 0.515, "AntTemp": 0.458, "IFG": 0.452, "IFGorb": 0.452}
    assert facts["noise_ceiling_r"] == pytest.approx(rounded, abs=5e-4)
    np.testing.assert_allclose(nc, np.sqrt(ncsnr**2 / (ncsnr**2 + 1 / n_subjects)), rtol=1e-9)


def test_responses_belong_to_their_sentences_and_regions(data_dir):
    recording = tuckute2024.load(tuckute2024.Config(rois=("IFGorb", "netw")), data_dir)
    events, responses = recording.events, recording.responses
    assert responses.columns["target"].tolist() == ["IFGorb", "netw"]
    assert set(responses.columns["subject"]) == {"mean"}
    assert set(responses.columns["ceiling_kind"]) == {"published ncsnr"}
    np.testing.assert_allclose(responses.values[1], [1.004542752, 0.538993146])
    assert events["sentence"].iloc[1] == "All sorts of treasure there too."
    assert events["item_id"].iloc[1] == "B.2"
    np.testing.assert_array_equal(responses.rows["event"], np.arange(1000))
    np.testing.assert_array_equal(responses.rows["time"], events["onset"])
    assert responses.provenance["config"] == {"rois": ["IFGorb", "netw"]}
    path = "bold_response_LH.csv"
    assert responses.provenance["files"][f"tuckute2024/{path}"] == sha256_of(data_dir / "tuckute2024" / path)


def test_all_is_the_default(data_dir):
    everything = tuckute2024.load(tuckute2024.Config(rois="all"), data_dir).responses
    default = tuckute2024.load(tuckute2024.Config(), data_dir).responses
    np.testing.assert_array_equal(everything.values, default.values)
    assert everything.columns.equals(default.columns)


@pytest.mark.parametrize("rois", [("lang_LH_netw",), (), ("netw", "netw"), "netw"])
def test_unknown_empty_or_repeated_regions_are_refused(rois):
    with pytest.raises(ValidationError):
        tuckute2024.Config(rois=rois)


def test_absent_files_are_listed(tmp_path):
    [problem] = tuckute2024.check(tuckute2024.Config(), tmp_path)
    assert f"brainalign fetch tuckute2024 --data-dir {tmp_path}" in problem
    with pytest.raises(MissingData, match=r"bold_response_LH\.csv"):
        tuckute2024.load(tuckute2024.Config(), tmp_path)


def test_a_changed_response_is_refused(tmp_path, data_dir):
    folder = tmp_path / "tuckute2024"
    folder.mkdir()
    (folder / "bold_response_LH.csv").write_bytes((data_dir / "tuckute2024/bold_response_LH.csv").read_bytes())
    assert tuckute2024.check(tuckute2024.Config(), tmp_path) == []
    with (folder / "bold_response_LH.csv").open("r+b") as file:
        file.truncate(140_742 - 200)
    with pytest.raises(MissingData, match="not the published file"):
        tuckute2024.load(tuckute2024.Config(), tmp_path)


def test_sentences_stay_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('item_id,sentence\n1,"Yes, null."\n2,NA\n3,"a ""b"" c"\n', encoding="utf-8")
    assert tuckute2024._read_csv(path, ["sentence"])["sentence"].tolist() == ["Yes, null.", "NA", 'a "b" c']
    with pytest.raises(MissingData, match=r"\['netw'\] missing, the columns are \['item_id', 'sentence'\]"):
        tuckute2024._read_csv(path, ["netw"])
    path.write_text("item_id,sentence\n1,a,b\n", encoding="utf-8")
    with pytest.raises(MissingData, match="record 2: 3 cells, the header has 2"):
        tuckute2024._read_csv(path, ["sentence"])
