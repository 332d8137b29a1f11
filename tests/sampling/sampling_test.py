"""The samplers: proportions, counts, draws that repeat, ranks, resuming, targets of any kind, errors."""

import itertools
import math
import pickle
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from imblearn.under_sampling import RandomUnderSampler
from scipy.stats import chisquare
from sklearn.datasets import load_wine
from torch.utils.data import DataLoader, TensorDataset

from lossmith.errors import DomainError, ParameterError, ShapeError
from lossmith.sampling import (
    BalancedBatchSampler,
    BalancedSampler,
    ClassSampler,
    EffectiveNumberSampler,
    EpochSampler,
    SquareRootSampler,
)

TAIL = [0] * 500 + [1] * 60 + [2] * 9 + [3]  # a long tail
COUNTS = np.bincount(TAIL)
BETA = 0.97
FORMULAS = {  # by hand: the exponents of Kang et al., and Cui et al.'s series 1 + beta + beta^2 + ...
    "balanced": (lambda **o: BalancedSampler(TAIL, **o), COUNTS**0.0),
    "square_root": (lambda **o: SquareRootSampler(TAIL, **o), COUNTS**0.5),
    "effective": (
        lambda **o: EffectiveNumberSampler(TAIL, beta=BETA, **o),
        np.array([n / sum(BETA**k for k in range(n)) for n in COUNTS]),
    ),
}
every = pytest.mark.parametrize(("make", "shares"), FORMULAS.values(), ids=FORMULAS)


def classes_of(draw: Any) -> np.ndarray:
    return np.bincount(np.array(TAIL)[list(draw)], minlength=4)


# What an epoch holds ----------------------------------------------------------------------------------------------
@every
def test_each_class_has_its_share_up_to_rounding(make: Any, shares: np.ndarray) -> None:
    sampler = make(num_samples=1001)
    expected = 1001 * shares / shares.sum()
    for _ in range(5):
        found = classes_of(sampler)
        assert found.sum() == 1001
        assert (np.abs(found - expected) < 1).all()


@every
def test_shares_are_exact_in_expectation(make: Any, shares: np.ndarray) -> None:
    """Which way an expected number is rounded is drawn: over many epochs the mean is the number itself."""
    sampler, epochs = make(num_samples=10), 600
    mean = sum(classes_of(sampler) for _ in range(epochs)) / epochs
    expected = 10 * shares / shares.sum()
    part = expected % 1
    assert (np.abs(mean - expected) <= 4 * np.sqrt(part * (1 - part) / epochs) + 1e-9).all()


def test_examples_of_a_class_are_equally_likely() -> None:
    drawn = Counter(BalancedSampler(TAIL, num_samples=4000, seed=3))
    for first, last in ((0, 500), (500, 560), (560, 569)):
        assert chisquare([drawn[index] for index in range(first, last)]).pvalue > 1e-3
    assert drawn[569] == 1000


def test_classes_are_mixed_all_along_the_epoch() -> None:
    order = [TAIL[index] for index in BalancedSampler(TAIL, num_samples=4000)]
    quarters = [np.bincount(order[at : at + 1000], minlength=4) for at in range(0, 4000, 1000)]
    assert all(chisquare(quarter).pvalue > 1e-3 for quarter in quarters)
    assert max(len(list(run)) for _, run in itertools.groupby(order)) < 12


def test_beta_of_0_leaves_the_frequencies_and_near_1_balances() -> None:
    natural = EffectiveNumberSampler(TAIL, beta=0.0)
    assert classes_of(natural).tolist() == COUNTS.tolist()
    assert classes_of(EffectiveNumberSampler(TAIL, beta=1 - 1e-9, num_samples=400)).tolist() == [100] * 4


# Without replacement ----------------------------------------------------------------------------------------------
def test_balanced_without_replacement_is_random_under_sampling() -> None:
    """As many as imbalanced-learn's RandomUnderSampler keeps, no example twice, and other ones every epoch."""
    y = load_wine().target
    kept, _ = RandomUnderSampler(random_state=0).fit_resample(np.arange(len(y))[:, None], y)
    sampler = BalancedSampler(y, replacement=False)
    epochs = [list(sampler) for _ in range(30)]
    assert len(sampler) == len(kept) == 3 * 48
    for drawn in epochs:
        assert len(set(drawn)) == len(drawn)
        assert np.bincount(y[drawn]).tolist() == [48, 48, 48]
    assert len(set().union(*epochs)) == len(y)


@every
def test_without_replacement_goes_as_far_as_the_first_class_lasts(make: Any, shares: np.ndarray) -> None:
    reach = math.floor((COUNTS * shares.sum() / shares).min() + 1e-9)
    sampler = make(replacement=False)
    assert len(sampler) == reach
    for _ in range(20):
        drawn = list(sampler)
        assert len(set(drawn)) == reach
    with pytest.raises(ParameterError, match=f"at most {reach}, at which the 1 examples of class 3 run out, not 999"):
        make(replacement=False, num_samples=999)


def test_without_replacement_never_asks_a_class_for_more_than_it_has() -> None:
    """Shares that do not divide the total: rounding up must stop at the size of the class."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        counts = torch.randint(1, 12, (int(torch.randint(2, 8, (), generator=generator)),), generator=generator)
        sampler = SquareRootSampler(torch.repeat_interleave(torch.arange(len(counts)), counts), replacement=False)
        drawn = list(sampler)
        assert len(set(drawn)) == len(drawn) == len(sampler)


# Draws repeat, epochs differ ---------------------------------------------------------------------------------------
BATCHES = {"classes_per_batch": 3, "samples_per_class": 4}
MAKERS: dict[str, Any] = {
    "with": lambda **o: SquareRootSampler(TAIL, **o),
    "without": lambda **o: BalancedSampler(TAIL * 5, replacement=False, **o),
    "batches": lambda **o: BalancedBatchSampler(TAIL, **BATCHES, **o),
}
each = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@each
def test_the_draw_follows_from_seed_and_epoch(make: Any) -> None:
    one, two = make(seed=5), make(seed=5)
    before = torch.random.get_rng_state()
    first, second = list(one), list(one)
    assert torch.equal(before, torch.random.get_rng_state())
    assert first != second
    assert list(two) == first
    two.set_epoch(1)
    assert list(two) == second
    two.set_epoch(0)
    assert list(two) == first
    assert list(make(seed=6)) not in (first, second)


def test_the_draw_stays_the_same_from_version_to_version() -> None:
    """Experiments are repeated by their seed; torch promises its CPU generator, we promise the rest."""
    assert list(BalancedSampler([0, 0, 0, 0, 1, 1], seed=1)) == [4, 0, 5, 3, 2, 5]


@each
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_together_have_the_draw_of_one_process(make: Any, ranks: int) -> None:
    everyone = list(make(seed=2))
    own = [make(seed=2, rank=rank, world_size=ranks) for rank in range(ranks)]
    slices = [list(sampler) for sampler in own]
    length = len(everyone) // ranks
    assert [len(items) for items in slices] == [len(sampler) for sampler in own] == [length] * ranks
    together = [item for row in zip(*slices, strict=True) for item in row]  # one of each rank, in turn
    assert together == everyone[: length * ranks]
    assert [len(list(sampler)) for sampler in own] == [length] * ranks


def test_uneven_sizes_leave_out_the_end_of_the_draw() -> None:
    draw = list(BalancedSampler(TAIL, num_samples=11))
    parts = [list(BalancedSampler(TAIL, num_samples=11, rank=r, world_size=4)) for r in range(4)]
    assert parts == [[draw[r], draw[r + 4]] for r in range(4)]


@each
def test_a_pass_goes_on_where_it_was(make: Any) -> None:
    whole = make(seed=4, rank=1, world_size=2)
    whole.set_epoch(3)
    items = list(whole)
    sampler = make(seed=4, rank=1, world_size=2)
    sampler.set_epoch(3)
    start = list(itertools.islice(sampler, 5))
    state = pickle.loads(pickle.dumps(sampler.state_dict()))  # noqa: S301
    resumed = make(seed=99, rank=1, world_size=2)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    more = list(itertools.islice(resumed, 3))
    assert resumed.state_dict()["position"] == 8
    resumed.load_state_dict(resumed.state_dict())
    assert start + more + list(resumed) == items
    assert list(resumed) == list(whole)  # and the next epoch is the next
    resumed.load_state_dict(whole.state_dict())  # the state at the end of a pass
    assert list(resumed) == list(whole)


def test_a_loader_without_workers_resumes_at_its_batch() -> None:
    data = TensorDataset(torch.arange(len(TAIL)))
    sampler = BalancedSampler(TAIL, num_samples=100)
    loader = DataLoader(data, batch_size=8, sampler=sampler)
    full = [batch.tolist() for (batch,) in loader]
    sampler.set_epoch(0)
    iterator = iter(loader)
    seen = [next(iterator)[0].tolist() for _ in range(4)]
    sampler.load_state_dict({"epoch": 0, "position": 4 * 8})
    assert sampler.state_dict()["position"] == 32
    assert seen + [batch.tolist() for (batch,) in loader] == full


def test_workers_see_the_same_batches() -> None:
    data = TensorDataset(torch.arange(len(TAIL)))
    more: list[dict[str, Any]] = [{}, {"num_workers": 2, "multiprocessing_context": "spawn"}]  # JAX forbids a fork
    loaders = [DataLoader(data, batch_size=50, sampler=BalancedSampler(TAIL), **each) for each in more]
    one, two = ([batch.tolist() for (batch,) in loader] for loader in loaders)
    assert one == two
    assert len(one) == len(loaders[0])


def test_a_peek_does_not_move_a_chosen_epoch() -> None:
    sampler = BalancedSampler(TAIL)
    first = list(sampler)
    next(iter(sampler))
    sampler.set_epoch(0)
    assert list(sampler) == first


# Batches of a few classes ------------------------------------------------------------------------------------------
def test_a_batch_has_its_classes_and_examples() -> None:
    y = load_wine().target
    sampler = BalancedBatchSampler(y, classes_per_batch=2, samples_per_class=7, num_batches=60)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 60
    for batch in batches:
        assert sorted(Counter(y[batch].tolist()).values()) == [7, 7]
        assert len(set(batch)) == 14
    seen = Counter(itertools.chain.from_iterable(set(y[batch].tolist()) for batch in batches))
    assert chisquare([seen[0], seen[1], seen[2]]).pvalue > 1e-3


def test_examples_of_a_class_take_turns() -> None:
    batches = list(BalancedBatchSampler([0] * 6 + [1] * 8, classes_per_batch=2, samples_per_class=2, num_batches=12))
    seen = Counter(itertools.chain.from_iterable(batches))
    assert [seen[index] for index in range(14)] == [4] * 6 + [3] * 8


def test_a_small_class_is_repeated_within_the_batch() -> None:
    (batch,) = BalancedBatchSampler([0] * 9 + [1, 1], classes_per_batch=2, samples_per_class=5, num_batches=1)
    seen = Counter(batch)
    assert sorted(seen[index] for index in (9, 10)) == [2, 3]
    assert all(seen[index] <= 1 for index in range(9))


def test_default_number_of_batches_is_what_the_examples_fill() -> None:
    assert len(BalancedBatchSampler(TAIL, **BATCHES)) == len(TAIL) // 12
    assert len(BalancedBatchSampler([0, 1], classes_per_batch=2, samples_per_class=9)) == 1


# Targets, errors ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "targets",
    [
        [0, 0, 1, 0, 2],
        (0.0, 0.0, 1.0, 0.0, 2.0),
        np.array([0, 0, 1, 0, 2], dtype=np.int8),
        np.array(["a", "a", "b", "a", "c"]),
        np.array(["a", "a", "b", "a", "c"], dtype=object),
        pd.Series(["a", "a", "b", "a", "c"]),
        pd.Series(["a", "a", "b", "a", "c"], dtype="category"),
        torch.tensor([0, 0, 1, 0, 2], dtype=torch.uint8),
        [torch.tensor(0), torch.tensor(0), torch.tensor(1), torch.tensor(0), torch.tensor(2)],
        list(np.array([4, 4, 1, 4, 2])),
        "aabac",
        (word for word in ["x", "x", "y", "x", "z"]),
    ],
    ids=lambda targets: type(targets).__name__,
)
def test_targets_of_every_kind_give_the_same_draw(targets: Any) -> None:
    assert list(BalancedSampler(targets, num_samples=30)) == list(BalancedSampler([0, 0, 1, 0, 2], num_samples=30))


def test_booleans_are_two_classes() -> None:
    assert list(BalancedSampler([True, False, False])) == list(BalancedSampler([1, 0, 0]))


SEVERAL = "one class per example; of several labels per example choose one first"
BAD_TARGETS = [
    (torch.eye(3), ShapeError, SEVERAL),
    (np.eye(3), ShapeError, SEVERAL),
    ([[0, 1], [1]], ShapeError, SEVERAL),
    ([(0, 1), (1,)], ShapeError, SEVERAL),
    ([torch.tensor([1, 0]), torch.tensor([0, 1])], ShapeError, SEVERAL),
    ([0.25, 1.0], DomainError, "integers or words; got 0.25"),
    ([0.0, float("nan")], DomainError, "got nan"),
    (["a", None], DomainError, "got None"),
    (["a", pd.NaT], DomainError, "got NaT"),
    (pd.Series([1, None], dtype="Int64"), DomainError, "got <NA>"),
    (["a", "a"], DomainError, r"at least 2 classes; got \['a'\]"),
    ([], DomainError, r"at least 2 classes; got \[\]"),
    (torch.tensor(1), DomainError, r"at least 2 classes; got \[1\]"),
]


@pytest.mark.parametrize(("targets", "error", "words"), BAD_TARGETS, ids=range(len(BAD_TARGETS)))
def test_targets_that_name_no_class(targets: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        BalancedSampler(targets)
    with pytest.raises(error, match=words):
        BalancedBatchSampler(targets, classes_per_batch=1, samples_per_class=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_samples": 0}, "num_samples must be a whole number of at least 1, not 0"),
        ({"num_samples": 2.5}, "num_samples must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"rank": 0}, "rank and world_size together"),
        ({"world_size": 2}, "rank and world_size together"),
        ({"rank": 0, "world_size": 2, "process_group": "world"}, "or process_group"),
        ({"rank": 2, "world_size": 2}, "rank must be below world_size, 2, not 2"),
        ({"rank": 0, "world_size": 0}, "world_size must be a whole number of at least 1"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=f"^BalancedSampler: .*{words}"):
        BalancedSampler(TAIL, **options)


def test_more_errors() -> None:
    with pytest.raises(ParameterError, match=r"beta must be in \[0, 1\), not 1"):
        EffectiveNumberSampler(TAIL, beta=1)
    with pytest.raises(ParameterError, match="at most the number of classes, 4, not 5"):
        BalancedBatchSampler(TAIL, classes_per_batch=5, samples_per_class=1)
    with pytest.raises(ParameterError, match="position must be at most the 570 items of a pass, not 571"):
        BalancedSampler(TAIL).load_state_dict({"epoch": 0, "position": 571})
    with pytest.raises(ParameterError, match="epoch must be a whole number"):
        BalancedSampler(TAIL).set_epoch(-1)
    with pytest.raises(ParameterError, match="init_process_group"):
        len(BalancedSampler(TAIL, process_group="world"))


def test_weights_of_ones_own() -> None:
    """A sampler by class is one method."""

    class CubeRoot(ClassSampler):
        def weights(self, counts: torch.Tensor) -> torch.Tensor:
            return counts ** (-2 / 3)

    drawn = list(CubeRoot([0] * 64 + [1] * 8, num_samples=600))
    assert sum(index < 64 for index in drawn) == 400
    assert issubclass(CubeRoot, EpochSampler)


def test_a_state_that_is_none_is_one_sentence():
    with pytest.raises(ParameterError, match="state must have epoch and position"):
        BalancedSampler(TAIL).load_state_dict({"epochs": 1})
