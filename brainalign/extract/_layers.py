"""Which values of a language model a layer is: a hidden state, attention, heads or MLP of a block, or any module.

Besides the numbers of hidden states (0 the embeddings, k the output of block k), layers have these names, k from 1:

- `attention.k`: the output of block k's attention, before it is added to what the block reads.
- `heads.k`: the outputs of its attention heads side by side, before the output projection mixes them. Its units are
  named by head and unit, both from 0: "h3.u12".
- `mlp.k`: the output of its MLP, before it is added.
- any other name is the path of a module, e.g. "h.3.mlp.act" (GPT-2 counts its blocks from 0): that module's output.

Where a model norms attention or MLP once more on their way to the sum (Gemma 2), the values are those before that norm.
"""

import copy
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from brainalign.errors import BrainalignError
from brainalign.extract._model import quiet_transformers

PART = re.compile(r"(attention|heads|mlp)\.(0|[1-9]\d*)")


class Layer(NamedTuple):
    """A hidden state by its number, or what goes into or comes out of a module; `n_heads` is 0 unless it is `heads`."""

    name: str
    width: int = 0
    path: str = ""  # of the module; a hidden state has none
    of_input: bool = False
    n_heads: int = 0

    def units(self, width: int) -> list[str]:
        """Name the units, as many as `width`."""
        if not self.n_heads:
            return [str(i) for i in range(width)]
        size = width // self.n_heads
        return [f"h{i // size}.u{i % size}" for i in range(width)]


class _Block(NamedTuple):
    """Where models keep their blocks, and in each the attention, the projection that takes the heads, and the MLP."""

    blocks: str
    attention: str
    projection: str
    mlp: str


BLOCKS = (
    _Block("h", "attn", "attn.c_proj", "mlp"),  # GPT-2
    _Block("h", "attn", "attn.out_proj", "mlp"),  # GPT-J
    _Block("layers", "self_attn", "self_attn.o_proj", "mlp"),  # Llama, Mistral, Qwen, Gemma, OLMo
    _Block("layers", "attention", "attention.dense", "mlp"),  # GPT-NeoX, Pythia
    _Block("decoder.layers", "self_attn", "self_attn.out_proj", "fc2"),  # OPT
    _Block("encoder.layer", "attention.output.dense", "attention.output.dense", "output.dense"),  # BERT, RoBERTa
)


def names_of_layers(wanted: str | tuple[int | str, ...], *, n_hidden: int, model: str) -> tuple[str, ...]:
    """Give the names of layers in order: hidden states by number, then the others as they were asked for, each once.

    Parameters
    ----------
    wanted : "all", or tuple of int and str
        "all" are the hidden states.
    n_hidden : int
        How many hidden states the model has.
    model : str
        For errors.

    Raises
    ------
    BrainalignError
        A hidden state or block that the model does not have. Module paths are not looked up.
    """
    numbers = range(n_hidden) if wanted == "all" else [layer for layer in wanted if isinstance(layer, int)]
    names = [] if wanted == "all" else [layer for layer in wanted if isinstance(layer, str)]
    wrong = [layer for layer in numbers if not -n_hidden <= layer < n_hidden]
    if wrong:
        raise BrainalignError(
            f"layers {wrong}: the model {model!r} has layers 0 (embeddings) to {n_hidden - 1}, or -{n_hidden} to -1"
        )
    wrong = [name for name in names if (part := PART.fullmatch(name)) and not 0 < int(part[2]) < n_hidden]
    if wrong:
        raise BrainalignError(f"layers {wrong}: the model {model!r} has blocks 1 to {n_hidden - 1}")
    return (*map(str, sorted({layer % n_hidden for layer in numbers})), *dict.fromkeys(names))


def layers_of(names: tuple[str, ...], model_config, *, both_ways: bool) -> tuple[Layer, ...]:
    """Find the layers of a model and their widths, without its weights.

    Models whose shapes depend on numbers (mixtures of experts, DeBERTa) are built with fresh weights to find out, and
    take the memory of the model.

    Parameters
    ----------
    names : tuple of str
        From `names_of_layers`.
    model_config : transformers.PretrainedConfig
    both_ways : bool
        The model is a masked one.

    Raises
    ------
    UnknownName
        The model has no such module; near names are listed.
    BrainalignError
        It is not known where this type of model keeps its heads, or a module does not give one vector per token.
    """
    if all(map(str.isdecimal, names)):
        return tuple(Layer(name, width=model_config.hidden_size) for name in names)
    skeleton = _skeleton_of(model_config, device="meta")
    layers = tuple(_found(name, skeleton) for name in names)
    try:
        widths = _widths(skeleton, layers, both_ways=both_ways)
    except RuntimeError:
        widths = _widths(_skeleton_of(model_config, device="cpu"), layers, both_ways=both_ways)
    return tuple(layer._replace(width=widths[layer.name]) for layer in layers)


def _skeleton_of(model_config, *, device: str):
    """Build a model; on "meta" it has shapes, but no numbers. Other attention than eager looks at those of the mask."""
    import torch

    with quiet_transformers() as transformers, torch.random.fork_rng(devices=[]), torch.device(device):
        return transformers.AutoModel.from_config(
            copy.deepcopy(model_config), dtype=torch.float32, attn_implementation="eager"
        ).eval()


def _found(name: str, model) -> Layer:
    from brainalign.extract._modules import find_module

    if name.isdecimal():
        return Layer(name)
    part = PART.fullmatch(name)
    if part is None:
        find_module(model, name)
        return Layer(name, path=name)
    where = _block_of(model, name)
    block = f"{where.blocks}.{int(part[2]) - 1}"
    if part[1] == "heads":
        return Layer(name, path=f"{block}.{where.projection}", of_input=True, n_heads=model.config.num_attention_heads)
    return Layer(name, path=f"{block}.{where.attention if part[1] == 'attention' else where.mlp}")


def _block_of(model, name: str) -> _Block:
    modules = dict(model.named_modules())
    for block in BLOCKS:
        if all(f"{block.blocks}.0.{path}" in modules for path in (block.attention, block.projection, block.mlp)):
            return block
    first = [path for path in modules if re.search(r"\.0(\.|$)", path)]
    raise BrainalignError(
        f"layer {name!r}: it is not known where models of type {model.config.model_type!r} keep attention, heads and"
        f" MLP; name a layer by the path of a module, such as {', '.join(first[:20])}"
    )


def _widths(skeleton, layers: tuple[Layer, ...], *, both_ways: bool) -> dict[str, int]:
    import torch

    ids = torch.zeros((2, 2), dtype=torch.long, device=skeleton.device)
    mask = None if both_ways else torch.ones_like(ids)
    with torch.inference_mode():
        return run_layers(skeleton, layers, keep=lambda vectors: vectors.shape[1], input_ids=ids, attention_mask=mask)


def run_layers(model, layers: tuple[Layer, ...], *, keep: Callable, **inputs) -> dict[str, Any]:
    """Run a model once and give what `keep` makes of every layer's values.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    layers : tuple of Layer
    keep : callable
        Is given a tensor (n_windows * n_read, width), and gives a copy of what is to be kept.
    **inputs
        Of the model: `input_ids` of shape (n_windows, n_read), `attention_mask`.

    Returns
    -------
    kept : dict
        By the layers' names, in their order.

    Raises
    ------
    BrainalignError
        The model returns another number of hidden states than its configuration says; a module that does not run, or
        more than once; a layer that does not give one vector per token (some models pad within: BigBird, Reformer).
    """
    from brainalign.extract._modules import recording

    ids = inputs["input_ids"]

    def kept(values):
        vectors = values.reshape(-1, values.shape[-1])
        return len(vectors), keep(vectors) if len(vectors) == ids.numel() else None

    outputs = [layer.path for layer in layers if layer.path and not layer.of_input]
    taken_in = [layer.path for layer in layers if layer.path and layer.of_input]
    with (
        recording(model, outputs, keep=kept) as given,
        recording(model, taken_in, of="inputs", keep=kept) as taken,
    ):
        hidden = model(**inputs, output_hidden_states=True).hidden_states
    if len(hidden) != model.config.num_hidden_layers + 1:
        raise BrainalignError(
            f"the model returns {len(hidden)} hidden states, its configuration says"
            f" {model.config.num_hidden_layers} blocks"
        )
    result = {}
    for layer in layers:
        recorded = taken if layer.of_input else given
        result[layer.name] = recorded[layer.path] if layer.path else kept(hidden[int(layer.name)])
    wrong = {name: n_vectors for name, (n_vectors, _) in result.items() if n_vectors != ids.numel()}
    if wrong:
        raise BrainalignError(
            f"layers {list(wrong)}: these do not give one vector per token (but {next(iter(wrong.values()))} for"
            f" {ids.shape[0]} texts of {ids.shape[1]} tokens); take other layers, or a shorter window"
        )
    return {name: of_layer for name, (_, of_layer) in result.items()}
