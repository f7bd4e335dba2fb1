"""Surprisal of words in bits by a language model, with the entropy and rank of what could have come.

One layer, "-", with one unit per quantity. For a word:

- `surprisal`: -log2 p(word | context), bits.
- `surprisal_per_word`: the same; it differs for sentences.
- `entropy_first_token`: entropy of the model's distribution over the first token of the word, bits. It is **not** the
  entropy of the word, but at most that: words that begin with the same token are one outcome.
- `rank_first_token`: rank of the word's first token in that distribution, 1 = the most probable. It is not the rank of
  the word, which would need the probabilities of all words.
- `n_tokens`: tokens that the word is made of.

For a sentence (events with `sentence` and no `word`): its words are what stands between spaces, read with one space
between them; `surprisal` and `n_tokens` are the sums over its words, the others the means.

**Causal models.** A word is what stands between spaces, with the punctuation that is written to it. Tokens of GPT-2,
Llama and their like begin with the space before a word and do not say where it ends, so with B the tokens that begin
with white space or end the text,

    p(word | context) = p(tokens of the word | context) * p(B | context, word) / p(B | context).

The probabilities of all words and of the end of the text then sum to 1. The surprisals of a text sum to
-log2 of p(its tokens) p(B | text) / p(B | beginning): after the last word the text may go on or end. First-token
distributions are over B, given that the word before has ended. The first word of a text without a space before it
begins with any token that is *not* in B, or the text ends at once. A clitic that is attached to the word before
("do" + "n't") begins inside a word: there is no correction at that border, and any token can stand there. Of the ways
to split a word into tokens only the tokenizer's own is counted, and a token that ends in white space counts with no
word. Needs byte-level BPE or SentencePiece.

**Masked models** (BERT) give no probability of a word. `surprisal` is its pseudo-log-likelihood with the sign turned,
in bits: the sum over its tokens of -log2 p(token | the rest of the window). What is hidden with a token is set by
`masking`. These numbers know the words that come later. Entropy and rank are over the whole vocabulary, at the first
token while it is hidden. Every token costs a forward pass over its window.

**Context** is as in `brainalign.extract.text`: nothing crosses a run, a run longer than the model's context is read in
windows that overlap, every token is predicted from at least `min_context` tokens where the run has them. Every window
of a causal model begins with its beginning-of-text token (or the end-of-text token where it has no other), without
which the first word of a run would have no probability.
"""

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.arrays import Activations
from brainalign.errors import BrainalignError
from brainalign.extract import text as hidden_states
from brainalign.extract._hub import resolve_model
from brainalign.extract._parts import Part, fill
from brainalign.extract._reading import window_of
from brainalign.extract._settings import batch_of_some, commit_or_none
from brainalign.extract._tokens import Text, Tokens, event_problems, join_units, stimulus_column, texts_of, tokenize
from brainalign.extract._windows import Window, batches_of, windows_of_texts

log = logging.getLogger(__name__)

LAYER = "-"

Quantity = Literal["surprisal", "surprisal_per_word", "entropy_first_token", "rank_first_token", "n_tokens"]


class Config(BaseModel):
    """Which model, which quantities, and how text is put before it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    quantities: tuple[Quantity, ...] = Field(
        default=("surprisal", "entropy_first_token", "rank_first_token", "n_tokens"),
        min_length=1,
        description="units of the layer, in bits where they are information",
    )
    model: str = Field(
        default="shipped", description="the packaged model, a local folder, or a hub id that was fetched"
    )
    revision: str = Field(
        default="",
        description="commit of a hub id, 40 hexadecimal digits; empty takes the one in the cache and warns",
    )
    masking: Literal["word_left_to_right", "token"] = Field(
        default="word_left_to_right",
        description="masked models: what is hidden with a token: the later tokens of its word (Kauf & Ivanova 2023), or"
        " nothing else (Salazar et al. 2020)",
    )
    min_context: int = Field(
        default=64, ge=0, description="tokens to the left that every token is given where the run has them"
    )
    window: int | None = Field(default=None, ge=2, description="tokens read at once; none = the model's context length")
    attach_clitics: bool = Field(default=True, description="write 'do' + 'n't' as don't, as forced alignments split it")
    weights: tuple[Literal["trained", "untrained"], ...] = Field(
        default=("trained",), min_length=1, description="untrained = same configuration, fresh weights"
    )
    seed: int = Field(default=0, ge=0, description="of the untrained weights")
    batch_size: int | Literal["auto"] = Field(default=8, description="windows per forward pass; auto = by their length")
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="of the computation up to the vocabulary; float32 is stored"
    )
    device: str = Field(default="cpu", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="cpu, cuda, cuda:1, or auto")

    @field_validator("quantities")
    @classmethod
    def _each_once(cls, quantities):
        if len(set(quantities)) < len(quantities):
            raise ValueError("must name each quantity once")
        return quantities

    _commit = field_validator("revision")(commit_or_none)
    _batch = field_validator("batch_size")(batch_of_some)


def layer_names(config: Config) -> tuple[str, ...]:  # noqa: ARG001
    """Give the only layer there is, "-"."""
    return (LAYER,)


def settings(config: Config) -> dict[str, Any]:
    """Give the settings that decide the values: a local model by its name, not its place, and no `batch_size`.

    What stood in that place is in `fingerprint`.
    """
    recorded = config.model_dump(mode="json", exclude={"batch_size"})
    return recorded | {"model": Path(config.model).name if Path(config.model).is_dir() else config.model}


def fingerprint(config: Config, *, weights: Literal["trained", "untrained"] = "trained") -> dict[str, str]:
    """Give what decides the values besides `Config` and the events, as `brainalign.extract.text.fingerprint` does.

    Raises
    ------
    MissingData
        The model is not on this machine.
    """
    return hidden_states.fingerprint(config, weights=weights)


def stimulus_files(events: pd.DataFrame) -> list[Path]:  # noqa: ARG001
    """Give the files that events name: none, words stand in the table itself."""
    return []


def check(events: pd.DataFrame, config: Config) -> list[str]:
    """List what would stop `extract`, without running the model; empty when nothing would.

    Weights that lack the model's head are only found by loading them.
    """
    from brainalign.extract._model import device_of, n_parameters

    problems = event_problems(events)
    try:
        device_of(config.device)
        reading = _Reading(config)
        n_parameters(reading.files.folder)  # reads the headers of the weights, which a cut file does not survive
        if not problems:
            reading.read(events)
    except BrainalignError as error:
        problems.append(str(error))
    return problems


def plan(events: pd.DataFrame, config: Config) -> dict[str, int]:
    """Count what `extract` will do for one kind of weights.

    Returns
    -------
    counts : dict
        `n_events, n_words, n_texts, n_tokens, n_windows` (sequences that the model reads; for masked models one per
        token), `n_tokens_read` (overlaps and special tokens counted), `n_layers, width, n_parameters, bytes_weights`
        (float32, in memory) and `bytes_result`.

    Raises
    ------
    BrainalignError
        As `extract`, as far as it can be told without the model's weights.
    """
    from brainalign.extract._model import n_parameters

    reading = _Reading(config)
    story = reading.read(events)
    n_weights = n_parameters(reading.files.folder)
    n_around = sum(map(len, reading.around))
    return {
        "n_events": len(events),
        "n_words": len(story.event_of_word),
        "n_texts": len(story.tokens),
        "n_tokens": sum(len(tokens.ids) for tokens in story.tokens),
        "n_windows": len(story.windows),
        "n_tokens_read": sum(window.stop - window.start + n_around for window in story.windows),
        "n_layers": 1,
        "width": len(config.quantities),
        "n_parameters": n_weights,
        "bytes_weights": 4 * n_weights,
        "bytes_result": 4 * len(events) * len(config.quantities),
    }


def extract(
    events: pd.DataFrame,
    config: Config,
    *,
    weights: Literal["trained", "untrained"] = "trained",
    scratch: Path | None = None,
) -> dict[str, Activations]:
    """Give the surprisal of every event, and what goes with it.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run`, `onset`, `duration` (s) and `word` or, without it, `sentence`. Words of a run in the order of onsets.
    config : Config
    weights : {"trained", "untrained"}
        "untrained" is the model with fresh weights from `config.seed`; all its tensors differ from the trained ones.
    scratch : Path, optional
        A folder for this very extraction, in which an interrupted one goes on.

    Returns
    -------
    activations : dict of str to Activations
        {"-": (n_events, n_quantities)}, float32, all finite; rows as the events, `columns.unit` names the quantities.
        Ranks of improbable tokens, among thousands of nearly equal ones, can move by one with `batch_size`.

    Raises
    ------
    MissingData
        The model is not on this machine.
    BrainalignError
        An event without text or without a token (it is named), a tokenizer that does not mark where words begin, a
        model without beginning-of-text or mask token or without its head, a context that does not fit, a value that is
        not finite (its word is named).

    References
    ----------
    Pimentel & Meister (2024), How to compute the probability of a word, the correction for tokenizers that mark the
    beginning of words, and for the first word of a text; Oh & Schuler (2024), Leading whitespaces of language models'
    subword vocabulary pose a confound for calculating word probabilities. Salazar et al. (2020), Masked language model
    scoring; Kauf & Ivanova (2023), A better way to do masked language model scoring. The tests enumerate all words over
    a tiny vocabulary, and compare with one plain forward pass of HuggingFace per token.
    """
    reading = _Reading(config)
    story = reading.read(events)
    model = _model(reading, weights=weights, ids=story.tokens[0].ids)
    values = _quantities(_slots(model, reading, story, scratch=scratch), story)
    column = stimulus_column(events)
    rows = events[["run", "onset", "duration", column]].reset_index(drop=True)
    columns = pd.DataFrame({"layer": LAYER, "unit": list(config.quantities)})
    matrix = np.column_stack([values[name] for name in config.quantities]).astype(np.float32)
    return {LAYER: Activations(matrix, rows, columns, _provenance(reading, story, weights=weights))}


def words_table(events: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Give what to look at before words go through a model: how many, how fast, and how the tokenizer splits them.

    Parameters
    ----------
    events : DataFrame
        As for `extract`; events without text are counted here and not refused.
    config : Config
        Its model names the tokenizer.

    Returns
    -------
    table : DataFrame of one row per run, in the order of the events
        `run`; `n_words`; `n_without_text` (events whose text is empty or missing); `n_unknown` (words with a token that
        stands for any unknown one: their surprisal is not their own); `words_per_second` from the first onset to the
        last end, nan where that is no time; `tokens_per_word`; `share_split` (of the words, those of several tokens).
        Only events with text enter, and a run without any has nan.

    Raises
    ------
    BrainalignError
        As `extract`, but for events without text.
    """
    units = events[stimulus_column(events)].to_numpy(object)
    empty = np.array([not isinstance(unit, str) or not unit.strip() for unit in units], dtype=bool)
    told, words = events[~empty], _words_of(events[~empty], config)
    rows = []
    for run in pd.unique(events["run"]):
        n_without = np.count_nonzero(empty & (events["run"] == run).to_numpy())
        rows.append(_row(run, told[told["run"] == run], words[words["run"] == run], n_without=n_without))
    return pd.DataFrame(rows)


def _words_of(events: pd.DataFrame, config: Config) -> pd.DataFrame:
    """One row per word: `run, n_tokens, unknown`."""
    if not len(events):
        return pd.DataFrame({"run": events["run"], "n_tokens": np.zeros(0), "unknown": np.zeros(0, dtype=bool)})
    story = _Reading(config).read(events)
    run = events["run"].to_numpy(object)[story.event_of_word]
    return pd.DataFrame({"run": run, "n_tokens": story.n_tokens, "unknown": story.unknown})


def _row(run: str, events: pd.DataFrame, words: pd.DataFrame, *, n_without: int) -> dict[str, Any]:
    seconds = (events["onset"] + events["duration"].fillna(0.0)).max() - events["onset"].min()
    return {
        "run": run,
        "n_words": len(words),
        "n_without_text": n_without,
        "n_unknown": int(words["unknown"].sum()),
        "words_per_second": len(words) / seconds if seconds > 0 else np.nan,
        "tokens_per_word": words["n_tokens"].mean(),
        "share_split": (words["n_tokens"] > 1).mean(),
    }


class _Story:
    """Events as words, tokens and windows; a slot is a place in a text where a token stands or, at its end, could.

    Parameters
    ----------
    events : DataFrame
    tokens : list of Tokens
        One per text; their `event` is the number of the word among all words.
    event_of_word : array of int of shape (n_words,)
        Positions in the table of events.
    borders : list of arrays of int of shape (n_tokens + 1,)
        What can stand in each slot of a text.
    windows : list of Window
        What the model reads; every slot is kept by exactly one.
    unknown_id : int, optional
        The token that stands for any unknown one.
    """

    def __init__(self, events, tokens, event_of_word, *, borders, windows, unknown_id):
        self.events = events
        self.tokens = tokens
        self.event_of_word = event_of_word
        self.borders = borders
        self.windows = windows
        word = np.concatenate([of_text.event for of_text in tokens])
        ids = np.concatenate([of_text.ids for of_text in tokens])
        self.n_tokens = np.bincount(word, minlength=len(event_of_word))
        self.unknown = np.zeros(len(event_of_word), dtype=bool)
        if unknown_id is not None:
            self.unknown[word[ids == unknown_id]] = True
        lengths = [len(of_text.ids) + 1 for of_text in tokens]
        self.first_slot = np.cumsum([0, *lengths[:-1]])  # of every text
        self.n_slots = sum(lengths)

    def words_from_to(self) -> tuple[np.ndarray, np.ndarray]:
        """Give for every word its first slot and the first slot after it, each of shape (n_words,)."""
        start, stop = np.empty_like(self.n_tokens), np.empty_like(self.n_tokens)
        for first, tokens in zip(self.first_slot, self.tokens, strict=True):
            inside = np.flatnonzero(np.diff(tokens.event, prepend=-1))
            start[tokens.event[inside]] = first + inside
            stop[tokens.event[inside]] = first + np.append(inside[1:], len(tokens.ids))
        return start, stop

    def name_of_slot(self, slot: int) -> str:
        """Call a slot by the event whose token stands there, or which ends there."""
        i_text = int(np.searchsorted(self.first_slot, slot, side="right")) - 1
        of_text = self.tokens[i_text].event
        word = of_text[min(slot - self.first_slot[i_text], len(of_text) - 1)]
        i_event = int(self.event_of_word[word])
        column = stimulus_column(self.events)
        event = self.events.iloc[i_event]
        return f"{column} {event[column]!r} (run {event['run']!r}, event {i_event})"


class _Reading:
    """A model's configuration and tokenizer, and how they read a table of events; everything that needs no weights.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config):
        from brainalign.extract._model import context_length, load_config, load_tokenizer, reads_both_ways

        self.config = config
        self.files = resolve_model(config.model, revision=config.revision)
        self.model_config = load_config(self.files.folder)
        self.tokenizer = load_tokenizer(self.files.folder)
        self.both_ways = reads_both_ways(self.model_config)
        self.around = _special_tokens(self.tokenizer, both_ways=self.both_ways)
        masks = [self.tokenizer.mask_token_id] if self.both_ways else _ends(self.tokenizer)
        self.special = np.array([*self.around[0], *self.around[1], *masks], dtype=np.int64)
        self.window = window_of(config, context_length(self.model_config, self.tokenizer))
        n_around = sum(map(len, self.around))
        self.size = self.window - n_around
        sides = 2 if self.both_ways else 1
        if self.size <= sides * config.min_context:
            raise BrainalignError(
                f"min_context {config.min_context}{' on both sides' if self.both_ways else ''} leaves no token to keep"
                f" in a window of {self.window} tokens, {n_around} of them special; it must be at most"
                f" {(self.size - 1) // sides}"
            )
        self.begins = self._begins()

    def _begins(self) -> np.ndarray:
        from brainalign.extract._word_probability import begins_word

        if self.both_ways:
            return np.zeros(0, dtype=bool)
        return begins_word(self.tokenizer, self.model_config.vocab_size)

    def read(self, events: pd.DataFrame) -> _Story:
        """Turn events into words, tokens and windows."""
        from brainalign.extract._model import require_vocabulary

        texts, event_of_word = _texts_of_words(events)
        attach = self.config.attach_clitics and stimulus_column(events) == "word"
        tokens = tokenize(texts, self.tokenizer, attach_clitics=attach)
        ids = np.concatenate([self.special, *(of_text.ids for of_text in tokens)])
        require_vocabulary(ids, tokenizer=self.tokenizer, model_config=self.model_config, folder=self.files.folder)
        windows = windows_of_texts(
            [len(of_text.ids) for of_text in tokens],
            size=self.size,
            before=self.config.min_context,
            after=self.config.min_context if self.both_ways else 0,
        )
        if self.both_ways:
            windows = [w._replace(first=t, last=t + 1) for w in windows for t in range(w.first, w.last)]
        unknown_id, ends = self.tokenizer.unk_token_id, _ends(self.tokenizer)
        return _Story(
            events,
            tokens,
            event_of_word,
            borders=[self._borders(*pair, attach=attach) for pair in zip(texts, tokens, strict=True)],
            windows=windows,
            unknown_id=None if unknown_id in ends else unknown_id,
        )

    def _borders(self, text: Text, tokens: Tokens, *, attach: bool) -> np.ndarray:
        from brainalign.extract._word_probability import ANY, SPACED, UNSPACED

        first = np.flatnonzero(np.diff(tokens.event, prepend=-1))  # (n_units,)
        border = np.zeros(len(tokens.ids) + 1, dtype=np.int64)
        border[first] = ANY
        if self.both_ways:
            return border
        marked = self.begins[tokens.ids[first]]
        written, owner = join_units(text.units, attach_clitics=attach)
        starts = np.searchsorted(owner, np.arange(len(text.units)))
        spaced = np.array([written[start] == " " for start in starts])
        wrong = np.flatnonzero(spaced & ~marked)
        if len(wrong):
            i = int(wrong[0])
            token = self.tokenizer.convert_ids_to_tokens(int(tokens.ids[first[i]]))
            raise BrainalignError(
                f"{text.units[i]!r} (run {text.run!r}) begins with the token {token!r}, which does not hold the space"
                f" before it: {type(self.tokenizer).__name__} does not mark where words begin as byte-level BPE and"
                " SentencePiece do, so the probability of a word cannot be told"
            )
        border[first[spaced]] = SPACED
        border[0] = SPACED if marked[0] else UNSPACED
        border[-1] = SPACED
        return border

    def kept_slots(self, window: Window, n_tokens: int) -> np.ndarray:
        """Give the slots of a text that a window tells of: of its kept tokens, and the one after the text."""
        after_text = not self.both_ways and window.last == n_tokens
        return np.arange(window.first, window.last + after_text)

    def passage(self, window: Window, story: _Story):
        """Give what the model reads of a window, and where the slots are that it tells of."""
        from brainalign.extract._word_probability import NO_TOKEN, Passage

        tokens, border = story.tokens[window.i_text], story.borders[window.i_text]
        begin, end = self.around
        slots = self.kept_slots(window, len(tokens.ids))
        ids = tokens.ids[window.start : window.stop].copy()
        at = len(begin) + slots - window.start
        if self.both_ways:
            ids[self._hidden(window, tokens) - window.start] = self.tokenizer.mask_token_id
        else:
            at = at - 1  # the output of a token tells of the next one
        ids = np.concatenate([np.array(begin, np.int64), ids, np.array(end, np.int64)])
        return Passage(ids, at, np.append(tokens.ids, NO_TOKEN)[slots], border[slots])

    def _hidden(self, window: Window, tokens: Tokens) -> np.ndarray:
        if self.config.masking == "token":
            return np.array([window.first])
        later = np.arange(window.first, window.stop)
        return later[tokens.event[later] == tokens.event[window.first]]


def _special_tokens(tokenizer, *, both_ways: bool) -> tuple[list[int], list[int]]:
    from brainalign.extract._model import special_tokens

    if both_ways:
        if tokenizer.mask_token_id is None:
            raise BrainalignError(
                f"the tokenizer of {tokenizer.name_or_path} has no mask token: a masked model tells the probability of"
                " a token only where one stands"
            )
        return special_tokens(tokenizer, both_ways=True, prepend_bos=False)
    ends = _ends(tokenizer)
    if not ends:
        raise BrainalignError(
            f"the tokenizer of {tokenizer.name_or_path} has neither a beginning-of-text nor an end-of-text token: the"
            " first word of a run would have no probability; set bos_token in its tokenizer_config.json"
        )
    return ends[:1], []


def _ends(tokenizer) -> list[int]:
    """Give the tokens that stand between texts, the beginning-of-text token first."""
    return [token for token in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None]


def _texts_of_words(events: pd.DataFrame) -> tuple[list[Text], np.ndarray]:
    """Give texts whose units are words, numbered through, and the event of every word."""
    texts = texts_of(events)
    if stimulus_column(events) == "word":
        return texts, np.arange(len(events))
    words = [tuple(text.units[0].split()) for text in texts]
    ends = np.cumsum([len(of_text) for of_text in words])
    numbered = [
        Text(text.run, np.arange(end - len(of_text), end), of_text)
        for text, of_text, end in zip(texts, words, ends, strict=True)
    ]
    return numbered, np.repeat(np.arange(len(events)), [len(of_text) for of_text in words])


def _model(reading: _Reading, *, weights: str, ids: np.ndarray):
    """Load the model or build its twin (always in float32), then move it to where and how it computes."""
    from brainalign.extract._model import build_untrained, device_of, load_trained, require_left_to_right
    from brainalign.extract._word_probability import compute_in

    config, both_ways = reading.config, reading.both_ways
    device = device_of(config.device)
    kind = "AutoModelForMaskedLM" if both_ways else "AutoModelForCausalLM"
    model = load_trained(reading.files.folder, reading.model_config, kind=kind, not_needed=())
    if weights == "untrained":
        model = build_untrained(model, seed=config.seed, kind=kind)
    model = compute_in(model, device=device, dtype=config.dtype)
    if not both_ways:
        require_left_to_right(model.base_model, ids)
    return model


def _slots(model, reading: _Reading, story: _Story, *, scratch: Path | None) -> np.ndarray:
    """Give what the model says of every slot of every text, (n_slots, 4); see `_word_probability.probabilities`."""
    from brainalign.extract._word_probability import probabilities, sets_of_tokens

    sets = {} if reading.both_ways else sets_of_tokens(reading.begins, _ends(reading.tokenizer))

    def slots_of(batch: list[Window]) -> np.ndarray:
        kept = [story.first_slot[w.i_text] + reading.kept_slots(w, len(story.tokens[w.i_text].ids)) for w in batch]
        return np.concatenate(kept)

    def compute(batch: list[Window]) -> dict[str, np.ndarray]:
        table = probabilities(model, [reading.passage(window, story) for window in batch], sets)
        bad = slots_of(batch)[~np.isfinite(table).all(axis=1)]
        if len(bad):
            raise BrainalignError(
                f"layer {LAYER}: {len(bad)} probabilities are not finite, the first is of"
                f" {story.name_of_slot(int(bad.min()))}"
            )
        return {LAYER: table}

    parts, order, start = [], [], 0
    for batch in batches_of(story.windows, reading.config.batch_size, device=model.device.type):
        slots = slots_of(batch)
        parts.append(Part(start, start + len(slots), batch, f"what was read with {story.name_of_slot(int(slots[0]))}"))
        order.append(slots)
        start += len(slots)
    found = fill(parts, compute, n_rows=start, scratch=scratch)[LAYER]
    table = np.zeros((story.n_slots, found.shape[1]))  # masked models say nothing of the slot after a text
    table[np.concatenate(order)] = found
    return table


def _quantities(table: np.ndarray, story: _Story) -> dict[str, np.ndarray]:
    """Put slots together to words and words to events: quantity to (n_events,)."""
    from brainalign.extract._word_probability import BORDER, ENTROPY, RANK, TOKEN

    start, stop = story.words_from_to()  # (n_words,)
    so_far = np.concatenate([[0.0], np.cumsum(table[:, TOKEN])])
    log_p = so_far[stop] - so_far[start] + table[stop, BORDER] - table[start, BORDER]
    n_words = np.bincount(story.event_of_word)
    total = {
        "surprisal": -log_p / np.log(2),
        "entropy_first_token": table[start, ENTROPY],
        "rank_first_token": table[start, RANK],
        "n_tokens": story.n_tokens,
    }
    total = {name: np.bincount(story.event_of_word, weights=values) for name, values in total.items()}
    return {
        "surprisal": total["surprisal"],
        "surprisal_per_word": total["surprisal"] / n_words,
        "entropy_first_token": total["entropy_first_token"] / n_words,
        "rank_first_token": total["rank_first_token"] / n_words,
        "n_tokens": total["n_tokens"],
    }


def _provenance(reading: _Reading, story: _Story, *, weights: str) -> dict[str, Any]:
    config, n_unknown = reading.config, int(story.unknown.sum())
    if n_unknown:
        log.warning(
            "%s: %d words hold a token for the unknown; their surprisal is that of any such word",
            config.model,
            n_unknown,
        )
    return {
        "extractor": "surprisal",
        "settings": settings(config),
        "weights": weights,
        "commit": reading.files.commit,
        "files": fingerprint(config, weights=weights),
        "model_type": reading.model_config.model_type,
        "reads": "both ways" if reading.both_ways else "left to right",
        "information": "bits",
        "special_tokens": {"begin": list(reading.around[0]), "end": list(reading.around[1])},
        "window": reading.window,
        "n_words": len(story.event_of_word),
        "n_words_unknown": n_unknown,
        "n_tokens": int(story.n_tokens.sum()),
        "n_windows": len(story.windows),
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }
