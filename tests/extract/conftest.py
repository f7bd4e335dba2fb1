"""Small language models, made once per session, in folders as `save_pretrained` writes them."""

import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = (
    "Alice was beginning to get very tired of sitting by her sister on the bank",
    "once or twice she had peeped into the book her sister was reading",
    "and what is the use of a book thought Alice without pictures or conversation",
    "so she was considering in her own mind as well as she could",
    "there was nothing so very remarkable in that nor did Alice think it so very much out of the way",
)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def sentences():
    return SENTENCES


def byte_level_tokenizer(*, prefix_space=True, begin=None, end=None, pad=None):
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", *(token for token in (pad, begin, end) if token)]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    if begin:
        tokenizer.post_processor = processors.RobertaProcessing(
            (end, tokenizer.token_to_id(end)), (begin, tokenizer.token_to_id(begin))
        )
    else:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        pad_token=pad,
        cls_token=begin,
        sep_token=end,
    )


def word_piece_tokenizer():
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", sep), ("[CLS]", cls))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def as_if_trained(model, seed=0):
    """Move every weight, those of the norms too, so that none is as it was initialised."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return model


def save(folder, model, tokenizer):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_gpt2(*, n_positions=32, vocab_size=400, architecture="GPT2LMHeadModel"):
    import transformers

    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=vocab_size, n_positions=n_positions, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return as_if_trained(getattr(transformers, architecture)(config))


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory):
    """GPT-2 with 2 blocks, 16 units, 32 positions and 400 tokens, in float32."""
    return save(tmp_path_factory.mktemp("gpt2"), tiny_gpt2(), byte_level_tokenizer())


@pytest.fixture(scope="session")
def long_gpt2_folder(tmp_path_factory):
    """The same with the 1,024 positions of GPT-2."""
    return save(tmp_path_factory.mktemp("long_gpt2"), tiny_gpt2(n_positions=1024), byte_level_tokenizer())


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory):
    """Llama: rotary positions, grouped keys, a norm without bias."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=48,
        bos_token_id=0,
        eos_token_id=0,
    )
    return save(tmp_path_factory.mktemp("llama"), as_if_trained(LlamaForCausalLM(config)), byte_level_tokenizer())


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory):
    """BERT with WordPiece; 24 positions."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=200,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
        pad_token_id=0,
    )
    return save(tmp_path_factory.mktemp("bert"), as_if_trained(BertForMaskedLM(config)), word_piece_tokenizer())


@pytest.fixture(scope="session")
def roberta_folder(tmp_path_factory):
    """RoBERTa: 26 positions hold 24 tokens, because the padding token is number 1."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=400,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=26,
        pad_token_id=1,
    )
    tokenizer = byte_level_tokenizer(begin="<s>", end="</s>", pad="<pad>")
    return save(tmp_path_factory.mktemp("roberta"), as_if_trained(RobertaForMaskedLM(config)), tokenizer)


@pytest.fixture(scope="session")
def word_events():
    """Make a table of events from the words of each run."""

    def make(*words_of_runs):
        rows = [
            {"run": str(i_run + 1), "onset": 0.5 * i, "duration": 0.4, "word": word}
            for i_run, words in enumerate(words_of_runs)
            for i, word in enumerate(words)
        ]
        return pd.DataFrame(rows)

    return make


@pytest.fixture(scope="session")
def story(word_events):
    """Two runs, one longer than the tiny models' contexts and one of three words."""
    words = " ".join(SENTENCES * 2).split()
    return word_events(words, ["the", "remarkable", "book"])


@pytest.fixture(scope="session")
def make():
    """The builders of this file, for tests that need a model of their own."""
    from types import SimpleNamespace

    return SimpleNamespace(
        save=save,
        tiny_gpt2=tiny_gpt2,
        as_if_trained=as_if_trained,
        byte_level_tokenizer=byte_level_tokenizer,
        word_piece_tokenizer=word_piece_tokenizer,
    )
