"""A HuggingFace model and its tokenizer from a local folder: no network, no pickles, no code but transformers' own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from brainalign.errors import BrainalignError, MissingData
from brainalign.extract._hub import stay_offline, weight_files

LAYER_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


@contextmanager
def quiet_transformers() -> Iterator:
    """Give transformers with its progress bars and remarks off; both are put back as they were."""
    stay_offline()
    from transformers.utils import logging

    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        import transformers

        yield transformers
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def n_hidden_states(folder: Path) -> int:
    """Count a model's layers from its `config.json` alone: the embeddings and every block.

    Raises
    ------
    MissingData
        The file is not JSON.
    """
    path = folder / "config.json"
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MissingData(f"{path}: not JSON ({error})") from None
    for key in LAYER_KEYS:
        if isinstance(written.get(key), int):
            return written[key] + 1
    return load_config(folder).num_hidden_layers + 1


def load_config(folder: Path):
    """Read a model's configuration.

    Raises
    ------
    BrainalignError
        Transformers does not know the model (brainalign runs no code that comes with a model), or it is not a causal or
        masked language model, or reads more than text.
    """
    with quiet_transformers() as transformers:
        try:
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise BrainalignError(
                f"{folder / 'config.json'}: transformers {transformers.__version__} cannot read it; code that a model"
                f" brings along is not run, convert the model to a type that transformers has ({error})"
            ) from error
        known = {**_causal_types(), **_masked_types()}
    if config.is_encoder_decoder or config.model_type not in known:
        raise BrainalignError(
            f"{folder}: a model of type {config.model_type!r} is not a causal or masked language model of transformers"
            f"{' (it is an encoder-decoder)' if config.is_encoder_decoder else ''}"
        )
    if config.get_text_config() is not config:
        raise BrainalignError(
            f"{folder}: a model of type {config.model_type!r} reads more than text; save its language model alone, with"
            " `save_pretrained`, and give that folder"
        )
    config.use_cache = False
    return config


def _causal_types() -> dict:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return dict(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def _masked_types() -> dict:
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    return dict(MODEL_FOR_MASKED_LM_MAPPING_NAMES)


def reads_both_ways(model_config) -> bool:
    """Tell whether a model sees the words to come (masked language models, unless configured as decoders)."""
    return model_config.model_type in _masked_types() and not getattr(model_config, "is_decoder", False)


def load_tokenizer(folder: Path):
    """Load a fast tokenizer.

    Raises
    ------
    BrainalignError
        It cannot be loaded, or it is one of the slow ones, which do not know the characters of a token.
    """
    with quiet_transformers() as transformers:
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise BrainalignError(f"{folder}: the tokenizer cannot be loaded ({error})") from error
    if not tokenizer.is_fast:
        raise BrainalignError(
            f"{folder}: {type(tokenizer).__name__} is a slow tokenizer, which does not tell the characters of a token;"
            " save a fast one beside the model (tokenizer.json)"
        )
    return tokenizer


def special_tokens(tokenizer, *, both_ways: bool, prepend_bos: bool) -> tuple[list[int], list[int]]:
    """Give the token ids that every window begins and ends with.

    Masked models get what their tokenizer puts around a text ([CLS], [SEP]); causal models get nothing, or with
    `prepend_bos` the beginning-of-text token.

    Raises
    ------
    BrainalignError
        `prepend_bos` where there is no such token, or for a masked model.
    """
    if both_ways and prepend_bos:
        raise BrainalignError(
            "prepend_bos is for causal models; a masked model gets its own special tokens in every window"
        )
    if both_ways:
        around = tokenizer("a", return_special_tokens_mask=True)
        ids, special = np.array(around["input_ids"]), np.array(around["special_tokens_mask"], dtype=bool)
        if special.all() or not special.any():
            return ids[special].tolist(), []
        inside = np.flatnonzero(~special)
        return ids[: inside[0]].tolist(), ids[inside[-1] + 1 :].tolist()
    if prepend_bos and tokenizer.bos_token_id is None:
        raise BrainalignError(f"prepend_bos: the tokenizer of {tokenizer.name_or_path} has no beginning-of-text token")
    return ([tokenizer.bos_token_id] if prepend_bos else []), []


def require_vocabulary(ids: np.ndarray, *, tokenizer, model_config, folder: Path) -> None:
    """Refuse token ids that the model has no embedding for.

    Raises
    ------
    BrainalignError
        Names the token, the tokenizer and the model: they belong to different models.
    """
    largest = int(ids.max())
    if largest >= model_config.vocab_size:
        raise BrainalignError(
            f"token {tokenizer.convert_ids_to_tokens(largest)!r} has id {largest}, outside the vocabulary of"
            f" {model_config.vocab_size} of the model in {folder}: the tokenizer there ({type(tokenizer).__name__},"
            f" {len(tokenizer)} tokens) belongs to another model"
        )


def context_length(model_config, tokenizer) -> int | None:
    """Give the number of tokens, special ones included, that a model can read at once; None when it sets no limit.

    The smaller of what the configuration and the tokenizer say, less the positions that RoBERTa and its kin keep for
    padding (their 514 positions hold 512 tokens).
    """
    stated = getattr(model_config, "max_position_embeddings", None)
    limits = [n for n in (stated, tokenizer.model_max_length) if isinstance(n, int) and 0 < n < 10**9]
    if stated and limits and getattr(model_config, "pad_token_id", None) is not None:
        limits.append(stated - _positions_kept_for_padding(model_config))
    return min(limits, default=None)


def _positions_kept_for_padding(model_config) -> int:
    import torch

    with quiet_transformers() as transformers, torch.device("meta"):
        skeleton = transformers.AutoModel.from_config(model_config, dtype=torch.float32)
    kept = [
        module.padding_idx + 1
        for name, module in skeleton.named_modules()
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
    ]
    return max(kept, default=0)


@contextmanager
def inference() -> Iterator[None]:
    """Run a model without gradients, and convolutions in the precision of their numbers.

    On a GPU, cuDNN would else round the factors of float32 convolutions to 11 bits (TF32).
    """
    import torch

    cudnn = torch.backends.cudnn
    as_set = {"enabled": cudnn.enabled, "benchmark": cudnn.benchmark, "deterministic": cudnn.deterministic}
    with torch.inference_mode(), cudnn.flags(**as_set, allow_tf32=False):
        yield


def device_of(device: str) -> str:
    """Give the torch device, "auto" resolved.

    Raises
    ------
    BrainalignError
        A GPU is asked for and none is here.
    """
    if device == "cpu":
        return "cpu"
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BrainalignError(f'device {device!r}: torch {torch.__version__} sees no GPU here; set device = "cpu"')
    return device


def load_trained(folder: Path, model_config, *, kind: str = "AutoModel", not_needed: tuple[str, ...] = ("pooler.",)):
    """Load a model's weights in float32, ready for inference.

    Parameters
    ----------
    folder : Path
    model_config : transformers.PretrainedConfig
    kind : str
        The class of transformers that loads it; one with a head needs the head's weights too.
    not_needed : tuple of str
        Beginnings of the names of weights that may be missing: no state that is read passes through them.

    Raises
    ------
    BrainalignError
        The files lack weights of the model (transformers would make them up at random), cannot be read, or are others
        than `weight_files` lists.
    """
    import torch
    from safetensors import SafetensorError

    if named := getattr(model_config, "transformers_weights", None):
        raise BrainalignError(
            f"{folder / 'config.json'}: transformers_weights = {named!r} is another file than those whose bytes are"
            " recorded; take that line out, and call the file model.safetensors"
        )
    with quiet_transformers() as transformers:
        try:
            model, found = getattr(transformers, kind).from_pretrained(
                folder,
                config=model_config,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise BrainalignError(f"{folder}: the model cannot be loaded ({error})") from error
    missing = sorted(name for name in found["missing_keys"] if not name.startswith(not_needed))
    if missing:
        headless = "" if kind == "AutoModel" else f"; a {type(model).__name__} that was saved without its head?"
        raise BrainalignError(
            f"{folder}: the weights lack {len(missing)} tensors of the model, e.g. {missing[:3]}{headless}"
        )
    return model.eval()


def build_untrained(trained, *, seed: int, kind: str = "AutoModel"):
    """Build a model of the same configuration with fresh weights, in float32, ready for inference.

    Parameters
    ----------
    trained : transformers.PreTrainedModel
        In float32; every one of its weight tensors must differ from the twin's.
    seed : int
        Of torch's generator, whose state is put back.
    kind : str
        As for `load_trained`.

    Returns
    -------
    twin : transformers.PreTrainedModel

    Raises
    ------
    BrainalignError
        A weight tensor is the same in both. Buffers and frozen parameters (fixed sinusoids, masks) are no weights.
    """
    import torch

    with quiet_transformers() as transformers, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        twin = getattr(transformers, kind).from_config(trained.config, dtype=torch.float32)
    require_all_different(trained, twin)
    return twin.eval()


def require_all_different(trained, twin) -> None:
    """Refuse a twin that shares a weight with the trained model.

    Raises
    ------
    BrainalignError
        Names the weight tensors that are the same in both.
    """
    import torch

    fresh = dict(twin.named_parameters())
    same = [
        name for name, weight in trained.named_parameters() if weight.requires_grad and torch.equal(weight, fresh[name])
    ]
    if same:
        raise BrainalignError(
            f"untrained twin: {len(same)} weight tensors equal the trained ones, e.g. {same[:3]}; the model is not"
            " trained there"
        )


def require_left_to_right(model, ids: np.ndarray) -> None:
    """Refuse a causal model in which a token's hidden states change with the token after it.

    Raises
    ------
    BrainalignError
        They do: strided windows would leak the words to come.
    """
    import torch

    first = torch.as_tensor(ids[:4].tolist() if len(ids) >= 4 else [*ids.tolist()] * 4, device=model.device)[None]
    other = first.clone()
    other[0, -1] = (other[0, -1] + 1) % model.config.vocab_size
    with torch.inference_mode():
        seen, unseen = (model(each).last_hidden_state[0, :-1].float() for each in (first, other))
    change = (seen - unseen).abs().max() / seen.abs().max()
    if not change < 1e-3:
        raise BrainalignError(
            f"a model of type {model.config.model_type!r} is listed as causal, but a token changes those before it"
            f" (by {change:.2g} of their size): it cannot be read left to right"
        )


def n_parameters(folder: Path) -> int:
    """Count the numbers in the weight files, from their headers.

    Raises
    ------
    MissingData
        A file is not safetensors, or is cut.
    """
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="numpy") as file:
                total += sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())  # noqa: SIM118
        except SafetensorError as error:
            raise MissingData(f"{path}: not a whole safetensors file ({error})") from error
    return total
