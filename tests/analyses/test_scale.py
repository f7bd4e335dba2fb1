"""The analysis of scale: what is counted, and what a setting moves."""

import pytest


def test_a_life_is_that_of_the_settings(load_analysis):
    module = load_analysis("scale")
    obtained = module.run(module.Config())["obtained"].set_index("quantity")["value"]
    assert obtained["lives in GPT-3's data"] > 1000
    assert obtained["lives in what GPT-3 has read, tokens as words"] == pytest.approx(815, abs=1)
    half = module.run(module.Config(years=10.0))["obtained"].set_index("quantity")["value"]
    assert half["lives in GPT-3's data"] == pytest.approx(2 * obtained["lives in GPT-3's data"])
    slow = module.run(module.Config(hours_a_day=7.0))["obtained"].set_index("quantity")["value"]
    assert slow["lives in GPT-3's data"] == pytest.approx(2 * obtained["lives in GPT-3's data"])
    of_sheet = "millions of words in 20 years, 1 word/s, 14 h a day"  # whatever the settings
    assert obtained[of_sheet] == half[of_sheet] == slow[of_sheet] == 367.92


def test_a_shared_weight_is_many_connections_and_a_bias_is_none(load_analysis):
    networks = load_analysis("scale").networks().set_index("name")
    ratio = networks["connections"] / networks["parameters"]
    assert ratio["AlexNet's convolutions"] > 100
    assert (ratio.drop(index=["AlexNet", "AlexNet's convolutions"]) < 1).all()  # biases are no connections
    assert networks.loc["GPT that sorts", "parameters"] == 85_584
    tables, encoder = (27 + 28) * 16, 2 * 24 * (16 * 3 + 24 * 3)  # 16 numbers a letter; 24 units each way
    decoder = 24 * 24 + 24 * (16 + 48 + 24) * 3
    looks, says = 24 * 32 + 48 * 32 + 32, (24 + 16 + 48) * 64 + 32 * 27
    assert tables + encoder + decoder + looks + says == 22_384
    assert networks.loc["encoder-decoder", "connections"] == 22_384
