"""Laws of the flow: masks, weights, sums and reductions do the same for every loss."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lossmith.errors import ParameterError
from lossmith.flow.loss import Input
from lossmith.flow.partial import Partial
from tests.laws.cases import CASES, MERGING, SEPARABLE, TRAINABLE, Case, each, leaves, packed

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
trainable = pytest.mark.parametrize("case", TRAINABLE, ids=lambda case: case.label)
merging = pytest.mark.parametrize("case", MERGING, ids=lambda case: case.label)
separable = pytest.mark.parametrize("case", SEPARABLE, ids=lambda case: case.label)
pytestmark = pytest.mark.filterwarnings("ignore:.*is a metric")


def gradients(case: Case, input: Input, target: Tensor | None, **call: Any) -> tuple[Tensor, ...]:
    xs = tuple(x.detach().clone().requires_grad_() for x in leaves(input))
    return torch.autograd.grad(case.loss()(packed(xs), target, **call), xs)


@every
def test_mask_is_deletion(case: Case) -> None:
    input, target = case.data()
    keep = torch.tensor([1, 0, 1, 1, 0, 1, 0, 1]).bool()
    got = case.loss()(input, target, mask=keep)
    torch.testing.assert_close(got, case.loss()(*case.take(input, target, keep)))


@trainable
def test_what_is_masked_stays_out(case: Case) -> None:
    """NaN and infinity behind a mask reach neither the value nor the gradient."""
    input, target = case.data()
    keep = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1]).bool()
    want = gradients(case, input, target, mask=keep)

    def spoil(x: Tensor) -> Tensor:
        x = x.clone()
        x[1], x[4] = float("nan"), float("inf")
        return x

    if target is not None:
        target = spoil(target) if target.is_floating_point() else target.clone()
        if not target.is_floating_point():
            target[1], target[4] = 99, -7
    bad = packed(tuple(map(spoil, case.own(input))) + case.shared(input))
    got = gradients(case, bad, target, mask=keep)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)
    for a in got[: len(case.own(input))]:
        assert (a[~keep] == 0).all()


@merging
def test_weight_k_is_k_repeats(case: Case) -> None:
    input, target = case.data()
    times = torch.tensor([1, 2, 0, 3, 1, 1, 2, 4])
    repeated = case.take(input, target, torch.arange(8).repeat_interleave(times))
    got = case.loss()(input, target, sample_weight=times.double())
    torch.testing.assert_close(got, case.loss()(*repeated))


@merging
def test_weights_beside_half_precision_are_not_rounded(case: Case) -> None:
    input, target = case.data(dtype=torch.float16)
    weight = torch.linspace(10003.0, 10101.0, 8)  # more than float16 can tell apart, or add up
    widened = target if target is None or not target.is_floating_point() else target.float()
    wanted = case.loss()(each(lambda x: x.float(), input), widened, sample_weight=weight)
    torch.testing.assert_close(case.loss()(input, target, sample_weight=weight).to(wanted), wanted)


@merging
def test_shards_merge(case: Case) -> None:
    input, target = case.data()
    loss = case.loss()
    parts = [loss.partial(*case.take(input, target, s)) for s in (slice(0, 1), slice(1, 6), slice(6, 8))]
    torch.testing.assert_close(loss.reduce(parts[0].merge(*parts[1:])), loss(input, target))


@pytest.mark.parametrize("normalizer", ["weight", "count", "positives", 3.0])
@every
def test_weight_0_is_a_mask_but_for_the_count(case: Case, normalizer: str | float) -> None:
    try:
        loss = case.loss(normalizer=normalizer)
    except ParameterError:  # it says that it has no such mean
        assert normalizer != "weight"
        return
    input, target = case.data()
    keep = torch.tensor([1, 0, 1, 1, 0, 1, 0, 1]).bool()
    one, two = loss.partial(input, target, sample_weight=keep.double()), loss.partial(input, target, mask=keep)
    if not isinstance(one, Partial):
        return  # of a composition: its terms are under this law themselves
    torch.testing.assert_close(one.total, two.total)
    if normalizer in ("weight", "positives"):
        torch.testing.assert_close(one.weight, two.weight)


@separable
def test_weights_can_be_learnt_from_0(case: Case) -> None:
    """The gradient of a weight is the loss of its unit, at weight 0 too (learning to reweight starts there)."""
    input, target = case.data()
    weight = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(case.loss(reduction="sum")(input, target, sample_weight=weight), weight)
    none = case.loss(reduction="none")(input, target)
    torch.testing.assert_close(grad, none.flatten(1).sum(1) if none.dim() > 1 else none)


@separable
def test_micro_batches_are_one_batch(case: Case) -> None:
    """With num_items, losses and gradients of unequal micro-batches add up to those of the whole."""
    input, target = case.data()
    items = float(case.loss().partial(input, target).weight)
    shards = [slice(0, 1), slice(1, 6), slice(6, 8)]
    total = sum(case.loss()(*case.take(input, target, s), num_items=items) for s in shards)
    torch.testing.assert_close(total, case.loss()(input, target))
    if case.cls.differentiable:
        pieces = [gradients(case, *case.take(input, target, s), num_items=items) for s in shards]
        own = len(case.own(input))
        for k, (whole, *parts) in enumerate(zip(gradients(case, input, target), *pieces, strict=True)):
            torch.testing.assert_close(torch.cat(parts) if k < own else sum(parts), whole)


@every
def test_order_does_not_matter(case: Case) -> None:
    input, target = case.data()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(case.loss()(*case.take(input, target, order)), case.loss()(input, target))


@separable
def test_reductions_agree(case: Case) -> None:
    input, target = case.data()
    none = case.loss(reduction="none")(input, target)
    total = case.loss(reduction="sum")(input, target)
    partial = case.loss().partial(input, target)
    torch.testing.assert_close(none.sum(), total)
    torch.testing.assert_close(total / partial.weight, case.loss()(input, target))
    torch.testing.assert_close(case.loss(normalizer="count")(input, target), none.mean())
    torch.testing.assert_close(case.loss(normalizer=5.0)(input, target), total / 5)


@trainable
def test_nothing_to_average_costs_nothing(case: Case) -> None:
    """An empty batch, and one where all is masked or weighs 0, give 0 with a zero gradient, never NaN."""
    input, target = case.data()
    empty = case.take(input, target, slice(0, 0))
    nothing = {"mask": torch.zeros(8).bool()}, {"sample_weight": torch.zeros(8)}
    for data, call in ((empty, {}), ((input, target), nothing[0]), ((input, target), nothing[1])):
        assert case.loss()(*data, **call).item() == 0
        for grad in gradients(case, *data, **call):
            assert (grad == 0).all()


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.soft and case.cls.takes_target], ids=lambda case: case.label
)
def test_ignore_index_is_a_mask(case: Case) -> None:
    try:
        case.loss(ignore_index=-100)
    except ParameterError:  # its targets are no labels
        return
    input, target = case.data()
    assert target is not None
    keep = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1]).bool()
    marked = target.clone()
    marked[~keep] = -100
    got = case.loss(ignore_index=-100)(input, marked)
    torch.testing.assert_close(got, case.loss()(input, target, mask=keep))


@every
def test_inputs_are_left_alone(case: Case) -> None:
    input, target = case.data()
    given = [*leaves(input), *([] if target is None else [target])]
    before = [x.clone() for x in given]
    case.loss()(input, target, mask=torch.arange(8) < 5)
    for x, y in zip(given, before, strict=True):
        assert torch.equal(x, y)


@every
def test_layout_does_not_matter(case: Case) -> None:
    """Transposed, strided, channels-last: the same numbers give the same loss."""
    input, target = case.data()

    def strided(x: Tensor) -> Tensor:
        wide = torch.stack([x, x + 1], dim=-1)
        return wide.transpose(0, -1)[0].movedim(-1, 0) if x.dim() > 1 else wide[..., 0]

    twisted = each(strided, input)
    assert any(not x.is_contiguous() for x in leaves(twisted))
    torch.testing.assert_close(case.loss()(twisted, target), case.loss()(input, target))
