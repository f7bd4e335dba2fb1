"""Outputs and inputs of modules by their paths."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from brainalign.errors import BrainalignError, UnknownName
from brainalign.extract._modules import find_module, first_tensor, recording


class Split(nn.Module):
    def forward(self, x, *, scale):
        return "no tensor", scale * x, x


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(3, 3) for _ in range(3)])
        self.relu = nn.ReLU(inplace=True)
        self.split = Split()
        self.idle = nn.Identity()

    def forward(self, x, n_times=1):
        x = self.blocks[0](x)
        for _ in range(n_times):
            x = self.relu(x)
        x = self.blocks[1](x)
        x += 1
        return self.split(self.blocks[2](x), scale=2.0)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture
def x():
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(1))


def n_hooks(network):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


def test_find_module(network):
    assert find_module(network, "blocks.1") is network.blocks[1]


@pytest.mark.parametrize(
    ("path", "near"),
    [("block.1", r"did you mean 'blocks.1'.*blocks.0"), ("", "known: blocks, idle"), ("xyz", "known: blocks, idle")],
)
def test_fault_28_an_unknown_path_lists_near_ones(network, x, path, near):
    with pytest.raises(UnknownName, match=f"unknown module of Network '{path}'.*{near}"):
        find_module(network, path)
    with pytest.raises(UnknownName, match=near), recording(network, ["relu", path]):
        network(x)
    assert n_hooks(network) == 0


def test_outputs_are_those_of_the_modules_even_where_they_are_overwritten_later(network, x):
    with torch.inference_mode(), recording(network, ["blocks.0", "relu", "blocks.1", "blocks.2"]) as seen:
        network(x)
    expected = network.blocks[0](x)
    assert (expected < 0).any()
    torch.testing.assert_close(seen["blocks.0"], expected)  # the ReLU after it works in place
    torch.testing.assert_close(seen["relu"], expected.relu())
    torch.testing.assert_close(seen["blocks.1"], network.blocks[1](expected.relu()))  # 1 is added in place
    assert list(seen) == ["blocks.0", "relu", "blocks.1", "blocks.2"]
    assert n_hooks(network) == 0


def test_the_first_tensor_of_a_tuple_and_inputs_by_position_or_name(network, x):
    with torch.no_grad():
        with recording(network, ["split"]) as out:
            network(x)
        with recording(network, ["split", "relu"], of="inputs") as given:
            network(x=x)
        with recording(network, ["blocks.0"], of="inputs") as first:
            network(x)
        with recording(nn.Sequential(network), ["0"], of="inputs") as named:
            nn.Sequential(network)  # another container: its hooks are elsewhere
            network(x=x)
    torch.testing.assert_close(out["split"], 2 * given["split"])
    torch.testing.assert_close(given["relu"], network.blocks[0](x))
    torch.testing.assert_close(first["blocks.0"], x)
    torch.testing.assert_close(named["0"], x)


def test_keep_is_applied_at_once(network, x):
    with torch.no_grad(), recording(network, ["blocks.1"], keep=lambda t: t.mean(dim=1)) as seen:
        network(x)
        assert seen["blocks.1"].shape == (5,)


def test_a_module_that_runs_twice_or_not_at_all_is_an_error(network, x):
    with pytest.raises(BrainalignError, match="'relu' ran more than once"), recording(network, ["relu"]):
        network(x, n_times=2)
    with pytest.raises(BrainalignError, match=r"'blocks\.0' ran more than once"), recording(network, ["blocks.0"]):
        nn.Sequential(network.blocks[0], network.blocks[0])(x)
    absent = r"\['idle'\] did not run in the forward pass of Network"
    with pytest.raises(BrainalignError, match=absent), recording(network, ["blocks.0", "idle"]):
        network(x)
    assert n_hooks(network) == 0


def test_a_module_without_a_tensor_is_an_error(x):
    class Words(nn.Module):
        def forward(self, _):
            return {"a": "b"}

    model = nn.Sequential(OrderedDict(words=Words()))
    nothing = r"'words': no tensor among its outputs \(dict\)"
    with pytest.raises(BrainalignError, match=nothing), recording(model, ["words"]):
        model(x)


def test_hooks_are_removed_when_the_forward_pass_fails(network):
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), recording(network, ["blocks.2", "idle"]):
        network(torch.zeros(1, 7))
    assert n_hooks(network) == 0


def test_first_tensor():
    one, two = torch.ones(1), torch.zeros(2)
    assert first_tensor(one) is one
    assert first_tensor((None, two, one)) is two
    assert first_tensor({"a": 1, "b": one}) is one
    assert first_tensor("text") is first_tensor([]) is None
