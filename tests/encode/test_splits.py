import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.encode.splits import (
    Blocks,
    Fold,
    Groups,
    blocks,
    by_group,
    check_folds,
    check_series,
    check_stimuli,
    group_blocks,
)
from brainalign.errors import BrainalignError, Misaligned


@given(n_samples=st.integers(20, 90), n=st.integers(2, 5), gap=st.integers(0, 4), n_runs=st.integers(1, 3))
def test_blocks_cover_all_and_keep_the_gap_within_a_run(n_samples, n, gap, n_runs):
    run = np.sort(np.arange(n_samples) % n_runs)
    folds = blocks(n_samples, n=n, gap=gap, run=run)
    np.testing.assert_array_equal(np.concatenate([fold.test for fold in folds]), np.arange(n_samples))
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    for train, test in folds:
        expected = [
            i
            for i in range(n_samples)
            if i not in test and not any(abs(i - j) <= gap and run[i] == run[j] for j in test)
        ]
        np.testing.assert_array_equal(train, expected)


def test_gap_is_removed_on_both_sides():
    train, test = blocks(100, n=5, gap=3)[1]
    np.testing.assert_array_equal(test, np.arange(20, 40))
    np.testing.assert_array_equal(np.setdiff1d(np.arange(100), np.r_[train, test]), [17, 18, 19, 40, 41, 42])


def test_gap_does_not_reach_into_another_run():
    run = np.repeat([0, 1], 50)
    train, _ = blocks(100, n=2, gap=10, run=run)[0]
    np.testing.assert_array_equal(train, np.arange(50, 100))


@given(gap=st.integers(1, 8), n_inner=st.integers(2, 5), i_fold=st.integers(0, 4))
def test_inner_gap_is_counted_in_the_original_series(gap, n_inner, i_fold):
    n_samples = 200
    outer_train = blocks(n_samples, n=5, gap=gap)[i_fold].train
    for train, test in blocks(len(outer_train), n=n_inner, gap=gap, position=outer_train):
        distance = np.abs(outer_train[train][:, None] - outer_train[test]).min()
        assert distance > gap
        kept_out = np.setdiff1d(np.arange(len(outer_train)), np.r_[train, test])
        removed = (
            np.abs(outer_train[kept_out][:, None] - outer_train[test]).min(axis=1) if len(kept_out) else np.array([1])
        )
        assert (removed <= gap).all()  # and nothing that lies farther away is lost


def test_neighbours_across_a_hole_are_no_neighbours():
    outer_train = np.r_[0:40, 60:100]
    train, test = blocks(80, n=2, gap=5, position=outer_train)[0]
    np.testing.assert_array_equal(test, np.arange(40))
    np.testing.assert_array_equal(train, np.arange(40, 80))
    assert len(blocks(80, n=2, gap=5)[0].train) == 35  # what counting in the array would lose


def test_blocks_move_their_borders_to_borders_of_groups():
    groups = np.repeat(list("abcdefg"), [3, 9, 4, 2, 8, 7, 5])
    folds = blocks(len(groups), n=3, groups=groups)
    for fold in folds:
        check_stimuli([fold], groups)
        np.testing.assert_array_equal(np.diff(fold.test), 1)
    assert [len(fold.test) for fold in folds] == [12, 14, 12]


def test_blocks_leave_enough_groups_for_every_fold():
    groups = np.repeat([0, 1, 2], [94, 3, 3])
    assert [len(fold.test) for fold in blocks(100, n=3, groups=groups)] == [94, 3, 3]


def test_blocks_cannot_keep_a_group_whole_that_comes_back():
    with pytest.raises(BrainalignError, match=r"'a' comes back at sample 6.*split by groups"):
        blocks(9, n=2, groups=list("aaabbbaaa"))


def test_by_group_leaves_each_out_in_order_of_appearance():
    groups = np.repeat(["run2", "run1", "run3"], [3, 2, 4])
    folds = by_group(groups)
    assert [str(groups[test][0]) for _, test in folds] == ["run2", "run1", "run3"]
    for train, test in folds:
        assert len(np.unique(groups[test])) == 1
        assert len(train) + len(test) == 9


@given(n_groups=st.integers(2, 20), n=st.integers(2, 5), seed=st.integers(0, 99))
def test_group_blocks_test_every_sample_once_and_split_no_group(n_groups, n, seed):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(n_groups), rng.integers(2, 9, n_groups)))
    if n > n_groups:
        with pytest.raises(BrainalignError, match=f"at least {n} groups, got {n_groups}"):
            group_blocks(groups, n=n)
        return
    folds = group_blocks(groups, n=n)
    check_stimuli(folds, groups)
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(len(groups)))
    assert len(folds) == n


def test_group_blocks_are_even():
    sizes = [len(test) for _, test in group_blocks(np.repeat(np.arange(100), 3), n=10)]
    assert sizes == [30] * 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: blocks(3, n=5), "5 folds need at least 5"),
        (lambda: blocks(9, n=5), "at least 2 are needed"),
        (lambda: blocks(20, n=2, gap=30), "0 train samples"),
        (lambda: blocks(20, n=1), "at least 2 folds"),
        (lambda: blocks(20, n=2, gap=-1), "gap"),
        (lambda: blocks(20, n=4, groups=np.repeat([0, 1], 10)), "got 2"),
        (lambda: by_group(np.zeros(20)), "at least 2 groups"),
        (lambda: by_group([0, 0, 0, 1, 2, 2]), "1 test samples"),
        (lambda: check_folds([], 5), "no folds"),
        (lambda: check_folds([([0, 1, 2], [2, 3])], 5), "sample 2 is in the training and in the test set"),
        (lambda: check_folds([([0, 1], [2, 5])], 5), "positions from 0 to 4"),
        (lambda: Groups().split(9), "needs groups or run"),
    ],
)
def test_folds_that_cannot_be_made_are_errors(make, message):
    with pytest.raises(BrainalignError, match=message):
        make()


def test_labels_must_fit():
    with pytest.raises(Misaligned, match="run must be one label for each of 10"):
        blocks(10, n=2, run=[1, 2])
    with pytest.raises(Misaligned, match="run '1' comes back"):
        blocks(6, n=2, run=[1, 1, 2, 2, 1, 1])


def test_splitters_give_what_the_functions_give():
    run = np.repeat([0, 1, 2], 10)
    for a, b in (
        (Blocks(4, gap=2).split(30, run=run), blocks(30, n=4, gap=2, run=run)),
        (Groups().split(30, run=run), by_group(run)),
        (Groups(2).split(30, groups=run), group_blocks(run, n=2)),
    ):
        for one, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(one.train, other.train)
            np.testing.assert_array_equal(one.test, other.test)


def test_stimulus_on_both_sides_is_named_with_the_cure():
    stimulus = np.array(["cat", "dog", "cow", "cat", "hen", "fox"])
    with pytest.raises(
        BrainalignError, match=r"'cat' is in the training and in the test set of fold 0.*groups = stimulus"
    ):
        check_stimuli(blocks(6, n=2), stimulus)
    check_stimuli(group_blocks(stimulus, n=2), stimulus)


def test_scattered_test_samples_are_refused_in_a_series():
    order = np.random.default_rng(0).permutation(100)
    scattered = Fold(np.sort(order[20:]), np.sort(order[:20]))
    with pytest.raises(BrainalignError, match="neighbour in time"):
        check_series([scattered], run=np.zeros(100))
    check_series(blocks(100, n=5), run=np.zeros(100))
    check_series(by_group(np.repeat([0, 1], 50)), run=np.repeat([0, 1], 50))


def test_groups_drawn_at_random_stay_whole_and_do_not_depend_on_labels():
    groups = np.repeat(np.arange(30), 3)
    folds = group_blocks(groups, n=5, seed=0)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(90))
    for fold in folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert len(fold.test) == 18
    assert any(np.ptp(groups[fold.test]) > 10 for fold in folds)
    again, other = group_blocks(groups * -7, n=5, seed=0), group_blocks(groups, n=5, seed=1)
    assert all(np.array_equal(a.test, b.test) for a, b in zip(folds, again, strict=True))
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(folds, other, strict=True))
