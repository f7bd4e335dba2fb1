import tomllib

import pytest

from brainalign.config import describe, parse_experiment, read_experiment, render
from brainalign.errors import BadConfig, MissingData

MINIMAL = """
name = "x"
[data]
set = "simulated"
[features.words]
extractor = "words"
quantities = ["rate", "length"]
"""


@pytest.fixture
def minimal(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(MINIMAL)
    return path


def problems_of(path, *overrides):
    with pytest.raises(BadConfig) as caught:
        read_experiment(path, overrides)
    return caught.value.problems


def test_an_unknown_key_is_refused_with_the_nearest(minimal):
    (problem,) = problems_of(minimal, "encode.otuer.n=3")
    assert problem.startswith("encode.otuer: unknown key (did you mean 'outer'?)")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.n_subject=3", "data.n_subject: unknown key (did you mean 'n_subjects'?)"),
        ("features.words.quantites=[]", "features.words.quantites: unknown key (did you mean 'quantities'?)"),
        ("encode.outer.gpa=3", "encode.outer.gpa: unknown key (did you mean 'gap'?)"),
        ("nmae=3", "nmae: unknown key (did you mean 'name'?)"),
        ("data.set=simulatd", "data.set: unknown data set 'simulatd' (did you mean 'simulated'?)"),
        ("features.words.extractor=word", "did you mean 'words'?"),
        ("encode.controls=wrods", "no feature space 'wrods' (did you mean 'words'?)"),
        ("encode.outer.n=five", "encode.outer.n: Input should be a valid integer, got 'five'"),
        ("encode.outer.n=1", "encode.outer.n: Input should be greater than or equal to 2"),
        ("encode.outer.gap=-1", "encode.outer.gap"),
        ("encode.alphas.n=0", "encode.alphas.n"),
        ("encode.alphas.low=-1", "encode.alphas.low"),
        ("encode.alphas.low=1e9", "high (1e+08) is below low (1e+09)"),
        ("align.delays=[]", "align.delays: needs at least one delay"),
        ("align.delays=[1, 1]", "align.delays: needs at least one delay, and none twice"),
        ("name=../../x", "name: String should match pattern"),
        ("seed=true", "seed: Input should be a valid integer"),
        ("encode.scale=no", "encode.scale: Input should be a valid boolean"),
    ],
)
def test_each_bad_value_is_named_with_its_key(minimal, override, expected):
    assert any(expected in problem for problem in problems_of(minimal, override))


def test_all_problems_come_at_once(minimal):
    problems = problems_of(minimal, "encode.otuer=3", "data.subject=1", "features.words.x=2", "align.bin=max")
    assert len(problems) == 4


def test_numbers_that_toml_writes_either_way_are_the_same(minimal):
    one, other = (read_experiment(minimal, (f"encode.alphas.high={high}",)) for high in ("1e8", "100000000"))
    assert one.key == other.key


def test_comments_order_and_defaults_do_not_change_the_key(tmp_path, minimal):
    other = tmp_path / "y.toml"
    other.write_text('# comment\nseed = 0\nname = "x"\n[align]\nbin = "sum"\n' + MINIMAL.split('name = "x"')[1])
    assert read_experiment(minimal).key == read_experiment(other).key
    assert read_experiment(minimal).key != read_experiment(minimal, ("align.bin=mean",)).key


def test_the_resolved_file_reads_back_equal(tmp_path, minimal):
    experiment = read_experiment(minimal, ("encode.outer.n=7",))
    for comments in (None, describe(experiment)):
        path = tmp_path / "resolved.toml"
        path.write_text(render(experiment.table(), comments))
        assert read_experiment(path).key == experiment.key


def test_every_default_is_explained(minimal):
    experiment = read_experiment(minimal)
    text = render(experiment.table(), describe(experiment))
    unexplained = [
        line
        for line in text.splitlines()
        if " = " in line and " # " not in line and line.split(" = ")[0] not in {"name", "seed", "set", "extractor"}
    ]
    assert not unexplained


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + MINIMAL.encode(), MINIMAL.replace("\n", "\r\n").encode()])
def test_byte_order_marks_and_crlf_are_read(tmp_path, content):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    assert read_experiment(path).name == "x"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"   \n", "the file is empty"),
        (b"name = \xe9", "not UTF-8"),
        (b"name = ", "not TOML"),
    ],
)
def test_a_broken_file_says_what_it_is(tmp_path, content, message):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    assert message in problems_of(path)[0]


def test_yaml_is_refused_with_the_cure(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: x\n!!python/object/apply:os.system ['false']")
    assert "experiment files are TOML" in problems_of(path)[0]


def test_a_missing_file_names_the_nearest(tmp_path, minimal):
    with pytest.raises(MissingData, match=r"did you mean 'x\.toml'"):
        read_experiment(tmp_path / "xx.toml")
    with pytest.raises(MissingData, match="is a folder"):
        read_experiment(tmp_path)


def test_paths_are_relative_to_the_file(tmp_path, minimal):
    table = tomllib.loads(MINIMAL) | {"features": {"m": {"extractor": "text", "model": "./models/a b"}}}
    minimal.write_text(render(table))
    config = read_experiment(minimal).features["m"].config
    assert config.model == str(tmp_path / "models" / "a b")


def test_set_takes_text_that_is_not_toml(minimal):
    experiment = read_experiment(minimal, ("features.m.extractor=text", "features.m.model=gpt2"))
    assert experiment.features["m"].config.model == "gpt2"


def test_a_set_without_a_value_is_refused(minimal):
    assert "expected KEY=VALUE" in problems_of(minimal, "encode.outer.n")[0]


def test_no_features_is_a_problem():
    with pytest.raises(BadConfig, match="features: expected at least one"):
        parse_experiment({"name": "x", "data": {"set": "simulated"}})


def test_alphas_are_a_logarithmic_grid(minimal):
    alphas = read_experiment(minimal, ("encode.alphas={low=1.0,high=100.0,n=3}",)).encode.alphas.values()
    assert alphas.tolist() == pytest.approx([1, 10, 100])


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ('encode.outer={kind="groups", gap=3}', "'gap' has no meaning with kind = 'groups'"),
        ('encode.outer={kind="blocks", by="run"}', "'by' has no meaning with kind = 'blocks'"),
        ("encode.alphas.high=inf", "encode.alphas.high"),
    ],
)
def test_what_has_no_meaning_is_refused(minimal, override, expected):
    assert any(expected in problem for problem in problems_of(minimal, override))


def test_a_folder_named_without_a_dot_is_a_path(tmp_path, minimal, monkeypatch):
    (tmp_path / "models" / "own").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for spelt in ("models/own", "./models/own"):
        experiment = read_experiment(minimal, ("features.m.extractor=text", f"features.m.model={spelt}"))
        assert experiment.features["m"].config.model == str(tmp_path / "models" / "own")
    assert (
        read_experiment(minimal, ("features.m.extractor=text", "features.m.model=org/name")).features["m"].config.model
        == "org/name"
    )


def test_a_list_of_wrong_names_is_one_problem_per_name():
    table = {
        "name": "x",
        "data": {"set": "simulated"},
        "features": {"low": {"extractor": "pixels", "layers": ["pixls"]}},
    }
    with pytest.raises(BadConfig) as caught:
        parse_experiment(table)
    assert len(caught.value.problems) == 1
    assert "features.low.layers.0" in caught.value.problems[0]
    table["features"]["low"]["layers"] = []
    with pytest.raises(BadConfig, match=r"features\.low\.layers"):
        parse_experiment(table)


def test_comments_name_the_choices():
    table = {"name": "x", "data": {"set": "simulated"}, "features": {"low": {"extractor": "pixels"}}, "compare": {}}
    remarks = describe(parse_experiment(table))
    assert remarks["compare.distance"].endswith("(correlation, cosine, euclidean, mean_squared)")
    assert remarks["features.low.layers"].endswith("(pixels, luminance, gabor)")
    assert remarks["features.low.size"] == "pixels per side of the layer pixels"


@pytest.mark.parametrize(
    ("align", "said"),
    [
        ({"to": "samples", "epochs": {"tmin": 0.0}}, "epochs has no meaning with to = 'samples'"),
        ({"to": "epochs", "lags": {"tmax": 0.5}}, "lags take the place of delays"),
        ({"delays": [1, 2], "lags": {"tmax": 0.5}}, "lags take the place of delays"),
        ({"to": "epochs", "epochs": {"tmin": 0.5, "tmax": 0.1}}, r"tmax \(0.1 s\) is before tmin \(0.5 s\)"),
    ],
)
def test_clocks_that_contradict_themselves_are_refused(align, said):
    table = {"name": "x", "data": {"set": "simulated"}, "features": {"low": {"extractor": "pixels"}}, "align": align}
    with pytest.raises(BadConfig, match=said):
        parse_experiment(table)


def test_the_window_of_epochs_is_spelt_out():
    table = {"name": "x", "data": {"set": "simulated"}, "features": {"low": {"extractor": "pixels"}}}
    experiment = parse_experiment({**table, "align": {"to": "epochs"}})
    assert experiment.table()["align"]["epochs"]["tmax"] == 0.8
    assert "lags" not in render(experiment.table())
    assert parse_experiment(experiment.table()).key == experiment.key
