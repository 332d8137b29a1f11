"""`loss.linear` where each rank has a part of the vocabulary, against one process that builds the logits.

The batch is cut into chunks of two rows, the last of one.
"""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import mpmath
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import lossmith
from lossmith.errors import LossmithError, ParameterError
from lossmith.kernels import linear as kernel
from lossmith.kernels import sharded
from tests.ranks.linear_cases import (
    CLASSES,
    PLANS,
    SETTINGS,
    chunks_of,
    found,
    gradients,
    layer,
    part_of,
    smooth,
    summed,
    unfused,
)


def vocabulary(rank: int, ranks: int) -> list[list[Tensor]]:
    (hidden, weight, bias), target = layer()
    mine = hidden, part_of(weight, rank, ranks), part_of(bias, rank, ranks)
    results = []
    for name, reduction in PLANS:
        loss, call = SETTINGS[name].make(reduction=reduction), SETTINGS[name].call
        with chunks_of(2, 11 if ranks == 1 else 7):
            value = loss.linear(hidden, mine[1], target, mine[2], vocab_group="world", **call)
            results.append(gradients(value, *mine))
    return results


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_vocabulary_in_parts_is_one(ranks: int) -> None:
    given, target = layer()
    for (name, reduction), *results in zip(PLANS, *found(WORLDS[ranks], vocabulary, ranks), strict=True):
        setting = SETTINGS[name]
        want = gradients(unfused(setting.make(reduction=reduction), given, target, **setting.call), *given)
        values, by_hidden, by_weight, by_bias = zip(*results, strict=True)

        def where(text: str, at: str = f"{name}, {reduction}") -> str:
            return f"{at}: {text}"

        exact = {"rtol": 1e-10, "atol": 1e-10, "msg": where}
        torch.testing.assert_close(list(values), [want[0]] * ranks, **exact)
        torch.testing.assert_close(list(by_hidden), [want[1]] * ranks, **exact)
        torch.testing.assert_close([torch.cat(by_weight), torch.cat(by_bias)], want[2:], **exact)
        assert all(torch.equal(value, values[0]) for value in values), "the ranks go on from one and the same number"


ODDS = (1.0, 20.0, 50.0, 80.0, -30.0, -1e4)  # of class 0, against class 1
SLOPES = (1.0, 0.0, -1.0, -0.5)
OFFSET = 2.0**13  # no softmax sees it, and the logits below stay exact


def tails(rank: int, ranks: int) -> list[Tensor]:
    hidden = torch.tensor(ODDS).unsqueeze(1).requires_grad_()
    weight = part_of(torch.tensor(SLOPES).unsqueeze(1), rank, ranks, {2: (1, 4), 3: (2, 3, 4)}[ranks])
    loss, target = lossmith.CrossEntropyLoss(reduction="none"), torch.zeros(len(ODDS), dtype=torch.int64)
    bias = torch.full((len(weight),), OFFSET)
    return gradients(loss.linear(hidden, weight, target, bias, vocab_group="world"), hidden)


@pytest.mark.parametrize("ranks", [2, 3])
def test_both_tails_keep_their_digits(ranks: int) -> None:
    """Of log(1 + sum_j e^(h (w_j - w_0))) and its slope, by mpmath; float32."""
    mpmath.mp.dps = 60
    values, slopes = [], []
    for h, above in zip(ODDS, torch.linspace(1, 2, len(ODDS)).tolist(), strict=True):
        powers = [mpmath.exp(mpmath.mpf(h) * (w - SLOPES[0])) for w in SLOPES]
        values.append(float(mpmath.log(mpmath.fsum(powers))))
        slope = mpmath.fsum(p * (w - SLOPES[0]) for p, w in zip(powers, SLOPES, strict=True)) / mpmath.fsum(powers)
        slopes.append([above * float(slope)])
    for result in found(WORLDS[ranks], tails, ranks):
        torch.testing.assert_close(result, [torch.tensor(values), torch.tensor(slopes)], rtol=2e-5, atol=0)


def ruled_out(rank: int, ranks: int) -> list[Tensor]:
    """Classes of logit -inf: all that the second of three ranks has, some of the last."""
    (hidden, weight, bias), _ = layer()
    bias = bias.detach().index_fill(0, torch.tensor([7, 9]), -torch.inf)
    mine = hidden, part_of(weight, rank, ranks), part_of(bias, rank, ranks)
    value = lossmith.FocalLoss().linear(hidden, mine[1], torch.arange(13) % 7, mine[2], vocab_group="world")
    return gradients(value, *mine)


def test_classes_may_be_ruled_out() -> None:
    (hidden, weight, bias), _ = layer()
    given = hidden, weight, bias.detach().index_fill(0, torch.tensor([7, 9]), -torch.inf).requires_grad_()
    want = gradients(unfused(lossmith.FocalLoss(), given, torch.arange(13) % 7), *given)
    values, by_hidden, *parts = zip(*found(WORLDS[3], ruled_out, 3), strict=True)
    assert all(x.isfinite().all() for x in want)
    torch.testing.assert_close([*values, *by_hidden], want[:1] * 3 + want[1:2] * 3)
    torch.testing.assert_close([torch.cat(part) for part in parts], want[2:])


def halves(rank: int, ranks: int) -> list[Tensor]:
    given, target = layer()
    hidden, weight, bias = (x.detach().bfloat16() for x in given)
    mine = hidden.requires_grad_(), part_of(weight, rank, ranks), part_of(bias, rank, ranks)
    with chunks_of(8, 7):
        return gradients(smooth().linear(hidden, mine[1], target, mine[2], vocab_group="world"), *mine)


@pytest.mark.parametrize("ranks", [2, 3])
def test_half_precision_is_as_exact_as_that_of_one(ranks: int) -> None:
    given, target = layer()
    narrow = tuple(x.detach().bfloat16().requires_grad_() for x in given)
    exact = tuple(x.detach().double().requires_grad_() for x in narrow)
    want, usual = (gradients(unfused(smooth(), x, target), *x) for x in (exact, narrow))
    values, by_hidden, *parts = zip(*found(WORLDS[ranks], halves, ranks), strict=True)
    for result in zip(values, by_hidden, *([torch.cat(part)] * ranks for part in parts), strict=True):
        for x, one, true in zip(result, usual, want, strict=True):
            assert (x - true).norm() <= (one - true).norm() + 1e-2 * true.norm()
            assert x.dtype == one.dtype


def exchanges(rank: int, ranks: int) -> list[int]:
    """The numbers in each exchange, forward and backward, for 64 rows, 8 features, 2 x 3000 classes."""
    sizes, (gather, reduce) = [], (dist.all_gather, dist.all_reduce)

    def told(into: Any, x: Tensor, **more: Any) -> None:
        sizes.append(x.numel())
        gather(into, x, **more)

    def summed_up(x: Tensor, **more: Any) -> None:
        sizes.append(x.numel())
        reduce(x, **more)

    hidden, weight = torch.ones(64, 8, requires_grad=True), torch.ones(3000, 8, requires_grad=True)
    target = torch.arange(64) * 90
    with (
        chunks_of(16, 1500),  # of float64, 16 rows of 3000 of float32
        patch.object(kernel, "BLOCK", 4 * 3000),
        patch.object(dist, "all_gather", told),
        patch.object(dist, "all_reduce", summed_up),
    ):
        loss = lossmith.CrossEntropyLoss(label_smoothing=0.1)
        loss.linear(hidden, weight, target, vocab_group="world").backward()
    return sizes


def test_a_few_numbers_per_row_travel() -> None:
    """Who has which classes; of each of the chunks four numbers per row; the gradient by hidden."""
    assert found(WORLDS[2], exchanges, 2) == [[2, *[4 * 16] * 4, 64 * 8]] * 2


def again(rank: int, ranks: int) -> list[Tensor]:
    """The statistic of a table with a row to leave out, and its gradient, twice."""
    z = part_of(torch.linspace(-3, 3, 33, dtype=torch.float64).sin().view(3, 11).t() * 9, rank, ranks).detach().t()
    z, keep = z.contiguous().index_fill(0, torch.tensor([1]), torch.nan).requires_grad_(), torch.tensor([1, 0, 1]) > 0
    shard = sharded.Shard(dist.group.WORLD, (4, 7), rank)
    rows = sharded.rows(z, torch.tensor([10, 0, 2]), shard, keep=keep, mean=True)
    assert rows.logp is not None
    assert rows.mean_logp is not None
    value = (rows.logp * rows.mean_logp).sum()
    grads = [torch.autograd.grad(value, z, retain_graph=True)[0] for _ in range(3)]
    return [rows.logp.detach(), rows.mean_logp.detach(), *grads]


def test_a_second_backward_gives_the_same_gradient() -> None:
    z = torch.linspace(-3, 3, 33, dtype=torch.float64).sin().view(3, 11) * 9
    z = (z.index_fill(0, torch.tensor([1]), 0.0)).requires_grad_()
    logp = z.log_softmax(1)
    own, mean = logp[range(3), [10, 0, 2]], logp.mean(1)
    (slope,) = torch.autograd.grad((own * mean).sum(), z)
    slope = slope.index_fill(0, torch.tensor([1]), 0.0)
    one, two = found(WORLDS[2], again, 2)
    for logps, means, *slopes in (one, two):
        torch.testing.assert_close([logps, means], [own, mean])
        torch.testing.assert_close(slopes[1:], slopes[:1] * 2, rtol=1e-14, atol=0)
    torch.testing.assert_close(torch.cat([one[2], two[2]], 1), slope)


def compiled(rank: int, ranks: int) -> list[list[Tensor]]:
    (hidden, weight, bias), target = layer()
    mine = hidden, part_of(weight, rank, ranks), part_of(bias, rank, ranks)
    results = []
    for reduction in ("mean", "none"):
        loss = summed(reduction=reduction)

        def call(h: Tensor, w: Tensor, b: Tensor, y: Tensor, loss: Any = loss) -> Tensor:
            return loss.linear(h, w, y, b, vocab_group="world")  # type: ignore[no-any-return]

        for run in (call, torch.compile(call, fullgraph=True, backend="aot_eager")):
            results.append(gradients(run(*mine, target), *mine))
    return results


def test_compiled_it_is_the_same() -> None:
    for mean, mean_compiled, each, each_compiled in found(WORLDS[2], compiled, 2):
        torch.testing.assert_close([mean_compiled, each_compiled], [mean, each])


def refused(call: Callable[[], Any]) -> str:
    try:
        call()
    except LossmithError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was refused"


def refusals(rank: int, ranks: int) -> list[str]:
    (hidden, weight, _), target = layer()
    mine, soft = part_of(weight, rank, ranks), torch.full((13, CLASSES), 1 / CLASSES, dtype=torch.float64)
    adjusted = lossmith.LogitAdjustedLoss(counts=[1.0] * CLASSES)
    spread = nn.Linear(5, CLASSES).double()
    fully_shard(spread, mesh=init_device_mesh("cpu", (ranks,)))
    alone = dist.new_group([0])

    def linear(loss: Any, w: Tensor = mine, y: Tensor = target, h: Tensor = hidden, group: Any = "world") -> str:
        return refused(lambda: loss.linear(h, w, y, vocab_group=group))

    everyone = lossmith.CrossEntropyLoss(process_group="world")
    one = lossmith.CrossEntropyLoss()
    half_hearted = everyone + lossmith.ZLoss()
    return [
        linear(one, y=soft),
        linear(adjusted),
        linear(lossmith.FocalLoss(label_smoothing=0.1)),
        linear(lossmith.CrossEntropyLoss(label_smoothing=0.1, smoothing="torch")),
        linear(lossmith.SoftCrossEntropyLoss(), y=soft),
        linear(everyone),
        refused(lambda: half_hearted.linear(hidden, weight, target)),
        linear(one, w=mine[: len(mine) * rank]),
        linear(one, h=hidden[: 12 + rank], y=target[: 12 + rank]),
        linear(one, w=spread.weight),
        "" if rank == 0 else linear(one, group=alone),
    ]


def test_what_it_is_not_for_is_refused_on_all_ranks_alike() -> None:
    needs = "with vocab_group, linear is for class indices as targets and losses that need no more of a row of logits"
    for rank, messages in enumerate(found(WORLDS[2], refusals, 2)):
        owners = ["CrossEntropyLoss", "LogitAdjustedLoss", "FocalLoss", "CrossEntropyLoss", "SoftCrossEntropyLoss"]
        assert [m.split(" than ")[0] for m in messages[:5]] == [f"ParameterError: {owner}: {needs}" for owner in owners]
        overlapping, two_minds, empty, uneven, spread, alone = messages[5:]
        assert overlapping.startswith("ParameterError: CrossEntropyLoss: ranks of one vocab_group have the same rows")
        assert two_minds.startswith("ParameterError: CrossEntropyLoss: linear is for sums whose losses have one proce")
        assert empty.endswith("they have [0, 7] classes and [13, 13] rows")
        assert uneven.endswith("they have [4, 7] classes and [12, 13] rows")
        assert spread.endswith("it is a DTensor: give weight.to_local()")
        assert rank == 0 or alone.endswith("vocab_group must be a group that this rank belongs to, and it does not")


def test_a_process_without_a_group_says_so() -> None:
    (hidden, weight, bias), target = layer()
    with pytest.raises(ParameterError, match=r"call torch\.distributed\.init_process_group first"):
        lossmith.CrossEntropyLoss().linear(hidden, weight, target, bias, vocab_group="world")


WORLDS = {
    1: (vocabulary,),
    2: (vocabulary, tails, halves, exchanges, again, compiled, refusals),
    3: (vocabulary, tails, halves, ruled_out),
}
