import numpy as np
import pytest

from brainalign.data._simulated_bids import meeg, sensors
from brainalign.data._simulated_bids.settings import PLANTED, Settings
from brainalign.data._simulated_bids.stimuli import loudness, tell_story

SFREQ = 100.0
ONE_RUN = Settings(n_runs=1, run_duration=100.0, sfreq=SFREQ, gain_sd=0.0)


@pytest.fixture(scope="module")
def told():
    return tell_story(ONE_RUN)


@pytest.fixture(scope="module")
def courses(told):
    return meeg.planted_courses(told, ONE_RUN)[0]


@pytest.fixture(scope="module", params=["meg", "eeg"])
def who(request):
    return meeg.person(request.param, "01", ONE_RUN)


def scaled(who):
    """The channels that amplitudes are stated for: magnetometers or electrodes, the bad one left out."""
    kinds = sensors.meg_info(SFREQ).get_channel_types() if who.modality == "meg" else ["eeg"] * 32
    bad = sensors.BAD[who.modality]
    return np.array(
        [
            kind in {"mag", "eeg"} and name != bad
            for kind, name in zip(kinds[: len(who.noise.channels)], who.noise.channels, strict=True)
        ]
    )


def correlations(a, b):
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    with np.errstate(invalid="ignore"):
        return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


def test_courses_have_variance_one_and_are_silent_before_the_story(told, courses):
    assert courses.shape == (10000, len(PLANTED))
    assert courses.std(axis=0) == pytest.approx(1)
    first = told[0].words["onset"].iloc[0]
    assert np.abs(courses[: round(first * SFREQ)]).max() < 1e-9


def test_planted_latencies_are_recovered_from_the_courses_within_10_ms(told, courses):
    run, n_samples = told[0], len(courses)
    X = np.zeros((n_samples, 4))
    X[:, 0] = loudness(run, step=1 / SFREQ, n_samples=n_samples)
    np.add.at(X[:, 1:], np.rint(run.words["onset"].to_numpy() * SFREQ).astype(int), run.values.to_numpy())
    columns = {"envelope": 0, "rate": 1, "length": 2, "log_frequency": 3}
    delays = np.arange(round(0.7 * SFREQ))
    delayed = np.hstack([np.vstack([np.zeros((d, 4)), X[: n_samples - d]]) for d in delays])
    kernel = np.linalg.solve(delayed.T @ delayed + 1e-3 * np.eye(delayed.shape[1]), delayed.T @ courses)
    kernel = kernel.reshape(len(delays), 4, len(PLANTED))
    for i, source in enumerate(PLANTED):
        found = delays[kernel[:, columns[source.feature], i].argmax()] / SFREQ
        assert found == pytest.approx(source.latency, abs=0.0101), source.name


def test_each_source_alone_reaches_the_ceiling_at_its_best_channel(who):
    planted = meeg.planted_in(who)
    assert planted["noise_ceiling"].to_numpy() == pytest.approx(ONE_RUN.noise_ceiling, abs=1e-6)
    for i, target in enumerate(planted["target"]):
        share = who.planted[:, i] ** 2 / who.noise.variance
        assert who.noise.channels[share.argmax()] == target


def test_dipoles_have_the_size_of_those_in_the_brain(who):
    assert (who.amplitudes > 1e-9).all()
    assert (who.amplitudes < 1e-7).all()


@pytest.mark.parametrize("artefacts", [False, True], ids=["clean", "as written"])
def test_the_stated_ceiling_is_the_correlation_of_signal_and_recording(who, courses, artefacts):
    measured, stated = [], []
    for seed in range(8):
        recording = meeg.record(who, courses, run="01", settings=ONE_RUN.model_copy(update={"seed": seed}))
        written = recording.signal + recording.noise + artefacts * recording.artefacts
        measured.append(correlations(recording.signal, written))
        table = meeg.ceilings_of(who, courses, np.stack([recording.blink, recording.beat], axis=1))
        stated.append(table["noise_ceiling" if artefacts else "noise_ceiling_clean"])
    good = np.array(who.noise.channels) != sensors.BAD[who.modality]
    difference = (np.mean(measured, axis=0) - np.mean(stated, axis=0))[good]
    assert np.max(stated) > 0.35
    assert abs(difference.mean()) < 0.01
    assert np.abs(difference).max() < 0.05
    assert np.array(stated)[:, ~good].tolist() == [[0.0]] * 8


def test_the_noise_has_the_variance_that_is_stated(who, courses):
    noise = np.concatenate(
        [
            meeg.record(who, courses, run="01", settings=ONE_RUN.model_copy(update={"seed": seed})).noise
            for seed in range(6)
        ]
    )
    assert noise.var(axis=0) / who.noise.variance == pytest.approx(1, abs=0.25)
    assert np.mean(noise.var(axis=0) / who.noise.variance) == pytest.approx(1, abs=0.05)


def test_noise_is_as_large_as_in_true_recordings(who):
    sd = np.sqrt(who.noise.variance)[scaled(who)]
    low, high = {"meg": (5e-14, 8e-13), "eeg": (3e-6, 3e-5)}[who.modality]
    assert low < sd.min() < sd.max() < high


def test_blinks_are_frontal(who):
    places = channel_places(who)
    blink = np.abs(who.noise.blink) * scaled(who)
    front = places[:, 1] > 0.05
    assert front[blink.argsort()[-4:]].all()
    assert blink.max() == pytest.approx({"meg": 1.5e-12, "eeg": 120e-6}[who.modality])
    assert blink[places[:, 1] < -0.03].max() < 0.3 * blink.max()


def test_blinks_are_positive_and_largest_at_fp1_and_fp2():
    blink = meeg.noise_of("eeg").blink
    largest = np.argsort(blink)[::-1][:2]
    assert {sensors.EEG_NAMES[i] for i in largest} == {"Fp1", "Fp2"}


def test_alpha_is_posterior(who):
    places = channel_places(who)
    strength = np.sqrt((who.noise.alpha**2).sum(axis=1))
    assert places[np.where(scaled(who), strength, 0).argmax(), 1] < -0.03
    assert strength[scaled(who)].max() == pytest.approx(meeg.ALPHA_SD[who.modality])


def test_the_heart_is_seen_low_on_the_left_by_meg():
    who = meeg.person("meg", "01", ONE_RUN)
    places = channel_places(who)
    beat = np.abs(who.noise.beat) * scaled(who)
    strongest = places[beat.argsort()[-6:]]
    assert strongest[:, 0].mean() < -0.02
    assert strongest[:, 2].mean() < sensors.CENTRE[2]


def channel_places(who):
    info = sensors.meg_info(SFREQ) if who.modality == "meg" else sensors.eeg_info(SFREQ)
    places = np.array([channel["loc"][:3] for channel in info["chs"][: len(who.noise.channels)]])
    return places + sensors.CENTRE if who.modality == "meg" else places


def test_the_bad_channel_is_noise_alone(who, courses):
    bad = who.noise.channels.index(sensors.BAD[who.modality])
    recording = meeg.record(who, courses, run="01", settings=ONE_RUN)
    assert not recording.signal[:, bad].any()
    assert not recording.artefacts[:, bad].any()
    like_it = {"meg": "3", "eeg": ""}[who.modality]
    others = [i for i, name in enumerate(who.noise.channels) if i != bad and name.endswith(like_it)]
    assert recording.noise[:, bad].std() > 3 * recording.noise[:, others].std(axis=0).max()


def test_nothing_is_planted_at_ceiling_0(courses):
    settings = ONE_RUN.model_copy(update={"noise_ceiling": 0.0})
    who = meeg.person("meg", "01", settings)
    assert not meeg.record(who, courses, run="01", settings=settings).signal.any()
    assert not meeg.ceilings_of(who, courses, np.zeros((10, 2)))["noise_ceiling"].any()


def test_people_differ_in_gain_place_and_noise(courses):
    settings = ONE_RUN.model_copy(update={"n_subjects": 2, "gain_sd": 0.3})
    one, two = (meeg.person("meg", subject, settings) for subject in ("01", "02"))
    moved = np.linalg.norm(one.positions - two.positions, axis=1)
    assert (moved > 0.0005).all()
    assert (moved < 0.02).all()
    assert abs(np.log(np.median(one.amplitudes / two.amplitudes))) > 0.05
    noises = [meeg.record(who, courses, run="01", settings=settings).noise[:, 2] for who in (one, two)]
    assert abs(np.corrcoef(*noises)[0, 1]) < 0.3


def test_runs_and_modalities_have_noise_of_their_own(courses):
    who = meeg.person("eeg", "01", ONE_RUN)
    first, again, second = (
        meeg.record(who, courses, run=run, settings=ONE_RUN).noise[:, 0] for run in ("01", "01", "02")
    )
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.3


def test_a_person_is_the_same_however_many_there_are():
    alone = meeg.person("meg", "01", ONE_RUN)
    among = meeg.person("meg", "01", ONE_RUN.model_copy(update={"n_subjects": 5}))
    assert np.array_equal(alone.planted, among.planted)
