from brainalign.errors import BadConfig, BrainalignError, UnknownName, did_you_mean


def test_unknown_name_lists_the_known_and_the_nearest():
    message = str(UnknownName("metric", "pearsn", ["r2", "pearson"]))
    assert "unknown metric 'pearsn'" in message
    assert "did you mean 'pearson'?" in message
    assert "known: pearson, r2" in message


def test_nothing_near_suggests_nothing():
    assert did_you_mean("xyz", ["pearson"]) == ""


def test_bad_config_lists_every_problem():
    error = BadConfig(["a: missing", "b: unknown key"], "file.toml")
    assert str(error).splitlines() == ["file.toml: 2 problems", "  a: missing", "  b: unknown key"]
    assert isinstance(error, BrainalignError)
    assert isinstance(error, ValueError)
