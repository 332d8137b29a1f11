"""Many classes: the noise against its distribution, the losses against mpmath, torch and the full softmax."""

import math
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
import torch.distributed as dist
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

import lossmith
from lossmith.errors import DomainError, DtypeError, LossmithError, ParameterError, ShapeError
from lossmith.flow.loss import registry
from lossmith.losses.noise import COIN, LogUniform, Noise, Uniform, Unigram, alias_table, mix, random_bits
from tests.losses.oracle import EDGES, Want, agree, exact, jittered, mp, shipped

NAMES = shipped("sampling")
ONES = {"noise": "unigram", "counts": [0.0, 1.0, 0.0], "num_sampled": 4}  # all noise is class 1, expected 4 times
ALL = {**ONES, "remove_accidental_hits": True}
LOG = [[0.0], [math.log(4.0)], [math.log(2.0)]]
LAYER = {"in_features": 16, "n_classes": 10, "cutoffs": [2, 5]}  # a head of 2 + 2, clusters of 3 and 5
ZERO = [[0.0] * 16]

ANCHORS = {
    "nce": [
        (ONES, ([[1.0]], LOG), [1], 5 * math.log(2)),  # s = log(k q) = log 4: a toss-up for all five
        (ONES, ([[2.0]], LOG), [1], math.log(5 / 4) + 4 * math.log(5)),  # s = log 16: odds of 4
        (ONES, ([[1.0]], LOG), [2], 4 * math.log(2)),  # class 2 is never noise: it costs nothing itself
        (ALL, ([[2.0]], LOG), [1], math.log(5 / 4)),
        (ONES, ([[1.0]], LOG, [0.0, math.log(3.0), 0.0]), [1], math.log(4 / 3) + 4 * math.log(4)),
    ],
    "negative_sampling": [
        (ALL, ([[1.0]], LOG), [2], math.log(3 / 2) + 4 * math.log(5)),  # odds of 2, and 4 times of 4
        (ALL, ([[1.0]], LOG), [1], math.log(5 / 4)),  # all of the noise is the target
        ({**ONES, "remove_accidental_hits": False}, ([[1.0]], LOG), [1], math.log(5 / 4) + 4 * math.log(5)),
        (ALL, ([[0.0], [1.0]], LOG, [0.0, 0.0, math.log(3.0)]), [0, 2], (5.5 * math.log(2) - math.log(1.5)) / 2
         + (math.log(7 / 6) + 4 * math.log(5) - 0.5 * math.log(2) + math.log(1.5)) / 2),
    ],
    "sampled_softmax": [
        (ONES, ([[1.0]], LOG), [2], math.log(3)),  # 4 times e^(log 4) / 4, against 2
        (ONES, ([[1.0]], LOG), [1], 0.0),
        (ONES, ([[1.0]], LOG, [math.log(8.0), 0.0, 0.0]), [0], math.log(3 / 2)),  # 4 against 8
        ({**ONES, "remove_accidental_hits": False}, ([[1.0]], LOG), [1], math.log(5)),  # one of five alike
        ({**ONES, "num_sampled": 50}, ([[2.0]], LOG), [0], math.log(17)),  # 16 against 1, whatever k
    ],
    "adaptive_log_softmax": [
        (LAYER, ZERO, [1], math.log(4)),  # all scores are 0, whatever the weights
        (LAYER, ZERO, [4], math.log(4) + math.log(3)),
        ({**LAYER, "head_bias": False, "div_value": 2.0}, ZERO * 2, [0, 9], (2 * math.log(4) + math.log(5)) / 2),
    ],
}  # fmt: skip


# The formulas, as the papers print them ---------------------------------------------------------------------------
def sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def nce(s: list[Any], y: int, drawn: list[int], q: list[Any], hits: bool) -> Any:
    """Mnih and Teh: P(data) = p / (p + k q), p = exp(s); hits are noise that equals the target and stays."""
    k = len(drawn)

    def data(c: int) -> Any:
        return mp.exp(s[c]) / (mp.exp(s[c]) + k * q[c])

    return -mp.log(data(y)) - mp.fsum(mp.log(k * q[c] / (mp.exp(s[c]) + k * q[c])) for c in drawn if hits or c != y)


def negative_sampling(s: list[Any], y: int, drawn: list[int], q: list[Any], hits: bool) -> Any:
    """Mikolov et al., eq. 4, negated."""
    return -mp.log(sigmoid(s[y])) - mp.fsum(mp.log(sigmoid(-s[c])) for c in drawn if hits or c != y)


def sampled_softmax(s: list[Any], y: int, drawn: list[int], q: list[Any], hits: bool) -> Any:
    """Each candidate weighs exp(s) / expected count: for the target 1, or k q where it is a draw like the others."""
    k = len(drawn)
    own = mp.exp(s[y]) / (k * q[y] if hits else 1)
    return mp.log(1 + mp.fsum(mp.exp(s[c]) / (k * q[c]) for c in drawn if hits or c != y) / own)


def adaptive(hidden: list[Any], y: int, weights: dict[str, Any], cutoffs: list[int]) -> Any:
    """Grave et al., section 4.1: log p of the head's entry, and of the class in its cluster."""

    def log_p(layer: str, x: list[Any], at: int) -> Any:
        scores = [mp.fdot(row, x) for row in weights[layer]]
        return scores[at] - mp.log(mp.fsum(map(mp.exp, scores)))

    cluster = sum(y >= c for c in cutoffs)
    if not cluster:
        return -log_p("head", hidden, y)
    narrow = [mp.fdot(row, hidden) for row in weights[f"tail.{cluster - 1}.0"]]
    inside = log_p(f"tail.{cluster - 1}.1", narrow, y - cutoffs[cluster - 1])
    return -log_p("head", hidden, cutoffs[0] + cluster - 1) - inside


REFERENCES: dict[str, Callable[..., Any]] = {
    "nce": nce,
    "negative_sampling": negative_sampling,
    "sampled_softmax": sampled_softmax,
    "adaptive_log_softmax": adaptive,
}

COUNTS = [8, 1, 0, 3, 27]
POWERS = [mp.mpf(c) ** mp.mpf(0.75) for c in COUNTS]
Q = [p / mp.fsum(POWERS) for p in POWERS]


def want(value: Any, scale: Any) -> Want:
    """A number whose relative error is the absolute one of scores of this size, where it is small."""
    return value, value, abs(value) + min(abs(value), 1) * scale


# The losses against the formulas ----------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("hits", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_at_the_edges(name: str, hits: bool, dtype: torch.dtype) -> None:
    """Scores up to 1e4 apart, classes drawn twice, hits; the gradient in every score, by central differences."""
    loss = registry[name](
        noise="unigram", counts=COUNTS, num_sampled=6, seed=5, remove_accidental_hits=not hits, reduction="none"
    )
    drawn, f, step = loss.draw(5).tolist(), REFERENCES[name], mp.mpf("1e-50")
    assert len(set(drawn)) < 6
    table = jittered(EDGES, dtype)
    for row in range(len(table)):
        scores = table[[row, (3 * row + 1) % len(table), (5 * row + 2) % len(table), (7 * row) % len(table), 0]]
        y = [0, 3, 4, 1][row % 4]
        s = exact(scores)
        bias = scores.clone().requires_grad_()
        value = loss((torch.zeros(1, 2, dtype=dtype), torch.ones(5, 2, dtype=dtype), bias), torch.tensor([y]))
        (gradient,) = torch.autograd.grad(value, bias)
        size = max(map(abs, s))
        agree(value, [want(f(s, y, drawn, Q, hits), size)], at=[(row, y)])
        slopes = []
        for c in range(5):
            up, down = ([*s[:c], s[c] + d, *s[c + 1 :]] for d in (step, -step))
            low, high, scale = want((f(up, y, drawn, Q, hits) - f(down, y, drawn, Q, hits)) / (2 * step), size)
            slopes.append((low, high, scale + hits * drawn.count(c)))  # as target and as noise: they cancel
        agree(gradient, slopes, at=[(row, y, c) for c in range(5)])


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_the_weight_reach_their_scores(name: str) -> None:
    """Random hidden states and weights, with and without a bias: the scores are hidden @ weight.T + bias."""
    generator = torch.Generator().manual_seed(1)
    hidden, weight, bias = (torch.randn(*n, generator=generator).double() for n in ((4, 3), (5, 3), (5,)))
    target = torch.tensor([0, 4, 3, 1])
    loss = registry[name](noise="unigram", counts=COUNTS, num_sampled=7, seed=2, reduction="none")
    drawn, hits = loss.draw(5).tolist(), not loss.remove_accidental_hits
    for given in ((hidden, weight, bias), (hidden, weight)):
        scores = hidden @ weight.T + (bias if len(given) > 2 else 0)
        wants = [
            want(REFERENCES[name](exact(s), y, drawn, Q, hits), 1) for s, y in zip(scores, target.tolist(), strict=True)
        ]
        agree(loss(given, target), wants)


def problem(classes: int = 12, rows: int = 5) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = ((rows, 3), (classes, 3), (classes,))
    hidden, weight, bias = (torch.randn(*n, generator=generator).double() for n in sizes)
    return (hidden, weight, bias), torch.randint(0, classes, (rows,), generator=generator)


def test_torch() -> None:
    """The same numbers from torch's binary and class cross-entropy, on logits corrected by hand."""
    (hidden, weight, bias), target = problem()
    logits = F.linear(hidden, weight, bias)
    options: dict[str, Any] = {"noise": "log_uniform", "num_sampled": 30, "seed": 4, "reduction": "none"}
    drawn = lossmith.NCELoss(**options).draw(12)
    q = torch.tensor([math.log((c + 2) / (c + 1)) / math.log(13) for c in range(12)], dtype=torch.float64)
    both = torch.cat([logits.gather(1, target[:, None]), logits[:, drawn]], 1)
    count = torch.cat([(30 * q)[target][:, None], (30 * q)[drawn].expand(5, 30)], 1).log()
    labels = torch.zeros_like(both).index_fill(1, torch.tensor(0), 1)
    hit = torch.cat([torch.zeros(5, 1).bool(), drawn == target[:, None]], 1)
    assert hit.any()
    binary = F.binary_cross_entropy_with_logits(both - count, labels, reduction="none").sum(1)
    torch.testing.assert_close(lossmith.NCELoss(**options)((hidden, weight, bias), target), binary)
    plain = F.binary_cross_entropy_with_logits(both, labels, reduction="none").masked_fill(hit, 0).sum(1)
    torch.testing.assert_close(lossmith.NegativeSamplingLoss(**options)((hidden, weight, bias), target), plain)
    kept = (both - torch.cat([torch.zeros(5, 1), count[:, 1:]], 1)).masked_fill(hit, -math.inf)
    softmax = F.cross_entropy(kept, torch.zeros(5).long(), reduction="none")
    torch.testing.assert_close(lossmith.SampledSoftmaxLoss(**options)((hidden, weight, bias), target), softmax)


# Estimates of the full softmax ------------------------------------------------------------------------------------
def mean_gradient(loss: Any, draws: int, given: tuple[Tensor, ...], target: Tensor) -> tuple[Tensor, Tensor]:
    """The average of the gradient in all three inputs over so many calls, and its standard error."""

    def one(_: Tensor) -> tuple[Tensor, ...]:
        return torch.func.grad(lambda *x: loss(x, target), (0, 1, 2))(*given)

    torch.manual_seed(0)
    each = torch.cat([g.flatten(1) for g in torch.vmap(one, randomness="different")(torch.zeros(draws))], 1)
    return each.mean(0), each.std(0) / math.sqrt(draws)


def full_gradient(given: tuple[Tensor, ...], target: Tensor) -> Tensor:
    parts = torch.func.grad(lambda *x: F.cross_entropy(F.linear(*x), target), (0, 1, 2))(*given)
    return torch.cat([part.flatten() for part in parts])


OPTIONS: list[dict[str, Any]] = [
    {"noise": "unigram", "counts": [144.0, 121, 100, 81, 64, 49, 36, 25, 16, 9, 4, 1]},
    {"noise": "log_uniform"},
    {"noise": "uniform", "remove_accidental_hits": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options["noise"])
def test_sampled_softmax_converges_to_the_full_softmax(options: dict[str, Any]) -> None:
    """A law of the estimate: its bias falls with k, far beyond its own error, and is gone in the end."""
    given, target = problem()
    full = full_gradient(given, target)
    bias = {}
    for k in (4, 16, 64, 256):
        mean, error = mean_gradient(lossmith.SampledSoftmaxLoss(num_sampled=k, **options), 1500, given, target)
        bias[k] = float((mean - full).norm())
        assert bias[k] > float(error.norm())
    assert bias[16] < 0.65 * bias[4]
    assert bias[64] < 0.6 * bias[16]
    assert bias[256] < 0.5 * bias[64]
    mean, error = mean_gradient(lossmith.SampledSoftmaxLoss(num_sampled=20_000, **options), 40, given, target)
    assert float((mean - full).norm()) < 3 * float(error.norm()) < 0.02 * float(full.norm())


def test_nce_converges_to_the_full_softmax() -> None:
    """For scores that are log-probabilities already, the gradient of NCE is that of the likelihood as k grows."""
    (hidden, weight, bias), target = problem(rows=1)
    given = (hidden, weight, bias - F.linear(hidden, weight, bias).logsumexp(1))
    full, bias_at = full_gradient(given, target), {}
    for k in (4, 16, 64, 256):
        mean, error = mean_gradient(lossmith.NCELoss(num_sampled=k), 1500, given, target)
        bias_at[k] = float((mean - full).norm())
    assert bias_at[16] < 0.6 * bias_at[4]
    assert bias_at[64] < 0.5 * bias_at[16]
    mean, error = mean_gradient(lossmith.NCELoss(num_sampled=20_000), 40, given, target)
    assert float((mean - full).norm()) < 4 * float(error.norm()) < 0.05 * float(full.norm())


def test_the_sum_over_the_noise_is_without_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all 4^3 draws, weighted by their probability, exp(loss) is that of the full softmax: not nearly, exactly."""
    given, target = problem(classes=4)
    counts = torch.tensor([5.0, 1, 2, 9])
    q = counts.double() ** 0.75 / (counts.double() ** 0.75).sum()
    loss = lossmith.SampledSoftmaxLoss(noise="unigram", counts=counts, num_sampled=3, reduction="none")
    total = torch.zeros(5, dtype=torch.float64)
    for ids in product(range(4), repeat=3):
        monkeypatch.setattr(loss, "draw", lambda *_, ids=ids: torch.tensor(ids))
        total += q[list(ids)].prod() * loss(given, target).exp()
    torch.testing.assert_close(total, F.cross_entropy(F.linear(*given), target, reduction="none").exp())


def best_scores(loss: Any, p: Tensor) -> Tensor:
    """Where the loss is least, for targets of these probabilities and free scores: Newton's method."""
    nothing = torch.zeros(len(p), 1, dtype=p.dtype)
    slope = torch.func.grad(lambda s: loss((nothing, nothing, s), torch.arange(len(p)), sample_weight=p))
    scores = torch.zeros_like(p)
    for _ in range(15):
        scores = scores - torch.linalg.solve(torch.func.jacrev(slope)(scores), slope(scores))
    assert slope(scores).abs().max() < 1e-9
    return scores


def test_the_optimum_of_nce_is_the_log_probability_itself() -> None:
    """Without any softmax: exp(s) are the probabilities and sum to 1; given the draws, exactly p k q / drawn."""
    p = torch.tensor([0.5, 0.25, 0.15, 0.1], dtype=torch.float64)
    options: dict[str, Any] = {"noise": "unigram", "counts": [1.0, 4, 2, 2], "power": 1.0, "seed": 0}
    loss = lossmith.NCELoss(num_sampled=20_000, **options)
    q = torch.tensor([1.0, 4, 2, 2], dtype=torch.float64) / 9
    drawn = loss.draw(4).bincount(minlength=4)
    best = best_scores(loss, p)
    torch.testing.assert_close(best, (p * 20_000 * q / drawn).log())
    torch.testing.assert_close(best, p.log(), rtol=0, atol=0.05)
    assert abs(float(best.exp().sum()) - 1) < 0.02


def test_the_optimum_of_negative_sampling_depends_on_the_noise() -> None:
    """Levy and Goldberg (2014): log(p / (k q)); exactly log(p / drawn)."""
    p = torch.tensor([0.5, 0.25, 0.15, 0.1], dtype=torch.float64)
    loss = lossmith.NegativeSamplingLoss(
        noise="unigram", counts=[1.0, 4, 2, 2], seed=0, num_sampled=40, remove_accidental_hits=False
    )
    torch.testing.assert_close(best_scores(loss, p), (p / loss.draw(4).bincount(minlength=4)).log())


# The noise --------------------------------------------------------------------------------------------------------
GOLDEN = 0x9E3779B97F4A7C15 - 2**64


def test_random_bits_are_those_of_splitmix64() -> None:
    """The published sequence of seed 1234567, by way of its own state; key 0 is seed 0."""
    state = 1234567 + torch.arange(1, 6) * GOLDEN
    assert [number % 2**64 for number in mix(state).tolist()] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert torch.equal(random_bits(torch.tensor(0), 9), mix(torch.arange(1, 10) * GOLDEN))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own, while it imports inductor
def test_inductor_draws_the_same() -> None:
    """It reckons with indices in its own way, and was seen to get their products wrong; also for a fixed seed."""
    key, loss = torch.tensor(5), lossmith.NCELoss(num_sampled=5000, noise="uniform", seed=5)
    assert torch.equal(torch.compile(lambda key: random_bits(key, 5000), fullgraph=True)(key), random_bits(key, 5000))
    assert torch.equal(torch.compile(lambda: loss.draw(1000), fullgraph=True)(), loss.draw(1000))


DISTRIBUTIONS = {
    "two": torch.tensor([0.25, 0.75]),
    "one": torch.tensor([0.0, 1.0, 0.0]),
    "uniform": torch.ones(1000),
    "zeros": torch.tensor([0.0, 0, 3, 0, 1, 0, 0, 2]),
    "zipf": 1 / torch.arange(1, 100_001),
    "steep": torch.logspace(0, -300, 200, dtype=torch.float64),
    "random": torch.rand(4096, generator=torch.Generator().manual_seed(0)) ** 6,
}


@pytest.mark.parametrize("q", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys())
def test_the_alias_table_holds_the_distribution(q: Tensor) -> None:
    """What the columns keep and give away sums up to the probabilities; none keeps less than 0 or more than all."""
    threshold, alias = alias_table(q)
    keep = threshold.double() / COIN
    assert (keep >= 0).all()
    assert (keep <= 1).all()
    implied = keep.index_add(0, alias, 1 - keep) / len(q)
    torch.testing.assert_close(implied, q.double() / q.double().sum(), rtol=0, atol=1e-12)


def test_a_million_classes_take_a_moment() -> None:
    start = time.perf_counter()
    alias_table(1 / torch.arange(1, 1_000_001))
    assert time.perf_counter() - start < 60


NOISES: dict[str, tuple[Noise, list[Any]]] = {
    "unigram": (Unigram(torch.tensor(COUNTS), 0.75), Q),
    "unigram-plain": (Unigram(torch.tensor(COUNTS), 0.0), [mp.mpf(c > 0) / 4 for c in COUNTS]),
    "log_uniform": (LogUniform(), [mp.log(mp.mpf(c + 2) / (c + 1)) / mp.log(51) for c in range(50)]),
    "uniform": (Uniform(), [mp.mpf(1) / 37] * 37),
}


@pytest.mark.parametrize("seed", [0, 1, -(2**63), 123456789])
@pytest.mark.parametrize(("noise", "q"), NOISES.values(), ids=NOISES.keys())
def test_draws_follow_the_distribution(noise: Noise, q: list[Any], seed: int) -> None:
    """Chi-squared of a million draws at a fixed seed, and of what follows what."""
    drawn = noise.draw(torch.tensor(seed), 1_000_000, len(q))
    seen = drawn.bincount(minlength=len(q)).double()
    p = torch.tensor([float(x) for x in q], dtype=torch.float64)
    assert (seen[p == 0] == 0).all()
    assert stats.chisquare(seen[p > 0], p[p > 0] * len(drawn)).pvalue > 1e-3
    pairs = (drawn[::2] * len(q) + drawn[1::2]).bincount(minlength=len(q) ** 2).double()
    both = torch.outer(p, p).flatten()
    enough = both * 500_000 > 5
    observed, expected = pairs[enough], both[enough]
    assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-3


def test_neighbouring_seeds_are_independent() -> None:
    """The first draw of seeds 0 ... 1999 is as even as the draws of one seed."""
    first = torch.stack([Uniform().draw(torch.tensor(seed), 3, 10) for seed in range(2000)])
    for column in first.T:
        assert stats.chisquare(column.bincount(minlength=10)).pvalue > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("noise", "q"), NOISES.values(), ids=NOISES.keys())
def test_log_q_is_exact(noise: Noise, q: list[Any], dtype: torch.dtype) -> None:
    seen = [c for c, x in enumerate(q) if x > 0]
    got = noise.log_q(torch.tensor(seen), len(q), dtype)
    agree(got, [want(mp.log(q[c]), 1) for c in seen])


def test_the_largest_class_of_a_million_is_drawn_and_none_beyond() -> None:
    drawn = LogUniform().draw(torch.tensor(0), 3_000_000, 1_000_000)
    assert drawn.min() == 0
    assert 999_000 < int(drawn.max()) < 1_000_000


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_table_survives_half_precision(dtype: torch.dtype) -> None:
    """A loss is often part of a model that is cast as a whole; log q in bfloat16 would be 3% off."""
    loss = lossmith.NCELoss(noise="unigram", counts=COUNTS, num_sampled=50, seed=0)
    before, drawn = loss.distribution.log_q(torch.arange(5), 5, torch.float64), loss.draw(5)
    loss.to(dtype)
    assert torch.equal(loss.draw(5), drawn)
    assert torch.equal(loss.distribution.log_q(torch.arange(5), 5, torch.float64), before)


def test_noise_is_new_at_every_call_and_repeats_with_torchs_seed() -> None:
    given, target = problem()
    loss = lossmith.SampledSoftmaxLoss(num_sampled=8)
    torch.manual_seed(3)
    first, second = loss(given, target), loss(given, target)
    assert first != second
    torch.manual_seed(3)
    assert loss(given, target) == first
    fixed = lossmith.SampledSoftmaxLoss(num_sampled=8, seed=3)
    assert fixed(given, target) == fixed(given, target)


def test_unseeded_noise_compiles_whole() -> None:
    given, target = problem()
    compiled = torch.compile(lossmith.NCELoss(num_sampled=8), fullgraph=True, backend="aot_eager")
    assert len({float(compiled(given, target)) for _ in range(3)}) == 3


# Inputs -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_computed_in_float32(name: str) -> None:
    """Also under autocast, which would take the product of hidden and weight down to bfloat16."""
    given, target = problem()
    loss = registry[name](seed=0, num_sampled=9)
    half = tuple(x.half() for x in given)
    exact_value = loss(tuple(x.float() for x in half), target)
    assert torch.equal(loss(half, target), exact_value)
    mixed = (half[0], half[1].float(), half[2].float())  # what autocast hands over
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(mixed, target), exact_value)


@pytest.mark.parametrize("name", [*NAMES, "adaptive_log_softmax"])
def test_a_batch_of_sequences_is_a_batch_of_rows(name: str) -> None:
    """[B, T, H] and [B, T] are what language models have; a mask and the values have [B, T] too."""
    loss = registry[name](**registry[name].example, reduction="none")
    input, target = loss.sample(torch.Generator().manual_seed(0), 6)
    hidden, *shared = input if isinstance(input, tuple) else (input,)
    folded = (hidden.reshape(2, 3, -1), *shared)
    mask = torch.tensor([[1, 0, 1], [1, 1, 0]]).bool()
    got = loss(folded if shared else folded[0], target.reshape(2, 3), mask=mask)
    torch.testing.assert_close(got, torch.where(mask, loss(input, target).reshape(2, 3), 0.0))
    ignored = torch.where(mask, target.reshape(2, 3), -100)
    torch.testing.assert_close(loss(folded if shared else folded[0], ignored), got)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_the_weight_can_be_sparse(name: str) -> None:
    (hidden, weight, bias), target = problem(classes=50)
    grads = []
    for sparse in (False, True):
        leaf = weight.clone().requires_grad_()
        registry[name](seed=0, num_sampled=6, sparse=sparse)((hidden, leaf, bias), target).backward()
        assert leaf.grad is not None
        assert leaf.grad.is_sparse == sparse
        grads.append(leaf.grad.to_dense())
    torch.testing.assert_close(*grads)
    assert 0 < (grads[0] != 0).any(1).sum() <= 11


@pytest.mark.parametrize("name", NAMES)
def test_noise_that_is_all_hits_leaves_nothing_to_learn_from_it(name: str) -> None:
    """Every draw is the target of the one row: finite value and gradient, in float32 and at scores of 1e4."""
    for size in (0.0, 1e4, -1e4):
        bias = torch.tensor([0.0, size, 0.0], requires_grad=True)
        value = registry[name](**ALL)((torch.ones(1, 1), torch.zeros(3, 1), bias), torch.tensor([1]))
        (gradient,) = torch.autograd.grad(value, bias)
        assert value.isfinite()
        assert gradient.isfinite().all()
        assert (gradient[[0, 2]] == 0).all()


TWO = (torch.zeros(4, 3), torch.zeros(9, 3))
Y = torch.zeros(4, dtype=torch.int64)
SENTENCES: list[tuple[Callable[[], Any], type[LossmithError], str]] = [
    (
        lambda: lossmith.NCELoss(noise="unigram"),
        ParameterError,
        'NCELoss: noise="unigram" needs counts=, how often each class was seen; without them there are "log_uniform" '
        '(classes in the order of falling frequency) and "uniform"',
    ),
    (
        lambda: lossmith.NCELoss(counts=[1, 2]),
        ParameterError,
        'NCELoss: counts and power belong to noise="unigram", not to "log_uniform"',
    ),
    (
        lambda: lossmith.NCELoss(noise="uniform", power=1.0),
        ParameterError,
        'NCELoss: counts and power belong to noise="unigram", not to "uniform"',
    ),
    (
        lambda: lossmith.NCELoss(noise="unigram", counts=[0.0, 0.0]),
        ParameterError,
        "NCELoss: counts must be one number per class for at least 2, and not all of them 0",
    ),
    (
        lambda: lossmith.NCELoss(num_sampled=0),
        ParameterError,
        "NCELoss: num_sampled must be an integer of at least 1, not 0",
    ),
    (
        lambda: lossmith.NCELoss(num_sampled=2.5),
        ParameterError,
        "NCELoss: num_sampled must be an integer of at least 1, not 2.5",
    ),
    (
        lambda: lossmith.NCELoss()(torch.zeros(4, 3), Y),
        DtypeError,
        "NCELoss: input must be a tuple of tensors, (hidden, weight, bias) or (hidden, weight)",
    ),
    (
        lambda: lossmith.NCELoss()((*TWO, None), Y),
        DtypeError,
        "NCELoss: hidden, weight and bias must be a torch tensor; it is builtins.NoneType",
    ),
    (
        lambda: lossmith.NCELoss()((torch.zeros(4, 2), TWO[1]), Y),
        ShapeError,
        "NCELoss: hidden must have shape [*, 3], as the weight has; it has [4, 2]",
    ),
    (
        lambda: lossmith.NCELoss()((*TWO, torch.zeros(8)), Y),
        ShapeError,
        "NCELoss: weight must be [V, H] for at least 2 classes and bias [V]; they are [9, 3] and [8]",
    ),
    (
        lambda: lossmith.NCELoss()(TWO, Y[:3]),
        ShapeError,
        "NCELoss: target must be class indices of shape [4] for hidden of shape [4, 3]; it has shape [3]",
    ),
    (
        lambda: lossmith.NCELoss()(TWO, Y.float()),
        DtypeError,
        "NCELoss: target must be class indices (int64); it is float32",
    ),
    (
        lambda: lossmith.NCELoss()(TWO, Y + 9),
        DomainError,
        "NCELoss: target must be class indices in [0, 9); 4 of 4 are not, first 9",
    ),
    (
        lambda: lossmith.NCELoss(noise="unigram", counts=[1, 2, 3])(TWO, Y),
        ShapeError,
        "NCELoss: weight has 9 classes, and counts are of 3",
    ),
    (
        lambda: lossmith.NCELoss(noise="unigram", counts=[1] * 9).to("meta")(TWO, Y),
        ParameterError,
        "NCELoss: the noise table is on meta and hidden on cpu; move the loss there, loss.to('cpu')",
    ),
    (
        lambda: lossmith.AdaptiveLogSoftmaxLoss(n_classes=10),
        ParameterError,
        "AdaptiveLogSoftmaxLoss: the sizes of the layer must be given, such as in_features=512, n_classes=100_000, "
        "cutoffs=[2_000, 20_000]",
    ),
    (
        lambda: lossmith.AdaptiveLogSoftmaxLoss(in_features=16, n_classes=10, cutoffs=[5, 2]),
        ParameterError,
        "AdaptiveLogSoftmaxLoss: cutoffs must increase and end below n_classes=10; they are (5, 2)",
    ),
    (
        lambda: lossmith.AdaptiveLogSoftmaxLoss(in_features=16, n_classes=10, cutoffs=[2, 10]),
        ParameterError,
        "AdaptiveLogSoftmaxLoss: cutoffs must increase and end below n_classes=10; they are (2, 10)",
    ),
    (
        lambda: lossmith.AdaptiveLogSoftmaxLoss(in_features=16, n_classes=10, cutoffs=[]),
        ParameterError,
        "AdaptiveLogSoftmaxLoss: cutoffs must be a list of integers of at least 1, not []",
    ),
    (
        lambda: lossmith.AdaptiveLogSoftmaxLoss(in_features=8, n_classes=10, cutoffs=[2, 5]),
        ParameterError,
        "AdaptiveLogSoftmaxLoss: in_features=8 divided 2 times by div_value=4 leaves the last cluster no input; use a "
        "smaller div_value or fewer cutoffs",
    ),
    (
        lambda: lossmith.AdaptiveLogSoftmaxLoss(**LAYER)(torch.zeros(4, 3), Y),
        ShapeError,
        "AdaptiveLogSoftmaxLoss: hidden must have shape [*, 16], as the weight has; it has [4, 3]",
    ),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), SENTENCES, ids=[s[2][:60] for s in SENTENCES])
def test_sentence(call: Callable[[], Any], kind: type[LossmithError], sentence: str) -> None:
    with pytest.raises(kind) as found:
        call()
    assert str(found.value) == sentence


# Ranks ------------------------------------------------------------------------------------------------------------
def rank_of_two(rank: int, init: str, results: str) -> None:
    """Unseeded noise, and torch's generators differ: the draws must still be those of rank 0."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{init}", rank=rank, world_size=2)
    torch.manual_seed(rank)
    loss = lossmith.SampledSoftmaxLoss(num_sampled=20, process_group="world")
    given, target = problem()
    part = slice(0, 2) if rank == 0 else slice(2, 5)
    value = loss((given[0][part], *given[1:]), target[part])
    if rank == 1:
        torch.save(value, results)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_ranks_share_the_noise_of_rank_0(tmp_path) -> None:  # type: ignore[no-untyped-def]
    given = (str(tmp_path / "init"), str(tmp_path / "results"))
    torch.multiprocessing.start_processes(rank_of_two, given, nprocs=2, start_method="fork")
    torch.manual_seed(0)
    want_value = lossmith.SampledSoftmaxLoss(num_sampled=20)(*problem())
    torch.testing.assert_close(torch.load(tmp_path / "results", weights_only=True), want_value)


# The adaptive softmax ---------------------------------------------------------------------------------------------
def layer(**options: Any) -> tuple[lossmith.AdaptiveLogSoftmaxLoss, Tensor, Tensor]:
    loss = lossmith.AdaptiveLogSoftmaxLoss(**{**LAYER, "div_value": 2.0, "seed": 1, **options})
    generator = torch.Generator().manual_seed(2)
    return loss, torch.randn(7, 16, generator=generator), torch.tensor([0, 1, 2, 4, 5, 9, 3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adaptive_softmax_against_its_paper(dtype: torch.dtype) -> None:
    """Grave et al.'s formula on the layer's own weights, as float64 where hidden is: not what float32 makes of them."""
    loss, hidden, target = layer(reduction="none")
    weights = {k.removesuffix(".weight"): list(map(exact, w)) for k, w in loss.layer.named_parameters()}
    wants = [want(adaptive(exact(x), y, weights, [2, 5]), 1) for x, y in zip(hidden, target.tolist(), strict=True)]
    value = loss(hidden.to(dtype), target)
    assert value.dtype == dtype
    agree(value, wants)


@pytest.mark.parametrize("head_bias", [False, True])
def test_adaptive_softmax_is_torchs(head_bias: bool) -> None:
    """Value, gradients of hidden and of the weights, log_prob and predict."""
    loss, hidden, target = layer(head_bias=head_bias)
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(16, 10, [2, 5], 2.0, head_bias)
    theirs.load_state_dict(loss.layer.state_dict())
    value, other = loss(hidden, target), theirs(hidden, target).loss
    torch.testing.assert_close(value, other)
    for a, b in zip(
        torch.autograd.grad(value, list(loss.parameters())),
        torch.autograd.grad(other, list(theirs.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(loss.log_prob(hidden), theirs.log_prob(hidden))
    assert torch.equal(loss.predict(hidden), theirs.predict(hidden))
    assert torch.equal(loss.predict(hidden), loss.log_prob(hidden).argmax(1))
    assert loss.log_prob(hidden.view(1, 7, 16)).shape == (1, 7, 10)
    assert loss.predict(hidden.view(1, 7, 16)).shape == (1, 7)


def test_adaptive_softmax_learns_and_its_state_comes_back() -> None:
    loss, hidden, target = layer()
    assert lossmith.create(str(loss))(hidden, target) == loss(hidden, target)
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        loss(hidden, target).backward()
        optimiser.step()
    assert loss(hidden, target).item() < 0.05
    twin, *_ = layer(seed=9)
    assert twin(hidden, target) > 1
    twin.load_state_dict(loss.state_dict())
    assert twin(hidden, target) == loss(hidden, target)


def test_a_seed_leaves_torchs_generator_alone() -> None:
    torch.manual_seed(5)
    first, *_ = layer()
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == drawn
    again, *_ = layer()
    other, *_ = layer(seed=None)
    assert torch.equal(first.layer.head.weight, again.layer.head.weight)
    assert not torch.equal(first.layer.head.weight, other.layer.head.weight)


def test_half_precision_weights_are_computed_in_float32() -> None:
    loss, hidden, target = layer()
    loss.half()
    half = hidden.half()
    value = loss(half, target)
    assert value.dtype == torch.float32
    wide, *_ = layer()
    wide.load_state_dict({k: v.float() for k, v in loss.state_dict().items()})
    torch.testing.assert_close(value, wide(half.float(), target))
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = wide(hidden, target)
    assert torch.equal(under_autocast, wide(hidden, target))
