import pytest

from brainalign.errors import BrainalignError
from brainalign.simulate import sizes
from brainalign.simulate.alexnet import AlexNet
from brainalign.simulate.elman import Elman
from brainalign.simulate.lstm import LSTM, SimpleRecurrent

FORMULA = (125.1, 355.6, 759.8, 1315, 2650, 6657, 12950, 174589)  # millions


def test_anchor_a30_the_formula_is_within_2_per_cent_of_print():
    off = {}
    for model, expected in zip(sizes.GPT3_TABLE, FORMULA, strict=True):
        counted = sizes.matrices_of_gpt(model.n_blocks, model.width, n_words=50_257, n_context=2_048)
        assert counted / 1e6 == pytest.approx(expected, rel=5e-4)
        off[model.name] = abs(counted / model.parameters - 1)
    assert max(off.values()) < 0.02
    assert max(off, key=off.get) == "2.7B"


def test_the_two_misprints_are_flagged_and_no_other_row():
    flagged = {model.name: sizes.misprint(model) for model in sizes.GPT3_TABLE if sizes.misprint(model)}
    assert set(flagged) == {"XL", "13B"}
    assert "3,072" in flagged["XL"]
    assert "5,120" in flagged["13B"]


def test_gpt_by_part_is_the_formula_with_norms_and_biases():
    parts = sizes.gpt(3, 48, n_words=3, n_context=11)
    assert parts["words"] == 144
    assert parts["positions"] == 528
    assert sum(parts.values()) == 85_584
    d, n_blocks = 48, 3
    assert sum(parts.values()) == 3 * d + 11 * d + n_blocks * (12 * d**2 + 13 * d) + 2 * d


def test_known_models():
    assert sum(sizes.gpt(6, 192, n_words=8192, n_context=256).values()) == 4_291_584  # its model card
    assert sum(sizes.gpt(12, 768, n_words=50_257, n_context=1024).values()) == 124_439_808  # GPT2Model of transformers
    assert sum(sizes.transformer(6, 512, n_feed=2048, n_words=37_000).values()) == pytest.approx(65e6, rel=0.03)
    assert sum(sizes.transformer(6, 1024, n_feed=4096, n_words=37_000).values()) == pytest.approx(213e6, rel=0.01)


def count(network):
    return sum(values[0].numel() for values in network.parameters())


def test_recurrent_networks_are_as_built():
    assert sizes.recurrent(31, 150, n_outputs=31) == count(Elman([str(i) for i in range(31)], n_hidden=150))
    options = {"n_hidden": 5, "n_outputs": 2}
    assert sizes.recurrent(3, 5, n_outputs=2) == count(SimpleRecurrent("abc", **options))
    assert sizes.recurrent(3, 5, n_outputs=2, n_gates=4) == count(LSTM("abc", **options))
    assert sizes.recurrent(3, 5, n_outputs=2, n_gates=3) == count(LSTM("abc", forget_gate=False, **options))


def test_alexnet_is_as_built_and_as_printed():
    parameters, connections = sizes.convolutions(sizes.ALEXNET)
    assert parameters == sum(values.numel() for values in AlexNet(seed=0).parameters())
    by_hand = 55**2 * 96 * 363 + 27**2 * 256 * 1200 + 13**2 * (384 * 2304 + 384 * 1728 + 256 * 1728)
    assert connections == by_hand
    assert parameters + sizes.layers(9216, 4096, 4096, 1000) == pytest.approx(60e6, rel=0.02)


def test_words_of_a_childhood():
    assert sizes.words_heard(20) == 20 * 365 * 14 * 3600  # a word a second, 14 hours a day
    assert sizes.words_heard(20) == pytest.approx(3.7e8, rel=0.01)
    assert 4.99e11 / sizes.words_heard(20) > 1000
    assert sizes.words_heard(1, hours_a_day=24, words_a_second=2) == 2 * 365 * 86_400
    with pytest.raises(BrainalignError, match="25 hours"):
        sizes.words_heard(1, hours_a_day=25)
