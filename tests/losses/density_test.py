"""Gradient harmonising against the paper's definition in mpmath, and mmdetection's loop with its two differences."""

import copy
import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor

import lossmith
from lossmith.errors import ParameterError
from lossmith.flow.partial import Partial
from lossmith.losses import density
from tests.losses.oracle import (
    EDGES,
    Want,
    add,
    agree,
    exact,
    jittered,
    mp,
    negative_log,
    sigmoid_loss,
    slope,
    softmax,
    softmax_loss,
    times,
    total,
    with_gradient,
)

log, sqrt = math.log, math.sqrt
SURE = [log(9.0), log(9.0), log(9.0), -log(3.0)]  # p of .9 thrice and .25: g = .1, .1, .1, .75
ONES = [1.0, 1.0, 1.0, 1.0]
ANCHORS: dict[str, list[tuple[dict[str, Any], Any, Any, float]]] = {
    "ghmc": [
        ({"link": "sigmoid", "bins": 2}, SURE, ONES, (-log(0.9) + log(4)) / 2),  # two bins, a mean in each
        ({"link": "sigmoid", "bins": 4}, SURE, ONES, (-log(0.9) + log(4)) / 4),  # the paper divides by all four
        ({"link": "sigmoid", "bins": 4, "normalize": "nonempty"}, SURE, ONES, (-log(0.9) + log(4)) / 2),
        ({"link": "sigmoid", "bins": 4, "reduction": "sum"}, SURE, ONES, -log(0.9) + log(4)),
        ({"bins": 1}, [[0.0, log(3.0)], [0.0, 0.0]], [0, 1], (log(4) + log(2)) / 2),  # one bin: cross-entropy
        ({"bins": 2}, [[0.0, log(3.0)], [log(9.0), 0.0], [0.0, log(9.0)]], [0, 0, 1], (log(4) - log(0.9)) / 2),
        ({"link": "sigmoid", "bins": 2, "weight": [1.0, 3.0]}, [0.0, log(9.0), log(3.0)], [0.0, 1.0, 0.0],
         (-log(0.9) + (log(2) + log(4)) / 2) / 2),
    ],
    "ghmr": [
        ({"mu": 3.0, "bins": 2}, [4.0, 4.0, 1.25], [0.0, 0.0, 0.0], (2 + 0.25) / 2),  # g = 4/5, 4/5, 5/13
        ({"mu": 3.0, "bins": 10}, [4.0, -4.0, 1.25], [0.0, 0.0, 0.0], (2 + 0.25) / 10),
        ({"mu": 3.0, "bins": 10, "normalize": "nonempty"}, [4.0, -4.0], [0.0, 0.0], 2.0),
        ({}, [0.02, 0.0], [0.0, 0.0], (sqrt(2) - 1) * 0.02 / 10),
    ],
}  # fmt: skip


# References -------------------------------------------------------------------------------------------------------
def published(lengths: list[Any], weights: list[Any], bins: int, nonempty: bool = False) -> list[Any]:
    """1 / GD(g_i) of Li et al.: the number in the unit region of g_i, times how many regions there are."""
    regions = [min(int(g * bins), bins - 1) for g in lengths]
    count = [mp.fsum(w for r, w in zip(regions, weights, strict=True) if r == k) for k in range(bins)]
    many = sum(c > 0 for c in count) if nonempty else bins
    return [w / (count[r] * many) for r, w in zip(regions, weights, strict=True)]


class Detection:
    """mmdetection's GHM as it runs: a loop over bins, `n` of those with members, state that starts from 0.

    `corrected` and `decayed` put right what it has wrong: the average is divided by its weight so far, and an empty
    bin's average decays as well.
    """

    def __init__(self, bins: int, momentum: float, *, corrected: bool, decayed: bool) -> None:
        self.edges = [k / bins for k in range(bins)] + [1 + 1e-6]
        self.bins, self.momentum, self.corrected, self.decayed = bins, momentum, corrected, decayed
        self.average, self.calls = [0.0] * bins, 0

    def __call__(self, lengths: np.ndarray, values: np.ndarray) -> float:
        self.calls += 1
        known = 1 - self.momentum**self.calls if self.corrected and self.momentum else 1.0
        weights, filled = np.zeros_like(values), 0
        for k in range(self.bins):
            inside = (lengths >= self.edges[k]) & (lengths < self.edges[k + 1])
            number = inside.sum()
            if number > 0 or self.decayed:
                self.average[k] = self.momentum * self.average[k] + (1 - self.momentum) * number
            if number > 0:
                weights[inside] = len(values) / (self.average[k] / known)
                filled += 1
        return float((weights / filled * values).sum() / len(values))


REFERENCES: dict[str, Callable[..., Any]] = {"ghmc": published, "ghmr": published}


def harmonised(parts: list[tuple[Want, list[Want]]], lengths: list[Any], bins: int) -> tuple[Want, list[Want]]:
    """Value and gradient of a mean from those of each unit."""
    factors = published(lengths, [mp.mpf(1)] * len(parts), bins)
    value = add(*(times(one, factor) for (one, _), factor in zip(parts, factors, strict=True)))
    return value, [times(g, factor) for (_, gradient), factor in zip(parts, factors, strict=True) for g in gradient]


# Value and gradient -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("bins", [1, 3, 10, 30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ghmc_of_single_labels(bins: int, dtype: torch.dtype) -> None:
    """Logits up to 10,000, labels absent, present and soft: value and gradient of the whole batch."""
    z = jittered([a for a in EDGES if abs(a) > 1e-3 and (dtype == torch.float32 or abs(a) <= 200)], dtype)
    t = torch.tensor([0.0, 1.0, 0.26], dtype=dtype)[torch.arange(len(z)) % 3]  # .26: no g rounds to an edge of a bin
    points = list(zip(exact(z), exact(t), strict=True))
    answers = [sigmoid_loss(negative_log, a, b) for a, b in points]
    lengths = [abs(1 / (1 + mp.exp(-a)) - b) for a, b in points]
    value, gradient = with_gradient(lossmith.GHMCLoss(link="sigmoid", bins=bins), z, t)
    want, slopes = harmonised([(one, [g]) for one, g in answers], lengths, bins)
    agree(value, [want])
    agree(gradient, slopes, at=points)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("bins", [1, 3, 10, 30])
def test_ghmc_of_classes(bins: int, soft: bool) -> None:
    """g is 1 - p of the target, and half of the distance between p and the target where that is a mixture."""
    generator = torch.Generator().manual_seed(0)
    z = 3 * torch.randn(40, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (40,), generator=generator)
    target = torch.rand(40, 3, generator=generator, dtype=torch.float64).mul(4).softmax(1) if soft else y
    shares = [exact(row) for row in target] if soft else [[mp.mpf(k == c) for c in range(3)] for k in y.tolist()]
    parts, lengths = [], []
    for row, share in zip(z.tolist(), shares, strict=True):
        parts.append(softmax_loss(negative_log, tuple(row), tuple((c, q) for c, q in enumerate(share) if q), (0, 1, 2)))
        lengths.append(mp.fsum(abs(p - q) for (p, _), q in zip(softmax(tuple(row)), share, strict=True)) / 2)
    value, gradient = with_gradient(lossmith.GHMCLoss(bins=bins), z, target)
    want, slopes = harmonised(parts, lengths, bins)
    agree(value, [want])
    agree(gradient, slopes)


@pytest.mark.parametrize("mu", [0.02, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ghmr(mu: float, dtype: torch.dtype) -> None:
    """Residuals from 1e-45 to 1e20, both signs, and 0."""
    x = jittered((*EDGES, 1e6, -1e20, 0.02, 0.015), dtype)

    def error(r: Any) -> Any:
        return mp.sqrt(r * r + mp.mpf(mu) ** 2) - mp.mpf(mu)

    parts = [(total(error(r)), [slope(error, r)]) for r in exact(x)]
    lengths = [abs(r) / mp.sqrt(r * r + mp.mpf(mu) ** 2) for r in exact(x)]
    value, gradient = with_gradient(lossmith.GHMRLoss(mu=mu, bins=7), x, torch.zeros_like(x))
    want, slopes = harmonised(parts, lengths, 7)
    agree(value, [want])
    agree(gradient, slopes, at=exact(x))
    each = lossmith.GHMRLoss(mu=mu).formula(x, torch)
    agree(each, [one for one, _ in parts], at=exact(x))


@pytest.mark.parametrize("smoothing", ["uniform", "others"])
def test_smoothing_moves_g_as_well(smoothing: str) -> None:
    """The gradient of a smoothed loss is p minus the smoothed target, over classes and for single labels."""
    z = torch.randn(50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = torch.arange(50) % 2
    options = {"label_smoothing": 0.3, "smoothing": smoothing, "bins": 5}
    share = 0.7 * y + (0.15 if smoothing == "uniform" else 0.3 * (1 - y))
    want = lossmith.GHMCLoss(link="sigmoid", bins=5)(z, share)
    torch.testing.assert_close(lossmith.GHMCLoss(link="sigmoid", **options)(z, y), want)
    two = torch.stack([torch.zeros_like(z), z], 1)
    torch.testing.assert_close(lossmith.GHMCLoss(**options)(two, y), want)


# The moving average -----------------------------------------------------------------------------------------------
def batches(count: int, units: int = 400) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(2)
    return [
        (
            3 * torch.randn(units, generator=generator, dtype=torch.float64) - 2,
            torch.randint(0, 2, (units,), generator=generator).double(),
        )
        for _ in range(count)
    ]


def losses_of(loss: Callable[..., Any], data: list[tuple[Tensor, Tensor]]) -> list[float]:
    if not isinstance(loss, Detection):
        return [float(loss(z, t)) for z, t in data]
    found = []
    for z, t in data:
        values = torch.nn.functional.binary_cross_entropy_with_logits(z, t, reduction="none")
        found.append(loss((z.sigmoid() - t).abs().numpy(), values.numpy()))
    return found


@pytest.mark.parametrize("momentum", [0.0, 0.75])
@pytest.mark.parametrize("bins", [10, 30, 100])
def test_mmdetection_with_its_two_differences_put_right(bins: int, momentum: float) -> None:
    """Divided by the bins with members, 20 steps of the same size; 100 bins leave some empty in most batches."""
    data = batches(20)
    ours = lossmith.GHMCLoss(link="sigmoid", bins=bins, momentum=momentum, normalize="nonempty").double()
    theirs = Detection(bins, momentum, corrected=True, decayed=True)
    assert losses_of(ours, data) == pytest.approx(losses_of(theirs, data), rel=1e-9)


def test_d11_mmdetection_as_it_is_starts_4_times_too_big() -> None:
    """With momentum .75 its first loss is 4 times ours, the second 16/7, and after 20 steps of full bins they agree."""
    data = batches(20)
    ours = losses_of(lossmith.GHMCLoss(link="sigmoid", momentum=0.75, normalize="nonempty").double(), data)
    theirs = losses_of(Detection(10, 0.75, corrected=False, decayed=False), data)
    assert theirs[0] / ours[0] == pytest.approx(4)
    assert theirs[1] / ours[1] == pytest.approx(1 / (1 - 0.75**2))
    assert theirs[19] / ours[19] == pytest.approx(1 / (1 - 0.75**20))


def test_d11_the_paper_divides_by_all_bins() -> None:
    """Two of four bins have members: one normalisation is twice the other."""
    z, t = torch.tensor(SURE), torch.tensor(ONES)
    paper, theirs = (lossmith.GHMCLoss(link="sigmoid", bins=4, normalize=n)(z, t) for n in ("bins", "nonempty"))
    torch.testing.assert_close(2 * paper, theirs)


def test_a_moving_average_by_hand() -> None:
    """Shares (3/4, 1/4), then (1/4, 3/4), momentum 1/2: the averages are (3/4, 1/4), then (5/12, 7/12)."""
    loss = lossmith.GHMCLoss(link="sigmoid", bins=2, momentum=0.5)
    first, second = torch.tensor(SURE), torch.tensor([log(9.0), -log(3.0), -log(3.0), -log(3.0)])
    easy, bad = -log(0.9), log(4)
    assert float(loss(first, torch.ones(4))) == pytest.approx((easy + bad) / 2)
    assert loss.histogram.tolist() == pytest.approx([3 / 8, 1 / 8])
    assert float(loss.correction) == 0.5
    want = (1 / (5 / 12 * 4) * easy + 3 / (7 / 12 * 4) * bad) / 2
    assert float(loss(second, torch.ones(4))) == pytest.approx(want)
    assert (loss.histogram / loss.correction).tolist() == pytest.approx([5 / 12, 7 / 12])


def trained(momentum: float = 0.75, **options: Any) -> Any:
    loss = lossmith.GHMCLoss(link="sigmoid", momentum=momentum, **options)
    for z, t in batches(3):
        loss(z, t)
    return loss


def test_the_same_next_loss_after_save_and_load() -> None:
    """state_dict through a file, deepcopy and pickle; a new loss would give another number."""
    loss, (z, t) = trained(), batches(4)[3]
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    loaded = lossmith.GHMCLoss(link="sigmoid", momentum=0.75)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    twins = [loaded, copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))]  # noqa: S301
    want = loss(z, t)
    assert all(torch.equal(twin(z, t), want) for twin in twins)
    assert not torch.allclose(lossmith.GHMCLoss(link="sigmoid", momentum=0.75)(z, t), want)
    after = loss(z, t)
    assert all(torch.equal(twin(z, t), after) for twin in twins)
    assert set(loss.state_dict()) >= {"histogram", "correction"}


def test_eval_mode_sees_the_average_and_leaves_it() -> None:
    loss, (z, t) = trained(), batches(4)[3]
    before = copy.deepcopy(loss.state_dict())
    loss.eval()
    first, again = loss(z, t), loss(z, t)
    assert torch.equal(first, again)
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())
    loss.train()
    assert torch.equal(loss(z, t), first)
    assert not torch.equal(loss.histogram, before["histogram"])


def test_nothing_does_not_move_the_average() -> None:
    """An empty batch, and one that is all masked."""
    loss = trained()
    before = copy.deepcopy(loss.state_dict())
    assert float(loss(torch.zeros(0), torch.zeros(0))) == 0
    assert float(loss(torch.zeros(5), torch.zeros(5), mask=torch.zeros(5).bool())) == 0
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


def test_merged_partials_move_the_average_once() -> None:
    """Micro-batches whose partials are merged are one batch, for the loss and for what it remembers."""
    whole, parts, (z, t) = trained(), trained(), batches(4)[3]
    one = whole(z, t)
    partials = [parts.partial(z[s], t[s]) for s in (slice(0, 7), slice(7, 300), slice(300, 400))]
    torch.testing.assert_close(parts.reduce(partials[0].merge(*partials[1:])), one)
    torch.testing.assert_close(parts.histogram, whole.histogram)


def two_ranks(rank: int, init: str, results: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{init}", rank=rank, world_size=2)
    loss = lossmith.GHMCLoss(link="sigmoid", momentum=0.75, process_group="world")
    none = lossmith.GHMCLoss(link="sigmoid", process_group="world", reduction="none")
    part = slice(0, 100) if rank == 0 else slice(100, 400)
    values = [loss(z[part], t[part]) for z, t in batches(3)]
    z, t = batches(1)[0]
    torch.save((values, loss.state_dict(), none(z[part], t[part])), f"{results}{rank}")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_two_ranks_keep_the_state_of_one(tmp_path: Path) -> None:
    """Uneven parts of a batch: both ranks see the loss and keep the averages of the whole."""
    torch.multiprocessing.spawn(two_ranks, (str(tmp_path / "init"), str(tmp_path / "rank")), nprocs=2)
    alone = lossmith.GHMCLoss(link="sigmoid", momentum=0.75)
    want = [alone(z, t) for z, t in batches(3)]
    found = [torch.load(tmp_path / f"rank{k}", weights_only=True) for k in (0, 1)]
    for values, state, _ in found:
        torch.testing.assert_close(values, want)
        torch.testing.assert_close(dict(state), dict(alone.state_dict()))
    each = lossmith.GHMCLoss(link="sigmoid", reduction="none")(*batches(1)[0])
    torch.testing.assert_close(torch.cat([none for _, _, none in found]), each)


# Sums, weights, machinery -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_reductions_agree(momentum: float) -> None:
    """The mean over units of "none" is the loss, its sum is "sum"; weighted, the mean divides by the weights."""
    z, t = batches(1)[0]
    weight = torch.arange(400.0, dtype=torch.float64) % 4
    for call, share in (({}, torch.tensor(400.0)), ({"sample_weight": weight}, weight.sum())):
        none, mean, whole = (
            lossmith.GHMCLoss(link="sigmoid", momentum=momentum, reduction=r)(z, t, **call)
            for r in ("none", "mean", "sum")
        )
        assert none.shape == z.shape
        torch.testing.assert_close(none.sum(), whole)
        torch.testing.assert_close(whole / share, mean)


def test_costs_stay_out_of_the_bins_and_weights_do_not() -> None:
    """weight repeats a unit, alpha and pos_weight only make it dearer."""
    z, t = batches(1)[0]
    where = (t > 0).nonzero().flatten()
    three = torch.cat([z, z[where], z[where]]), torch.cat([t, t[where], t[where]])
    torch.testing.assert_close(
        lossmith.GHMCLoss(link="sigmoid", weight=[1.0, 3.0])(z, t), lossmith.GHMCLoss(link="sigmoid")(*three)
    )
    costly = lossmith.GHMCLoss(link="sigmoid", pos_weight=3.0, reduction="none")(z, t)
    torch.testing.assert_close(costly, lossmith.GHMCLoss(link="sigmoid", reduction="none")(z, t) * (1 + 2 * t))


def test_the_last_bin_includes_its_right_end() -> None:
    """g = 1 exactly, a label missed by 200 logits, lies in the last bin and not beyond it."""
    partial = lossmith.GHMCLoss(link="sigmoid", bins=4).partial(torch.tensor([-200.0, 0.0]), torch.ones(2))
    assert partial.weight.tolist() == [0, 0, 1, 1]
    assert partial.total.tolist() == pytest.approx([0, 0, log(2), 200])


def test_outliers_of_any_size_count_like_one_bin() -> None:
    """GHM-R of 1e20, which alone is NaN elsewhere: finite, and no outlier is without a gradient."""
    x = torch.tensor([1e6, 0.0, 1e20, 0.3])
    value, gradient = with_gradient(lossmith.GHMRLoss(), x, torch.zeros(4))
    assert value.isfinite()
    assert (gradient[[0, 2, 3]] > 0).all()
    assert gradient[1] == 0


def test_counts_do_not_end_where_float32_stops_counting() -> None:
    """2^24 + 1 is no float32 number: one sum would stay at 2^24 for ever."""
    many = 2**24 + 4096
    ones = torch.ones(1).expand(many)
    assert density._per_bin(ones, torch.zeros(1, dtype=torch.int64).expand(many), 2).tolist() == [many, 0]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 10_000])
def test_bins_add_up_whatever_the_size(size: int) -> None:
    generator = torch.Generator().manual_seed(3)
    x, bin = torch.rand(size, generator=generator), torch.randint(0, 5, (size,), generator=generator)
    want = np.bincount(bin.numpy(), weights=x.double().numpy(), minlength=5)
    np.testing.assert_allclose(density._per_bin(x, bin, 5).numpy(), want, rtol=1e-6)


def test_compiles_whole_with_its_state() -> None:
    eager, compiled = trained(), trained()
    run = torch.compile(compiled, fullgraph=True, backend="aot_eager")
    for z, t in batches(3):
        torch.testing.assert_close(run(z, t), eager(z, t))
    torch.testing.assert_close(compiled.histogram, eager.histogram)


def test_vmap_is_a_loop() -> None:
    z, t = batches(1)[0]
    for loss in (lossmith.GHMCLoss(link="sigmoid"), lossmith.GHMRLoss(mu=1.0)):
        four = z.view(4, 100), t.view(4, 100)
        want = torch.stack([loss(a, b) for a, b in zip(*four, strict=True)])
        torch.testing.assert_close(torch.vmap(loss)(*four), want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    z, t = torch.tensor([6e4, -6e4, 0.3, -12.0, 81.0]).to(dtype), torch.tensor([0.0, 1, 1, 0, 1]).to(dtype)
    for loss in (lossmith.GHMCLoss(link="sigmoid"), lossmith.GHMRLoss()):
        value = loss(z, t)
        assert value.dtype == torch.float32
        assert torch.equal(value, loss(z.float(), t.float()))


SENTENCES = [
    (
        lambda: lossmith.GHMCLoss(normalizer="count"),
        "GHMCLoss: normalizer must be one of \"weight\", not 'count'",
    ),
    (lambda: lossmith.GHMRLoss(bins=0), "GHMRLoss: bins must be an integer of at least 1, not 0"),
    (lambda: lossmith.GHMRLoss(bins=2.5), "GHMRLoss: bins must be an integer of at least 1, not 2.5"),
    (lambda: lossmith.GHMCLoss(momentum=1.0), "GHMCLoss: momentum must be a number, in [0, 1), not 1.0"),
    (
        lambda: lossmith.GHMRLoss()(torch.zeros(2), torch.zeros(2), num_items=2),
        "GHMRLoss: num_items divides a sum, and this loss is a mean over bins; merge the partials of the "
        "micro-batches instead, and reduce them once",
    ),
]


@pytest.mark.parametrize(("mistake", "sentence"), SENTENCES)
def test_sentences(mistake: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ParameterError) as caught:
        mistake()
    assert str(caught.value) == sentence


def test_partials_are_sums_of_the_bins() -> None:
    partial = lossmith.GHMCLoss(link="sigmoid", bins=4).partial(torch.tensor(SURE), torch.tensor(ONES))
    assert isinstance(partial, Partial)
    assert partial.weight.tolist() == [3, 0, 0, 1]
    assert partial.total.tolist() == pytest.approx([-3 * log(0.9), 0, 0, log(4)])
