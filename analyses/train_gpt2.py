"""Train the GPT-2 that ships with brainalign on English novels, Alice's Adventures in Wonderland left out.

Data: ELTeC-eng (99 novels, 1840-1920, public domain; Burnard 2021, 10.5281/zenodo.4662490). Carroll's book is
excluded because `brennan2016` is recorded while people listen to it; two further novels are held out to measure the
model.

Users feed word lists of forced alignments (no punctuation) as often as printed sentences, so a share of the text is
shown as a transcript: the same words without punctuation.

    python analyses/train_gpt2.py --data-dir ../shared/data --out results/train_gpt2

An interrupted run continues from its last checkpoint. The finished model, `model.safetensors` in float16 with its
tokenizer and model card, is written to `<out>/gpt2_novels`, counts of the words it was trained on to
`<out>/word_counts.tsv.gz`; the copies in `brainalign/extract` are those that ship.
"""

import argparse
import gzip
import json
import logging
import lzma
import math
import platform
import re
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

log = logging.getLogger("train_gpt2")

END_OF_TEXT = "<|endoftext|>"
TYPOGRAPHY = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "`": "'", "´": "'", "‐": "-", "‑": "-", "–": "—"})


class Config(BaseModel):
    """Everything that decides the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    excluded: tuple[str, ...] = ("ENG18652_Carroll",)
    held_out: tuple[str, ...] = ("ENG19200_Lawrence", "ENG18610_Eliot")
    transcript_share: float = 1 / 3  # of the sections of a book, words without punctuation
    words_per_section: int = 300
    vocab_size: int = 8192
    n_positions: int = 256
    n_embd: int = 192
    n_layer: int = 6
    n_head: int = 3
    batch_size: int = 32  # windows of n_positions tokens
    n_steps: int = 2400
    warmup_steps: int = 100
    decay_share: float = 0.4  # of the steps, at the end, over which the learning rate falls to zero
    lr_matrices: float = 5e-3  # Muon, for the matrices of the blocks
    lr_rest: float = 5e-3  # AdamW, for embeddings, norms and biases
    weight_decay: float = 0.05
    seed: int = 0


def read_books(path):
    """Title -> text, one line, straight quotes. Books are separated by lines `### level1/<title>.xml`."""
    books = {}
    with lzma.open(path, "rt", encoding="utf-8") as file:
        whole = file.read()
    for part in whole.split("### level1/")[1:]:
        title, text = part.split(".xml\n", 1)
        books[title] = " ".join(text.translate(TYPOGRAPHY).split())
    return books


def transcript(text):
    """Give the words of a text as a forced alignment lists them: no punctuation, dashes and hyphens split words."""
    words = re.sub(r"[^\w' ]", " ", text).split()
    return " ".join(word for word in (word.strip("'_") for word in words) if word)


def sections(text, n_words):
    words = text.split(" ")
    return [" ".join(words[i : i + n_words]) for i in range(0, len(words), n_words)]


def train_tokenizer(texts, vocab_size):
    """Byte-level BPE as GPT-2's, with a space before the first word so that a word has one spelling everywhere."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, unk_token=END_OF_TEXT
    )


def encode(tokenizer, texts):
    return [np.asarray(encoding.ids, np.uint16) for encoding in tokenizer.backend_tokenizer.encode_batch(texts)]


class Reading:
    """Token windows in the order of training: every pass reads all books, each section printed or as a transcript."""

    def __init__(self, books, tokenizer, config):
        self.config = config
        self.end = np.asarray([tokenizer.eos_token_id], np.uint16)
        self.books = []
        for text in books.values():
            printed = sections(text, config.words_per_section)
            self.books.append((encode(tokenizer, printed), encode(tokenizer, [transcript(s) for s in printed])))

    def one_pass(self, i_pass):
        """Give the shuffled windows of one pass, (n_windows, n_positions)."""
        rng = np.random.default_rng([self.config.seed, i_pass])
        pieces = []
        for i_book in rng.permutation(len(self.books)):
            printed, spoken = self.books[i_book]
            as_transcript = rng.random(len(printed)) < self.config.transcript_share
            pieces += [s if t else p for p, s, t in zip(printed, spoken, as_transcript, strict=True)] + [self.end]
        tokens = np.concatenate(pieces)[rng.integers(self.config.n_positions) :]
        n_windows = len(tokens) // self.config.n_positions
        windows = tokens[: n_windows * self.config.n_positions].reshape(n_windows, self.config.n_positions)
        return windows[rng.permutation(n_windows)]

    def batches(self, first_step):
        """Yield the batch of every step from `first_step` on, the same whether or not training was interrupted."""
        size = self.config.batch_size
        step, i_pass = 0, 0
        while True:
            windows = self.one_pass(i_pass)
            for start in range(0, len(windows) - size + 1, size):
                if step >= first_step:
                    yield torch.from_numpy(windows[start : start + size].astype(np.int64))
                step += 1
            i_pass += 1


def build_model(config, tokenizer):
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.n_positions,
            n_embd=config.n_embd,
            n_layer=config.n_layer,
            n_head=config.n_head,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def build_optimizers(model, config):
    """Muon (Jordan 2024) for the matrices of the blocks, AdamW for the rest."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".h." in name]
    rest = [p for name, p in model.named_parameters() if not (p.ndim == 2 and ".h." in name)]
    return [
        torch.optim.Muon(
            matrices, lr=config.lr_matrices, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(rest, lr=config.lr_rest, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def learning_rate(step, config):
    """Share of the peak: linear warm-up, constant, linear decay to zero."""
    decay_steps = config.decay_share * config.n_steps
    return min(1.0, (step + 1) / config.warmup_steps, (config.n_steps - step) / decay_steps)


def bits_per_byte(model, tokenizer, text, *, n_tokens=None):
    """Held-out bits per byte: every token but the first is predicted once, with at least half a window of context."""
    size = model.config.n_positions
    step = size // 2
    tokens = encode(tokenizer, [text])[0].astype(np.int64)[:n_tokens]
    n_bytes = len(tokenizer.decode(tokens).encode())
    nats = 0.0
    model.eval()
    with torch.inference_mode():
        for start in range(0, max(len(tokens) - step, 1), step):
            window = torch.from_numpy(tokens[start : start + size])[None]
            logits = model(window).logits[0, :-1].float()
            loss = functional.cross_entropy(logits, window[0, 1:], reduction="none")
            nats += loss[0 if start == 0 else step - 1 :].sum().item()
    model.train()
    return nats / math.log(2) / n_bytes


def shared_ngrams(texts, other, n):
    """Share of the n-word sequences of `other` that occur in any of `texts`, compared as lower-case transcripts."""

    def grams(text):
        words = transcript(text).lower().split()
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    wanted = grams(other)
    found = set()
    for text in texts:
        found |= wanted & grams(text)
    return len(found) / len(wanted)


def write_word_counts(texts, path, *, at_least=5):
    """Write how often each word (lower case) occurs, the commonest first; the frequency table that ships."""
    counts = Counter(word for text in texts for word in transcript(text).lower().split())
    common = sorted(((n, word) for word, n in counts.items() if n >= at_least), key=lambda pair: (-pair[0], pair[1]))
    lines = ["word\tcount", *(f"{word}\t{n}" for n, word in common)]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))


def train(config, reading, model, folder):
    """Train to `config.n_steps`, with a checkpoint every 100 steps; return seconds spent training."""
    checkpoint = folder / "checkpoint.pt"
    optimizers = build_optimizers(model, config)
    first_step, seconds = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        first_step, seconds = state["step"], state["seconds"]
        log.info("continuing from step %d", first_step)

    @torch.compile
    def loss_of(ids):
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        return functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())

    peaks = [config.lr_matrices, config.lr_rest]
    start, recent = time.monotonic(), []
    for step, ids in zip(range(first_step, config.n_steps), reading.batches(first_step), strict=False):
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * learning_rate(step, config)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        recent.append(loss.item())
        if (step + 1) % 20 == 0:
            rate = 20 * ids.numel() / (time.monotonic() - start)
            log.info("step %d loss %.4f, %.0f tokens/s", step + 1, np.mean(recent), rate)
            seconds += time.monotonic() - start
            start, recent = time.monotonic(), []
        if (step + 1) % 100 == 0:
            states = [optimizer.state_dict() for optimizer in optimizers]
            whole = {"model": model.state_dict(), "optimizers": states, "step": step + 1, "seconds": seconds}
            torch.save(whole, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    return seconds


def run(config, data_dir, folder):
    """Train, measure and write the model; return the figures that its card prints."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    books = read_books(data_dir / "eltec_eng" / "eltec_eng_level1_plain.txt.xz")
    held_out = {title: books.pop(title) for title in config.held_out}
    excluded = {title: books.pop(title) for title in config.excluded}
    shipped = folder / "gpt2_novels"
    if not (shipped / "tokenizer.json").exists():
        printed_and_spoken = (s for text in books.values() for s in (text, transcript(text)))
        train_tokenizer(printed_and_spoken, config.vocab_size).save_pretrained(shipped)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(shipped)
    reading = Reading(books, tokenizer, config)
    model = build_model(config, tokenizer)
    seconds = train(config, reading, model, folder)

    write_word_counts(books.values(), folder / "word_counts.tsv.gz")
    model.half().save_pretrained(shipped)
    model = GPT2LMHeadModel.from_pretrained(shipped, dtype=torch.float32)
    figures = {
        "config": config.model_dump(),
        "n_parameters": model.num_parameters(),
        "n_books": len(books),
        "tokens_per_pass": int(sum(len(tokens) for printed, _ in reading.books for tokens in printed)),
        "tokens_seen": config.n_steps * config.batch_size * config.n_positions,
        "minutes": round(seconds / 60, 1),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "bits_per_byte": {title: round(bits_per_byte(model, tokenizer, text), 3) for title, text in held_out.items()},
        "bits_per_byte_excluded": {
            title: round(bits_per_byte(model, tokenizer, text), 3) for title, text in excluded.items()
        },
        "shared_8_grams_with_excluded": {
            title: round(shared_ngrams(books.values(), text, 8), 5) for title, text in excluded.items()
        },
    }
    (shipped / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    (shipped / "README.md").write_text(model_card(figures))
    return figures


def model_card(figures):
    """Say what the model is and is not, with its figures."""
    config = figures["config"]
    measured = {**figures["bits_per_byte"], **figures["bits_per_byte_excluded"]}
    table = "\n".join(f"| {title} | {bits} |" for title, bits in measured.items())
    ((excluded, share),) = figures["shared_8_grams_with_excluded"].items()
    passes = figures["tokens_seen"] / figures["tokens_per_pass"]
    return f"""# GPT-2 trained on English novels

A `GPT2LMHeadModel` of {figures["n_parameters"]:,} parameters ({config["n_layer"]} layers, {config["n_embd"]} wide,
{config["n_head"]} heads, {config["n_positions"]} tokens of context) with its own byte-level BPE of
{config["vocab_size"]:,} tokens, stored as float16. It ships with brainalign so that language-model features can be
computed without a network.

**Trained on** {figures["n_books"]} novels of ELTeC-eng (1840-1920, public domain; Burnard 2021,
10.5281/zenodo.4662490), {figures["tokens_seen"]:,} tokens ({passes:.2f} passes), by `analyses/train_gpt2.py` with seed
{config["seed"]}, in {figures["minutes"]} minutes on {figures["machine"]}. {config["transcript_share"]:.0%} of the text
was shown without punctuation, as forced alignments list words.

**Left out**: {excluded} (*Alice's Adventures in Wonderland*), because data set brennan2016 is recorded while people
listen to it; {share:.3%} of its 8-word sequences occur in the training text. Held out to measure the model:
{", ".join(figures["bits_per_byte"])}.

| novel | bits per byte |
|---|---|
{table}

**What it is for**: features of English words in context, the demo, and tests. **What it is not**: a model of
present-day English, a writer, or a substitute for GPT-2 in a comparison with published brain scores. Its novels carry
the views of their time.

The settings and figures are in `figures.json`. Licence: BSD-3-Clause, as brainalign.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder that holds eltec_eng/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=JSON", help="change fields of Config")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    config = Config(**{key: json.loads(value) for key, value in (item.split("=", 1) for item in arguments.set)})
    print(json.dumps(run(config, arguments.data_dir, arguments.out), indent=2))


if __name__ == "__main__":
    main()
