import numpy as np
import pytest
import soundfile

from brainalign.arrays import read_tsv
from brainalign.data._simulated_bids.settings import Settings
from brainalign.data._simulated_bids.stimuli import (
    AUDIO_SFREQ,
    SILENCE_AFTER,
    SOUND_ONSET,
    events_of,
    loudness,
    tell_story,
)
from brainalign.data.simulated import STORY, read_words
from brainalign.errors import MissingData
from brainalign.extract import acoustics, words


def test_the_packaged_frequencies_are_those_of_the_extractor():
    table = read_tsv(STORY / "log_frequency.tsv")
    assert sorted(table["word"]) == sorted(set(read_words()["word"]))
    expected = words.log_frequency(table["word"].tolist(), words.read_counts(words.SHIPPED_COUNTS))
    assert table["log_frequency"].to_numpy() == pytest.approx(expected, abs=1e-6)


def test_a_word_without_frequency_is_named(tmp_path, monkeypatch):
    from brainalign.data._simulated_bids import stimuli

    lines = (STORY / "log_frequency.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "log_frequency.tsv").write_text("".join(line for line in lines if not line.startswith("The\t")))
    monkeypatch.setattr(stimuli, "STORY", tmp_path)
    with pytest.raises(MissingData, match=r"log_frequency.tsv: 1 words are not there, the first 'The'"):
        tell_story(Settings(n_runs=1, run_duration=40.0))


def test_the_story_is_cut_before_the_end_of_the_run(settings, story):
    everything = read_words()
    for run in story:
        ends = run.words["onset"] + run.words["duration"]
        assert ends.max() <= settings.run_duration - SILENCE_AFTER
        whole = everything[everything["run"] == str(int(run.label))]
        following = whole[whole["onset"] > run.words["onset"].max()].iloc[0]
        assert following["onset"] + following["duration"] > settings.run_duration - SILENCE_AFTER
        assert run.words["word"].tolist() == whole["word"].tolist()[: len(run.words)]


def test_values_are_standardised_over_all_runs(story):
    values = np.concatenate([run.values[["length", "log_frequency"]] for run in story])
    assert values.mean(axis=0) == pytest.approx([0, 0], abs=1e-9)
    assert values.std(axis=0) == pytest.approx([1, 1])
    assert all((run.values["rate"] == 1).all() for run in story)


def test_the_events_are_the_sound_and_the_words_within_it(story):
    for run in story:
        events = events_of(run)
        assert events["trial_type"].tolist() == ["sound"] + ["word"] * len(run.words)
        assert events["onset"].is_monotonic_increasing
        assert events["onset"].is_unique
        assert (events["audio_start"] - (events["onset"] - SOUND_ONSET)).abs().max() < 1e-3
        ends = events["audio_start"] + events["duration"]
        assert ends[1:].max() <= events["duration"][0]


def test_the_written_sound_is_the_planted_one(written, story):
    for run in story:
        sound, sfreq = soundfile.read(written / "stimuli" / run.audio)
        assert sfreq == AUDIO_SFREQ
        assert np.abs(sound - run.speech.sound).max() < 1e-4
        first = run.words.iloc[1]
        heard = sound[round((first["onset"] - SOUND_ONSET) * sfreq) :][: round(first["duration"] * sfreq)]
        assert heard.std() > 0.01


def test_the_acoustic_envelope_of_the_written_sound_is_the_planted_series(written, story):
    """So that the extractor `acoustics` predicts what the planted envelope drives."""
    run = story[0]
    events = events_of(run).iloc[[0]].assign(run="01", audio=str(written / "stimuli" / run.audio), audio_start=0.0)
    config = acoustics.Config(layers=("envelope",), step=0.02)
    envelope = acoustics.extract(events, config)["envelope"]
    middle = envelope.rows["onset"] + config.step / 2
    planted = np.interp(middle, 0.005 * np.arange(12000), loudness(run, step=0.005, n_samples=12000))
    assert np.corrcoef(envelope.values[:, 0], planted)[0, 1] > 0.97


def test_loudness_is_on_the_clock_of_the_run(story):
    run = story[0]
    series = loudness(run, step=0.01, n_samples=6000)
    first = run.words["onset"].iloc[0]
    assert not series[: round(first / 0.01)].any()
    assert series[round(first / 0.01) + 1] > 0
    i = round((first + run.words["duration"].iloc[0] / 2) / 0.01)
    assert series[i] == pytest.approx(
        run.speech.envelope[round((i * 0.01 - SOUND_ONSET) * AUDIO_SFREQ)] ** 0.6, rel=0.02
    )


def test_another_seed_changes_the_voice_and_not_the_words(settings, story):
    other = tell_story(settings.model_copy(update={"seed": 4}))[0]
    assert other.words.equals(story[0].words)
    assert not np.allclose(other.speech.envelope, story[0].speech.envelope)
