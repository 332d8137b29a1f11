"""Splits: disjoint, complete, repeatable, alike; groups whole, the past before the future, given test rows kept."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossmith.compare.data.dealing import by_class, ranges
from lossmith.compare.data.splits import NEEDED_ROWS, Splitter, split, windows
from lossmith.errors import InputError


@settings(max_examples=50)
@given(counts=st.lists(st.integers(NEEDED_ROWS, 60), min_size=2, max_size=5), repeat=st.integers(0, 9))
def test_every_class_is_in_every_part_in_its_share(counts, repeat):
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = split(labels, 0, repeat)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    for label, count in enumerate(counts):
        train, validation, test = (int((labels[part] == label).sum()) for part in parts)
        assert validation == test == max(1, round(0.2 * count))
        assert train >= 3


def test_a_split_depends_on_seed_and_repeat_alone():
    labels = np.random.default_rng(0).integers(0, 3, 100)
    same, again = split(labels, 1, 2), split(labels, 1, 2)
    assert all((one == other).all() for one, other in zip(same, again, strict=True))
    assert not np.array_equal(same.test, split(labels, 1, 3).test)
    assert not np.array_equal(same.test, split(labels, 2, 2).test)


def test_stratified_rows_are_those_of_version_0_4():
    """Finished runs are found again by what they depend on, so the same seed must go on giving the same rows."""
    parts = split(np.array([0, 1, 1] * 5), 1, 2)
    assert [part.tolist() for part in parts] == [[0, 1, 2, 3, 5, 8, 10, 12, 13], [4, 7, 9], [6, 11, 14]]
    sums = [zlib.crc32(part.tobytes()) for part in split(np.arange(1000) % 7 % 3, 3, 2)]
    assert sums == [1808979346, 123022539, 1692290309]


def generated(seed, rows, kind):
    """A target of some kind, each class and label with at least five rows."""
    generator = np.random.default_rng(seed)
    if kind == "number":
        return generator.standard_cauchy(rows)
    labels = np.arange(rows) % 3 * generator.integers(0, 2, rows)
    labels[: 3 * NEEDED_ROWS] = np.arange(3 * NEEDED_ROWS) % 3
    generator.shuffle(labels)
    return labels if kind == "class" else (generator.random((rows, 4)) < [0.05, 0.2, 0.5, 0.9]).astype(np.int8)


KINDS = pytest.mark.parametrize("kind", ["class", "number", "label"])


def complete(parts, rows):
    """Every row is in exactly one part, and each part is sorted."""
    assert all((np.diff(part) > 0).all() for part in parts)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(rows))


def same(splitter, other, repeat):
    return all(np.array_equal(a, b) for a, b in zip(splitter.rows(repeat), other.rows(repeat), strict=True))


@KINDS
@settings(max_examples=30)
@given(rows=st.integers(40, 300), seed=st.integers(0, 1000), repeat=st.integers(0, 7))
def test_every_row_is_used_once_and_shares_are_kept(kind, rows, seed, repeat):
    target = generated(seed, rows, kind)
    parts = Splitter(target, seed, 8).rows(repeat)
    complete(parts, rows)
    assert same(Splitter(target, seed, 8), Splitter(target.copy(), seed, 20), repeat)
    assert [len(part) / rows for part in parts] == pytest.approx([0.6, 0.2, 0.2], abs=5.5 / 40)
    assert not same(Splitter(target, seed, 8), Splitter(target, seed + 1, 8), repeat)


def test_numbers_are_split_within_ranges_of_equal_size():
    target = np.random.default_rng(0).standard_cauchy(1000)
    within = ranges(target)
    assert np.bincount(within).tolist() == [100] * 10
    assert (np.diff(within[np.argsort(target)]) >= 0).all()
    for part, share in zip(Splitter(target, 0, 8).rows(0), (60, 20, 20), strict=True):
        assert np.bincount(within[part]).tolist() == [share] * 10
    assert set(ranges(target[:39])) == {0}


@settings(max_examples=60)
@given(rows=st.integers(10, 60), labels=st.integers(1, 25), seed=st.integers(0, 10_000))
def test_training_has_each_value_of_a_label_that_three_rows_have(rows, labels, seed):
    generator = np.random.default_rng(seed)
    target = (generator.random((rows, labels)) < generator.random(labels) ** 3).astype(np.int8)
    parts = Splitter(target, seed, 8).rows(0)
    complete(parts, rows)
    both = np.hstack([target, 1 - target])
    assert both[parts.train].any(axis=0)[both.sum(axis=0) >= 3].all()


def test_a_label_that_dealing_keeps_from_training_gets_a_row_there():
    """The last label shares each row with one dealt before it, and may find all three in validation and test."""
    target = np.zeros((30, 4), np.int8)
    for label, rows in enumerate([[0, 1, 2], [0, 3, 4], [0, 3, 5], [2, 4, 5]]):
        target[rows, label] = 1
    for seed in range(30):
        assert (target[Splitter(target, seed, 8).rows(0).train].sum(axis=0) > 0).all()


def test_of_a_label_that_most_rows_have_the_rows_without_it_are_dealt():
    target = np.ones((200, 2), np.int8)
    target[:10, 0] = target[5:25, 1] = 0
    for seed in range(5):
        parts = Splitter(target, seed, 8).rows(0)
        assert [(1 - target[part]).sum(axis=0).tolist() for part in parts] == [[6, 12], [2, 4], [2, 4]]


def test_iterative_stratification_keeps_the_shares_of_rare_labels_better_than_chance():
    """The figure of Sechidis et al. (section 4): the mean distance of a label's odds in the parts from those in all."""
    generator = np.random.default_rng(1)
    target = (generator.random((400, 12)) < generator.uniform(0.02, 0.3, 12)).astype(np.int8)

    def distance(parts):
        odds = [target[part].mean(0) / (1 - target[part].mean(0)) for part in (*parts, np.arange(400))]
        return float(np.mean([abs(one - odds[-1]).mean() for one in odds[:-1]]))

    ours = [distance(Splitter(target, seed, 8).rows(0)) for seed in range(10)]
    chance = [distance(np.split(np.random.default_rng(seed).permutation(400), [240, 320])) for seed in range(10)]
    assert max(ours) < 0.35 * min(chance)
    for part, share in zip(Splitter(target, 0, 8).rows(0), (0.6, 0.2, 0.2), strict=True):
        assert target[part].sum(axis=0) == pytest.approx(share * target.sum(axis=0), abs=2.0)


@KINDS
@settings(max_examples=25)
@given(seed=st.integers(0, 1000), count=st.integers(12, 60))
def test_groups_are_never_cut(kind, seed, count):
    rows = 400
    target = generated(seed, rows, kind)
    groups = np.random.default_rng(seed).integers(0, count, rows) * 7 - 3
    splitter = Splitter(target, seed, 8, groups=groups)
    parts = splitter.rows(1)
    complete(parts, rows)
    assert sum(len(np.unique(groups[part])) for part in parts) == len(np.unique(groups))
    assert [len(part) / rows for part in parts] == pytest.approx([0.6, 0.2, 0.2], abs=0.12)
    assert same(splitter, Splitter(target, seed, 8, groups=groups), 1)
    if kind == "class":
        shares = [np.bincount(target[part], minlength=3) / np.bincount(target) for part in parts]
        assert np.abs(np.array(shares) - np.array([[0.6], [0.2], [0.2]])).max() < 0.35
        assert (np.array(shares) > 0).all()


def test_three_groups_are_a_part_each_and_the_largest_trains():
    labels, groups = np.arange(100) % 2, np.repeat([5, 9, 2], [25, 60, 15])
    chosen = {tuple(groups[part][0] for part in Splitter(labels, seed, 8, groups=groups).rows(0)) for seed in range(9)}
    assert chosen <= {(9, 5, 2), (9, 2, 5)}


def test_a_class_of_three_groups_is_in_every_part():
    labels = np.zeros(300, np.int64)
    groups = np.arange(300) // 10
    labels[[5, 55, 105]] = 1
    for seed in range(20):
        parts = Splitter(labels, seed, 8, groups=groups).rows(0)
        assert [labels[part].sum() for part in parts] == [1, 1, 1]


def test_groups_differ_between_repeats():
    groups = np.arange(400) // 20
    splitter = Splitter(np.arange(400) % 2, 0, 8, groups=groups)
    assert len({tuple(np.unique(groups[splitter.rows(repeat).test])) for repeat in range(8)}) >= 6


@KINDS
@settings(max_examples=40)
@given(seed=st.integers(0, 1000), rows=st.integers(160, 400), repeats=st.integers(1, 6), ties=st.integers(1, 4))
def test_no_row_is_trained_on_that_is_later_than_one_judged_on(kind, seed, rows, repeats, ties):
    generator = np.random.default_rng(seed)
    target = {"class": np.arange(rows) % 2, "number": np.arange(rows) * 0.1, "label": np.eye(2, dtype=np.int8)}[kind]
    target = target[np.arange(rows) % 2] if kind == "label" else target
    times = generator.permutation(np.arange(rows) // ties) * -0.5
    splitter = Splitter(target, 0, repeats, times=times)
    tests = []
    for repeat in range(repeats):
        train, validation, test = splitter.rows(repeat)
        assert times[train].max() < times[validation].min()
        assert times[validation].max() < times[test].min()
        assert abs(len(validation) - len(test)) <= 2 * ties
        assert len(set(train) | set(validation) | set(test)) == len(train) + len(validation) + len(test)
        assert set(train) | set(validation) == set(np.flatnonzero(times < times[test].min()))
        tests.append(test)
    judged = np.concatenate(tests)
    assert len(set(judged)) == len(judged)
    assert set(judged) == set(np.flatnonzero(times >= times[judged].min()))
    assert len(judged) == pytest.approx(min(0.5, 0.2 * repeats) * rows, abs=ties + 1)


def test_windows_worked_out_by_hand():
    order, bounds = windows(np.arange(100.0)[::-1], 2)
    assert order.tolist() == list(range(99, -1, -1))
    assert bounds.tolist() == [40, 60, 80, 100]
    years = np.repeat(np.arange(10.0), 10)
    assert windows(years, 4)[1].tolist() == [40, 50, 60, 70, 90, 100]  # 37.5, 50, 62.5, 75 (a tie), 87.5 of 100


@KINDS
@settings(max_examples=25)
@given(seed=st.integers(0, 1000), grouped=st.booleans())
def test_given_test_rows_are_the_test_part_of_every_repeat(kind, seed, grouped):
    generator = np.random.default_rng(seed)
    target, groups = generated(seed, 300, kind), np.arange(300) // 5
    test = (groups % 4 == 1) if grouped else generator.random(300) < 0.3
    splitter = Splitter(target, seed, 8, test=test, groups=groups if grouped else None)
    seen = set()
    for repeat in range(3):
        parts = splitter.rows(repeat)
        complete(parts, 300)
        assert np.array_equal(parts.test, np.flatnonzero(test))
        assert len(parts.train) / (~test).sum() == pytest.approx(0.75, abs=0.04)
        assert not grouped or not set(groups[parts.train]) & set(groups[parts.validation])
        seen.add(tuple(parts.train))
    assert len(seen) == 3


def test_beside_given_test_rows_each_class_is_split_three_to_one():
    labels, test = np.arange(200) % 4 % 3, np.arange(200) >= 160
    parts = Splitter(labels, 0, 8, test=test).rows(0)
    assert np.bincount(labels[parts.train]).tolist() == [60, 30, 30]
    assert np.bincount(labels[parts.validation]).tolist() == [20, 10, 10]


LABELS = np.arange(100) % 2
RARE = (np.arange(100) < 6).astype(np.int64)
BEFORE, AFTER = np.arange(100) < 50, np.arange(100) >= 50


@pytest.mark.parametrize(
    ("target", "words", "said"),
    [
        (LABELS, {"groups": LABELS}, "rows of 2 groups only to split; at least 3"),
        (RARE, {"groups": np.arange(100) // 5}, 'class "rare" is in 2 groups only, but 3 are needed'),
        (LABELS, {"groups": LABELS, "times": np.arange(100.0)}, "a window of time cuts groups in two"),
        (LABELS, {"test": BEFORE, "times": np.arange(100.0)}, "given test rows leave no window of time"),
        (LABELS, {"times": np.where(RARE, np.nan, 1.0)}, "time is missing in 6 rows"),
        (LABELS, {"times": np.arange(100) // 10.0}, "with 8 repeats leaves a part with fewer than 5 rows; 5 would do"),
        (LABELS * 1.0, {"times": np.zeros(100)}, "no number up to 50 would do; split without time"),
        (RARE, {"times": np.arange(100.0)}, 'leaves validation rows of one of them without class "rare"'),
        (RARE, {"times": -np.arange(100.0)}, 'leaves training rows of one of them without class "rare"'),
        (RARE[:, None].astype(np.int8), {"times": -np.arange(100.0)}, 'training rows of one of them without label "fr'),
        (RARE, {"test": AFTER}, 'the given test rows have no row of class "rare"'),
        (
            RARE,
            {"test": (np.arange(100) >= 3) & (np.arange(100) < 30)},
            'class "rare" has 3 rows beside the given test rows, but at least 4',
        ),
        (LABELS, {"test": BEFORE & AFTER}, "test rows must be given beside rows to train on"),
        (
            LABELS,
            {"test": AFTER, "groups": np.arange(100) // 20},
            "the given test rows share 1 group with the others",
        ),
        (LABELS, {"test": AFTER, "groups": np.arange(100) // 50}, "rows of 1 group only to split; at least 2"),
    ],
)
def test_what_cannot_be_split_is_one_sentence(target, words, said):
    with pytest.raises(InputError) as caught:
        Splitter(target, 0, 8, **words, names=["frequent", "rare"])
    message = str(caught.value)
    assert said in message
    assert message.endswith(".")
    assert "\n" not in message


def test_the_number_of_repeats_that_would_do_does():
    times, rare = np.arange(200.0), (np.arange(200) % 25 == 7).astype(np.int64)
    with pytest.raises(InputError, match="; 4 would do") as caught:
        Splitter(rare, 0, 8, times=times)
    assert "without class number 1" in str(caught.value)
    for repeat in range(4):
        assert all(rare[part].any() for part in Splitter(rare, 0, 4, times=times).rows(repeat))
    with pytest.raises(InputError):
        Splitter(rare, 0, 5, times=times)


def test_a_split_that_no_deal_can_make_is_refused():
    """a in groups 0 1 2, b in 0 1 3 and c in 0 2 3: group 3 would be in the part of 2 and in that of 1."""
    groups = np.array([0, 1, 2, 0, 1, 3, 0, 2, 3])
    with pytest.raises(InputError, match=r"no row of class number [012] is in the (training|validation|test) part"):
        Splitter(np.repeat([0, 1, 2], 3), 0, 8, groups=groups)


@pytest.mark.parametrize(
    ("splitter", "said"),
    [
        (
            Splitter(LABELS, 0, 8),
            "60 % to train, 20 % to choose on, 20 % to judge on, with each class in its own share.",
        ),
        (Splitter(LABELS * 1.0, 0, 8), "with low and high values of the target in equal shares."),
        (Splitter(LABELS[:, None].astype(np.int8), 0, 8, groups=np.arange(100) // 4), "whole groups (25 in all) anew"),
        (
            Splitter(LABELS, 0, 8, times=np.arange(100.0)),
            "each of 8 repeats is judged on the next window of the last 50 %",
        ),
        (Splitter(LABELS, 0, 2, times=np.arange(100.0)), "window of the last 40 %, chooses on the window before it"),
        (Splitter(LABELS, 0, 8, test=AFTER), "the same 50 given test rows; of the others 75 % of the rows train"),
    ],
)
def test_the_report_is_told_how_rows_were_split(splitter, said):
    sentence = splitter.describe()
    assert said in sentence
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")


def test_a_class_of_no_row_takes_none():
    parts = by_class(np.array([0, 2] * 10), (0.75, 0.25), np.random.default_rng(0))
    assert np.bincount(parts).tolist() == [16, 4]
