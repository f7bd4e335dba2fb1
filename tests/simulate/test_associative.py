"""Memories g = M f. Oracles: the rules pair by pair in numpy, numpy.linalg.pinv, eigenvalues, closed forms."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from brainalign.errors import BrainalignError, Misaligned
from brainalign.simulate.associative import (
    add_noise,
    batch_bound,
    batch_gain,
    cyclic_bound,
    cyclic_gain,
    hebb,
    hebb_similarity,
    identified,
    learn,
    lesion,
    limit,
    pseudo_inverse,
    random_patterns,
    rate,
    signal_to_noise,
    similarity,
)

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
GAINS = [batch_gain, cyclic_gain]


def normal(n_networks, n_inputs, n_outputs, n_pairs, seed=0, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    return (
        torch.as_tensor(rng.standard_normal((n_networks, n_inputs, n_pairs)), dtype=dtype),
        torch.as_tensor(rng.standard_normal((n_networks, n_outputs, n_pairs)), dtype=dtype),
    )


def pair_by_pair(keys, answers, step, n_sweeps, start):
    """Delta m_ij = eta (t_i - g_i) f_j."""
    memory = start.copy()
    for _ in range(n_sweeps):
        for f, t in zip(keys.T, answers.T, strict=True):
            memory += step * np.outer(t - memory @ f, f)
    return memory


@pytest.fixture
def measured():
    """The 20 random keys of 64 units on which the figures of the design notes were measured."""
    keys = np.random.RandomState(0).randn(64, 20)
    answers = np.random.default_rng(1).standard_normal((32, 20))
    return torch.as_tensor(keys)[None], torch.as_tensor(answers)[None]


# the rules


@pytest.mark.parametrize(("n_inputs", "n_pairs"), [(7, 4), (4, 9)])
@pytest.mark.parametrize("with_start", [False, True])
def test_cyclic_learning_is_the_rule_pair_by_pair(n_inputs, n_pairs, with_start):
    keys, answers = normal(3, n_inputs, 5, n_pairs)
    start = normal(3, n_inputs, 5, 1, seed=5)[1] @ normal(3, n_inputs, 5, 1, seed=6)[0].mT if with_start else None
    steps = torch.tensor([0.01, 0.05, 0.2], dtype=torch.float64)
    learned = learn(keys, answers, cyclic_gain(keys, step=steps), n_sweeps=4, start=start).memory
    for i in range(3):
        begun = np.zeros((5, n_inputs)) if start is None else start[i].numpy()
        expected = pair_by_pair(keys[i].numpy(), answers[i].numpy(), float(steps[i]), 4, begun)
        np.testing.assert_allclose(learned[i], expected, rtol=1e-10, atol=1e-12)


def test_batch_learning_adds_the_errors_of_all_pairs_at_once():
    keys, answers = normal(2, 6, 3, 4)
    learned = learn(keys, answers, batch_gain(keys, step=0.05), n_sweeps=3)
    for i in range(2):
        f, g, memory = keys[i].numpy(), answers[i].numpy(), np.zeros((3, 6))
        errors = [np.sqrt(np.mean((g - memory @ f) ** 2))]
        for _ in range(3):
            memory = memory + 0.05 * sum(np.outer(g[:, k] - memory @ f[:, k], f[:, k]) for k in range(4))
            errors.append(np.sqrt(np.mean((g - memory @ f) ** 2)))
        np.testing.assert_allclose(learned.memory[i], memory, atol=1e-14)
        np.testing.assert_allclose(learned.errors[i], errors, atol=1e-14)


@pytest.mark.parametrize(("n_inputs", "n_pairs"), [(12, 5), (5, 12), (6, 6)])
def test_least_squares_is_numpys_pseudo_inverse(n_inputs, n_pairs):
    keys, answers = normal(3, n_inputs, 4, n_pairs)
    stored = pseudo_inverse(keys, answers)
    for i in range(3):
        expected = answers[i].numpy() @ np.linalg.pinv(keys[i].numpy())
        np.testing.assert_allclose(stored[i], expected, rtol=1e-9, atol=1e-10)


def test_hebb_is_a_sum_of_outer_products():
    keys, answers = normal(2, 6, 3, 4)
    expected = sum(np.outer(answers[1, :, k], keys[1, :, k]) for k in range(4))
    np.testing.assert_allclose(hebb(keys, answers)[1], expected, atol=1e-14)


def test_with_orthonormal_keys_hebb_is_least_squares_and_one_pass_is_enough():
    keys, answers = normal(5, 64, 32, 20)
    keys = torch.linalg.qr(keys).Q
    torch.testing.assert_close(hebb(keys, answers), pseudo_inverse(keys, answers), rtol=0, atol=1e-13)
    for gain in GAINS:
        learned = learn(keys, answers, gain(keys, step=1.0), n_sweeps=1)
        torch.testing.assert_close(learned.memory, hebb(keys, answers), rtol=0, atol=1e-13)
        assert float(learned.errors[:, 1].max()) < 1e-14


def test_with_other_keys_hebb_is_not_least_squares():
    keys, answers = normal(5, 64, 32, 20)
    keys = keys / keys.norm(dim=1, keepdim=True)
    assert float((hebb(keys, answers) - pseudo_inverse(keys, answers)).norm(dim=(1, 2)).min()) > 1


# A4: the bound of the step


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n_inputs", "n_pairs"), [(64, 20), (16, 16), (20, 50)])
def test_batch_learning_diverges_exactly_past_two_over_lambda_max(seed, n_inputs, n_pairs):
    keys, answers = (values.repeat(6, 1, 1) for values in normal(1, n_inputs, 3, n_pairs, seed=seed))
    shares = torch.tensor([0.5, 0.9, 0.999, 1.001, 1.01, 1.1], dtype=torch.float64)
    eigenvalues = np.linalg.eigvalsh(keys[0].numpy() @ keys[0].numpy().T)
    assert float(batch_bound(keys)[0]) == pytest.approx(2 / eigenvalues[-1], rel=1e-12)
    gain = batch_gain(keys, step=shares * batch_bound(keys))
    least = pseudo_inverse(keys, answers)
    learned = learn(keys, answers, gain, n_sweeps=2000)
    grows = (learned.errors[:, -1] > learned.errors[:, 1000] * (1 + 1e-9)) & (learned.errors[:, -1] > 1e-12)
    assert grows.tolist() == [False, False, False, True, True, True]
    away = (learned.memory - least).norm(dim=(1, 2))
    assert bool((away[:3] < least[:3].norm(dim=(1, 2))).all())
    assert float(away[3]) > float(away[2])
    assert bool((away[4:] > 1e6).all())


def test_at_the_bound_itself_the_error_neither_shrinks_nor_grows():
    keys, answers = normal(3, 12, 3, 5)
    learned = learn(keys, answers, batch_gain(keys, step=batch_bound(keys)), n_sweeps=2000)
    torch.testing.assert_close(learned.errors[:, -1], learned.errors[:, -3], rtol=1e-9, atol=0)
    assert float(learned.errors[:, -1].min()) > 1e-3


def test_the_measured_bounds_and_errors(measured):
    """Section 16 of the design notes: lambda_max 126.9, bound .01576, cyclic bound .02495, 4e-15, 1e26."""
    keys, answers = measured
    bound = batch_bound(keys)
    assert float(2 / bound) == pytest.approx(126.9, abs=0.05)
    assert float(bound) == pytest.approx(0.01576, abs=1e-5)
    assert float(cyclic_bound(keys)) == pytest.approx(0.02495, abs=1e-5)
    assert float(learn(keys, answers, batch_gain(keys, step=0.9 * bound), n_sweeps=3000).errors[0, -1]) < 4e-15
    diverged = float(learn(keys, answers, batch_gain(keys, step=1.01 * bound), n_sweeps=3000).errors[0, -1])
    assert 1e23 < diverged < 1e27
    for step, below in ((0.01, 1e-14), (0.02, 1e-14)):
        assert float(learn(keys, answers, cyclic_gain(keys, step=step), n_sweeps=1000).errors[0, -1]) < below
    assert float(learn(keys, answers, cyclic_gain(keys, step=0.03), n_sweeps=1000).errors[0, -1]) > 1e20


@pytest.mark.parametrize("seed", range(5))
def test_cyclic_learning_with_keys_of_one_length_diverges_exactly_past_two_over_its_square(seed):
    keys, answers = (values.repeat(2, 1, 1) for values in random_patterns((32, 4), 12, seed=seed))
    torch.testing.assert_close(cyclic_bound(keys), torch.full((2,), 2 / 32, dtype=torch.float64))
    shares = torch.tensor([0.999, 1.001], dtype=torch.float64)
    gain = cyclic_gain(keys, step=shares * 2 / 32)
    assert (rate(keys, gain) > 1).tolist() == [False, True]
    errors = learn(keys, answers, gain, n_sweeps=4000).errors
    assert float(errors[0, -1]) < 0.1 * float(errors[0, 0])
    assert float(errors[1, -1]) > 10 * float(errors[1, 0])


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize(("n_inputs", "n_pairs"), [(30, 12), (12, 30)])
def test_the_rate_is_that_at_which_the_memory_nears_its_end(gain, n_inputs, n_pairs):
    keys, answers = normal(4, n_inputs, 3, n_pairs)
    bound = batch_bound(keys) if gain is batch_gain else cyclic_bound(keys)
    S = gain(keys, step=0.1 * bound)
    end, expected = limit(keys, answers, S), rate(keys, S)
    late = int(-20 / expected.log().min())  # the fastest network is still far from the rounding of its weights
    near, far = ((learn(keys, answers, S, n_sweeps=n).memory - end).norm(dim=(1, 2)) for n in (late, late // 2))
    torch.testing.assert_close((near / far) ** (1 / (late - late // 2)), expected, rtol=0.02, atol=0)


def test_a_network_that_overflows_has_an_infinite_error_and_the_others_learn_on():
    keys, answers = normal(2, 8, 3, 4)
    steps = torch.tensor([10.0, 0.5 * float(batch_bound(keys)[1])], dtype=torch.float64)
    errors = learn(keys, answers, batch_gain(keys, step=steps), n_sweeps=400).errors
    assert torch.isinf(errors[0, -1])
    assert not torch.isnan(errors).any()
    assert float(errors[1, -1]) < 1e-3


# A5: where learning ends


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("gain", GAINS)
def test_from_weights_that_are_not_zero_learning_ends_at_the_pseudo_inverse_plus_what_keys_do_not_touch(gain, seed):
    keys, answers = normal(2, 64, 16, 20, seed=seed)
    start = normal(2, 16, 64, 64, seed=seed + 100)[0]
    bound = batch_bound(keys) if gain is batch_gain else cyclic_bound(keys)
    learned = learn(keys, answers, gain(keys, step=0.7 * bound), n_sweeps=800, start=start).memory
    for i in range(2):
        f, inverse = keys[i].numpy(), np.linalg.pinv(keys[i].numpy())
        touched = answers[i].numpy() @ inverse
        untouched = start[i].numpy() @ (np.eye(64) - f @ inverse)
        np.testing.assert_allclose(learned[i], touched + untouched, atol=1e-10)
        assert np.abs(learned[i].numpy() - touched).max() > 0.1  # the start is not forgotten
    end = limit(keys, answers, gain(keys, step=0.7 * bound), start=start)
    torch.testing.assert_close(end, learned, atol=1e-10, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gain", GAINS)
def test_the_rate_leaves_out_what_dependent_keys_leave_unlearnt(gain, dtype):
    """Orthonormal keys, the first of them twice: its two copies learn as one, the others with the step itself."""
    keys = torch.linalg.qr(torch.randn(3, 10, 4, generator=torch.Generator().manual_seed(0), dtype=dtype)).Q
    keys = torch.cat([keys, keys[:, :, :1]], dim=2)
    for step, expected in ((0.2, 0.8), (0.0, 1.0), (1e-3, 0.999)):
        assert rate(keys, gain(keys, step=step)).tolist() == pytest.approx([expected] * 3, abs=1e-5)


@pytest.mark.parametrize("gain", GAINS)
def test_from_zero_learning_ends_at_the_pseudo_inverse_also_with_dependent_keys(gain):
    keys, _ = normal(2, 10, 4, 5)
    keys = torch.cat([keys, keys[:, :, :2] + keys[:, :, 2:4]], dim=2)
    answers = normal(2, 4, 10, 10, seed=3)[0] @ keys  # that can be had exactly
    S = gain(keys, step=0.4 * batch_bound(keys))
    learned = learn(keys, answers, S, n_sweeps=4000).memory
    assert float(rate(keys, S).max()) < 1  # what dependent keys leave unlearnt is no part of the error
    torch.testing.assert_close(learned, pseudo_inverse(keys, answers), atol=1e-10, rtol=0)


@pytest.mark.parametrize("seed", range(5))
def test_overloaded_cyclic_learning_stays_at_a_distance_that_grows_with_the_step(seed):
    """100 pairs of 64 inputs; section 16 of the design notes: .236, .036, .0085, one draw."""
    keys, answers = normal(1, 64, 64, 100, seed=seed)
    least = pseudo_inverse(keys, answers)
    for step, expected in ((0.01, 0.236), (0.002, 0.036), (0.0005, 0.0085)):
        end = limit(keys, answers, cyclic_gain(keys, step=step))
        assert float((end - least).norm() / least.norm()) == pytest.approx(expected, rel=0.15)
    torch.testing.assert_close(limit(keys, answers, batch_gain(keys, step=0.002)), least, atol=1e-10, rtol=0)


def test_overloaded_cyclic_learning_gets_where_it_should(measured):
    keys, answers = normal(1, 64, 8, 100)
    gain = cyclic_gain(keys, step=0.01)
    learned = learn(keys, answers, gain, n_sweeps=1000)
    torch.testing.assert_close(learned.memory, limit(keys, answers, gain), atol=1e-10, rtol=0)
    by_hand = pair_by_pair(keys[0].numpy(), answers[0].numpy(), 0.01, 1, learned.memory[0].numpy())
    np.testing.assert_allclose(by_hand, learned.memory[0], atol=1e-10)  # a whole sweep changes nothing


# recall, capacity, interference, damage


@pytest.mark.parametrize("seed", range(5))
def test_least_squares_holds_as_many_pairs_as_inputs_and_no_more(seed):
    for n_pairs, exact in ((31, True), (32, True), (33, False)):
        keys, answers = normal(1, 32, 16, n_pairs, seed=seed)
        error = float((pseudo_inverse(keys, answers) @ keys - answers).abs().max())
        assert (error < 1e-9) == exact


def test_beyond_capacity_the_error_is_that_of_a_projection():
    keys, answers = normal(30, 32, 64, 64)
    error = pseudo_inverse(keys, answers) @ keys - answers
    assert float(error.square().mean() / answers.square().mean()) == pytest.approx(1 - 32 / 64, abs=0.01)


@pytest.mark.parametrize("n_pairs", [5, 20, 60])
def test_crosstalk_of_hebb_is_that_of_random_patterns(n_pairs):
    keys, answers = random_patterns((64, 64), n_pairs, n_networks=300)
    power = signal_to_noise(keys, answers).pow(-2).mean()  # of noise over signal
    assert float(power) ** -0.5 == pytest.approx(np.sqrt(64 / (n_pairs - 1)), rel=0.03)


def test_crosstalk_of_one_pair_or_orthogonal_keys_is_none():
    keys, answers = random_patterns((64, 8), 1)
    assert torch.isinf(signal_to_noise(keys, answers)).all()
    hadamard = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=torch.float64)
    assert torch.isinf(signal_to_noise(hadamard[None], answers[:, :, :1].repeat(1, 1, 4))).all()


@pytest.mark.parametrize(
    ("n_pairs", "kept", "sd"), [(20, 1.0, 0.0), (20, 0.5, 0.0), (5, 0.2, 0.0), (20, 1.0, 1.0), (8, 0.6, 0.7)]
)
def test_damaged_hebbian_recall_is_what_the_formula_says(n_pairs, kept, sd):
    keys, answers = random_patterns((64, 400), n_pairs, n_networks=100)
    memory = lesion(hebb(keys, answers), share=1 - kept)
    cosine = similarity(memory @ add_noise(keys, sd=sd), answers)
    assert float(cosine.mean()) == pytest.approx(hebb_similarity(64, n_pairs, kept=kept, noise_sd=sd), rel=0.01)


@pytest.mark.parametrize("store", [hebb, pseudo_inverse])
def test_degradation_is_graceful(store):
    """Recall falls with damage, step by step, and most answers are found with half of the weights gone."""
    keys, answers = random_patterns((64, 64), 20, n_networks=20)
    memory = store(keys, answers)
    recalled = [lesion(memory, share=share) @ keys for share in (0, 0.1, 0.25, 0.5, 0.75, 0.9)]
    cosines = [float(similarity(each, answers).mean()) for each in recalled]
    assert all(before > after for before, after in pairwise(cosines))
    assert max(np.diff(cosines) * -1) < 0.35
    assert float(identified(recalled[3], answers).mean()) > 0.99
    noisy = [float(similarity(memory @ add_noise(keys, sd=sd), answers).mean()) for sd in (0, 0.5, 1, 2)]
    assert all(before > after for before, after in pairwise(noisy))


def test_noise_reaches_the_answer_by_the_size_of_the_weights():
    keys, answers = normal(1, 16, 8, 6)
    memory = pseudo_inverse(keys, answers)
    recalled = [memory @ add_noise(keys, sd=0.3, seed=seed) for seed in range(400)]
    squares = [(each - answers).square().sum(dim=1).mean() for each in recalled]
    assert float(torch.stack(squares).mean()) == pytest.approx(0.3**2 * float(memory.norm() ** 2), rel=0.05)


def test_keys_that_resemble_each_other_disturb_hebb_and_slow_the_delta_rule_but_not_least_squares():
    hebbian, least, bounds, rates = [], [], [], []
    for correlation in (0.0, 0.3, 0.6):
        keys, answers = random_patterns((64, 64), 15, correlation=correlation, n_networks=20)
        hebbian.append(float(similarity(hebb(keys, answers) @ keys, answers).mean()))
        least.append(float(similarity(pseudo_inverse(keys, answers) @ keys, answers).min()))
        bounds.append(float(batch_bound(keys).mean()))
        rates.append(float(rate(keys, batch_gain(keys, step=batch_bound(keys) / 2)).mean()))
    assert hebbian[0] > hebbian[1] + 0.1 > hebbian[2] + 0.2
    assert least == pytest.approx([1, 1, 1])
    assert bounds[0] > 2 * bounds[1] > 2 * bounds[2]
    assert rates[0] < rates[1] < rates[2] < 1


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.8])
def test_keys_are_as_correlated_as_asked(correlation):
    keys, answers = random_patterns((64, 64), 10, correlation=correlation, n_networks=300)
    assert set(keys.unique().tolist()) == {-1, 1}
    off = ~torch.eye(10, dtype=torch.bool)
    assert float((keys.mT @ keys / 64)[:, off].mean()) == pytest.approx(correlation, abs=0.01)
    assert float((answers.mT @ answers / 64)[:, off].mean()) == pytest.approx(0, abs=0.01)


def test_a_lesion_takes_the_share_of_weights_that_was_asked_and_a_larger_one_contains_it():
    memory = torch.ones(3, 10, 7)
    small, large = (lesion(memory, share=share, seed=4) == 0 for share in (0.3, 0.61))
    assert small.sum(dim=(1, 2)).tolist() == [21, 21, 21]
    assert large.sum(dim=(1, 2)).tolist() == [43, 43, 43]
    assert bool((large | ~small).all())
    assert not torch.equal(small[0], small[1])
    assert torch.equal(lesion(memory, share=0.0), memory)
    assert not lesion(memory, share=1.0).any()


def test_identified_and_similarity_by_hand():
    answers = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]])
    recalled = torch.tensor([[[2.0, 3.0, 1.0], [0.1, 0.2, 1.0]]])
    assert similarity(recalled, answers)[0, 2] == pytest.approx(1)
    assert similarity(recalled, answers)[0, 1] == pytest.approx(0.2 / np.hypot(3, 0.2))
    assert identified(recalled, answers).tolist() == pytest.approx([2 / 3])


def test_identified_asks_which_answer_is_nearest_to_what_was_recalled_not_the_reverse():
    answers = torch.eye(2)[None]
    recalled = torch.tensor([[[1.0, 1.0], [0.1, 0.0]]])  # both are nearest to the first answer
    assert identified(recalled, answers).tolist() == [0.5]


# replicas, devices, precision, seeds, refusals


@pytest.mark.parametrize("device", DEVICES)
def test_a_network_of_a_batch_is_the_network_alone(device):
    keys, answers = random_patterns((24, 8), 10, n_networks=4, seed=3, correlation=0.2, device=device)
    alone_keys, alone_answers = random_patterns((24, 8), 10, seed=5, correlation=0.2, device=device)
    assert torch.equal(keys[2:3], alone_keys)
    assert torch.equal(answers[2:3], alone_answers)
    for gain in GAINS:
        together = learn(keys, answers, gain(keys, step=0.01), n_sweeps=50)
        alone = learn(alone_keys, alone_answers, gain(alone_keys, step=0.01), n_sweeps=50)
        torch.testing.assert_close(together.memory[2:3], alone.memory, rtol=0, atol=1e-13)
        torch.testing.assert_close(together.errors[2:3], alone.errors, rtol=0, atol=1e-13)
    memory = hebb(keys, answers)
    assert torch.equal(lesion(memory, share=0.4, seed=3)[2:3], lesion(memory[2:3], share=0.4, seed=5))
    assert torch.equal(add_noise(keys, sd=0.4, seed=3)[2:3], add_noise(keys[2:3], sd=0.4, seed=5))


def test_the_three_draws_of_a_seed_are_independent():
    """Also with the draws shifted against each other, up to 3 places."""
    (keys,) = random_patterns((1,), 20, n_networks=400, seed=7)
    noise = (add_noise(keys, sd=1.0, seed=7) - keys)[:, 0]
    lesioned = (lesion(keys, share=0.5, seed=7) == 0)[:, 0].double()
    draws = (keys[:, 0], keys[:, 0] * keys[:, 0, :1], noise, noise.abs(), lesioned)
    for i, j in ((0, 2), (0, 3), (0, 4), (1, 3), (1, 4), (2, 4), (3, 4)):
        for shift in range(4):
            early, late = draws[i][:, : 20 - shift], draws[j][:, shift:]
            for one, other in ((early, late), (draws[i][:, shift:], draws[j][:, : 20 - shift])):
                assert abs(np.corrcoef(one.flatten(), other.flatten())[0, 1]) < 0.06


@pytest.mark.parametrize("gain", GAINS)
def test_single_precision_gives_the_same_to_its_digits(gain):
    keys, answers = random_patterns((64, 16), 20, n_networks=3)
    single = learn(keys.float(), answers.float(), gain(keys.float(), step=0.005), n_sweeps=200)
    double = learn(keys, answers, gain(keys, step=0.005), n_sweeps=200)
    assert single.memory.dtype == single.errors.dtype == torch.float32
    torch.testing.assert_close(single.memory.double(), double.memory, rtol=0, atol=1e-4)
    assert random_patterns((4,), 3, dtype=torch.float32)[0].dtype == torch.float32
    assert torch.equal(random_patterns((9,), 3, dtype=torch.float32)[0].double(), random_patterns((9,), 3)[0])


def test_the_order_of_pairs_does_not_matter_to_batch_learning_and_a_common_factor_of_answers_scales_it():
    keys, answers = normal(2, 20, 5, 8)
    order = torch.tensor([3, 1, 0, 7, 6, 2, 5, 4])
    one = learn(keys, answers, batch_gain(keys, step=0.01), n_sweeps=20).memory
    other = learn(keys[:, :, order], answers[:, :, order], batch_gain(keys[:, :, order], step=0.01), n_sweeps=20).memory
    torch.testing.assert_close(one, other, rtol=0, atol=1e-13)
    scaled = learn(keys, 1e-13 * answers, batch_gain(keys, step=0.01), n_sweeps=20).memory
    torch.testing.assert_close(scaled * 1e13, one, rtol=1e-9, atol=1e-12)


def test_what_does_not_belong_together_is_refused():
    keys, answers = normal(2, 6, 3, 4)
    with pytest.raises(Misaligned, match="of 2 networks and 4 pairs, answers of 2 networks and 3"):
        hebb(keys, answers[:, :, :3])
    with pytest.raises(Misaligned, match=r"\(6, 4\)"):
        pseudo_inverse(keys[0], answers[0])
    answers[1, 2, 0] = torch.nan
    with pytest.raises(Misaligned, match="answers hold values that are not finite, in network 1"):
        learn(keys, answers, batch_gain(keys, step=0.1), n_sweeps=1)
    with pytest.raises(Misaligned, match="for each of the 2 networks, is needed; got 3"):
        cyclic_gain(keys, step=torch.ones(3))
    with pytest.raises(BrainalignError, match=r"between 0 and 1 is needed, got 1\.5"):
        lesion(keys, share=1.5)
    with pytest.raises(BrainalignError, match=r"got -0\.1"):
        random_patterns((3,), 2, correlation=-0.1)
