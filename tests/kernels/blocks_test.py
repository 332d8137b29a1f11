"""Losses by blocks of units: the numbers of the whole, for every registered loss that may be so computed."""

from typing import Any

import pytest
import torch
from torch import Tensor

import lossmith
from lossmith.errors import ShapeError
from lossmith.flow import loss as flow
from lossmith.kernels import blocks
from tests.laws.cases import SEPARABLE, Case, leaves

CASES = [case for case in SEPARABLE if case.cls.portable and case.loss().scope == "unit"]
every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Blocks of a few units, for tensors of any size; the number of units of each is noted."""
    seen: list[int] = []
    by_blocks = blocks.by_blocks

    def spy(evaluate: Any, x: Tensor, count: int, beside: Any) -> Any:
        def noted(x: Tensor, rows: slice) -> Any:
            seen.append(rows.stop - rows.start)
            return evaluate(x, rows)

        return by_blocks(noted, x, count, beside)

    monkeypatch.setattr(flow, "WORTH", 0)
    monkeypatch.setattr(blocks, "BLOCK", 9)
    monkeypatch.setattr(flow, "by_blocks", spy)
    return seen


def gradients(loss: Any, input: Any, target: Any, **options: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
    xs = tuple(x.clone().requires_grad_() for x in leaves(input))
    value = loss(xs if len(xs) > 1 else xs[0], target, **options)
    if not value.requires_grad:
        return value, ()
    upstream = torch.linspace(-1, 2, value.numel(), dtype=value.dtype).reshape(value.shape)
    return value.detach(), torch.autograd.grad(value, xs, upstream)


@every
@pytest.mark.filterwarnings("ignore:.* is a metric")
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_blocks_are_the_whole(case: Case, reduction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    input, target = case.data(units=23)
    loss = case.loss(reduction=reduction)
    mask = torch.arange(23) % 4 > 0
    weight = torch.linspace(0, 2, 23, dtype=torch.float64)
    options = {"mask": mask, "sample_weight": weight}
    want = gradients(loss, input, target, **options)
    monkeypatch.setattr(flow, "WORTH", 0)
    monkeypatch.setattr(blocks, "BLOCK", 9)
    torch.testing.assert_close(gradients(loss, input, target, **options), want, rtol=1e-12, atol=1e-14)


def test_they_are_blocks_with_a_ragged_last_one(small: list[int]) -> None:
    x, t = torch.randn(23, requires_grad=True), torch.rand(23).round()
    lossmith.FocalLoss(link="sigmoid")(x, t)
    assert small == [9, 9, 5]
    small.clear()
    lossmith.CrossEntropyLoss()(torch.randn(23, 3, requires_grad=True), torch.rand(23, 3).softmax(1))
    assert small == [3] * 7 + [2]


def test_class_weights_come_with_their_block(small: list[int]) -> None:
    x, t = torch.randn(20, requires_grad=True), (torch.arange(20) % 3 == 0).float()
    loss = lossmith.BCEWithLogitsLoss(weight=[0.5, 2.0])
    want = torch.nn.functional.binary_cross_entropy_with_logits(x, t, torch.where(t > 0, 2.0, 0.5), reduction="sum")
    torch.testing.assert_close(loss(x, t), want / torch.where(t > 0, 2.0, 0.5).sum())
    assert len(small) == 3


def test_a_second_backward_is_the_first(small: list[int]) -> None:
    x = torch.randn(23, requires_grad=True)
    value = lossmith.HuberLoss()(x, torch.zeros(23))
    (first,) = torch.autograd.grad(value, x, torch.tensor(3.0), retain_graph=True)
    kept = first.clone()
    (second,) = torch.autograd.grad(value, x, torch.tensor(3.0))
    assert torch.equal(first, kept)
    assert torch.equal(second, kept)


def test_a_gradient_may_be_differentiated(small: list[int]) -> None:
    x, t = torch.randn(23, dtype=torch.float64, requires_grad=True), torch.rand(23, dtype=torch.float64)
    loss = lossmith.FocalLoss(link="sigmoid")
    assert torch.autograd.gradgradcheck(lambda x: loss(x, t), (x,))
    assert small


def test_what_else_is_learnt_keeps_its_gradient(small: list[int]) -> None:
    """A formula with a number of its own that is trained, or a target that is: the whole is computed as it stands."""
    scale = torch.tensor(2.0, requires_grad=True)

    class Scaled(lossmith.ResidualLoss):
        """``scale r^2``."""

        def formula(self, r: Any, xp: Any) -> Any:
            return scale * r * r

    try:
        x, t = torch.ones(20, requires_grad=True), torch.zeros(20)
        (found,) = torch.autograd.grad(Scaled()(x, t), scale)
        torch.testing.assert_close(found, torch.tensor(1.0))
        (found,) = torch.autograd.grad(Scaled()(x.detach(), t), scale)
        torch.testing.assert_close(found, torch.tensor(1.0))
        (found,) = torch.autograd.grad(lossmith.MSELoss()(x, t.requires_grad_()), t)
        torch.testing.assert_close(found, torch.full((20,), -0.1))
    finally:
        flow.registry.pop("scaled")


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_what_has_no_gradient_has_none_by_blocks_either(small: list[int], reduction: str) -> None:
    x = torch.linspace(-1, 3, 24)  # of which 6 are negative
    loss = lossmith.ZeroOneLoss(reduction=reduction)
    with pytest.warns(UserWarning, match="is a metric") as said:
        value = loss(x.clone().requires_grad_(), torch.ones(24))
    assert len(said) == 1
    assert small
    assert not value.requires_grad
    assert torch.equal(value, loss(x, torch.ones(24)))
    assert float(value.sum()) == (0.25 if reduction == "mean" else 6)


def test_nothing_is_written_to_the_input(small: list[int]) -> None:
    x, t = torch.randn(23, requires_grad=True), torch.rand(23)
    before = x.detach().clone()
    lossmith.MSELoss()(x, t).backward()
    assert torch.equal(x.detach(), before)


def test_a_formula_of_the_wrong_shape_is_refused_by_blocks_too(small: list[int]) -> None:
    class Averaged(lossmith.ResidualLoss):
        """``mean r``."""

        def formula(self, r: Any, xp: Any) -> Any:
            return xp.mean(r)

    try:
        with pytest.raises(ShapeError, match="one value per unit"):
            Averaged()(torch.ones(20, requires_grad=True), torch.zeros(20))
    finally:
        flow.registry.pop("averaged")


def test_a_target_that_changes_between_two_backward_passes_is_noticed(small: list[int]) -> None:
    x, t = torch.randn(23, requires_grad=True), torch.rand(23)
    value = lossmith.MSELoss()(x, t)
    value.backward(retain_graph=True)
    t.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


def test_checkpoints_have_nothing_put_aside(small: list[int]) -> None:
    x, t = torch.randn(23, 3, requires_grad=True), torch.randint(3, (23,))
    held: list[Tensor] = []

    def hold(x: Tensor) -> Tensor:
        held.append(x)
        return x

    for loss, target in (("cross_entropy", t), ("dice", t[:, None]), ("mse", torch.rand(23, 3))):
        held.clear()
        with torch.autograd.graph.saved_tensors_hooks(hold, hold):
            value = lossmith.create(loss)(x[:, :, None] if loss == "dice" else x, target)
        nodes, inside = [value.grad_fn], []
        while nodes:
            node = nodes.pop()
            if node is not None:
                inside += [k for k in ("p", "slope") if getattr(node, k, None) is not None]
                nodes += [after for after, _ in node.next_functions]
        assert held
        assert not inside
        wanted = torch.autograd.grad(lossmith.create(loss)(x[:, :, None] if loss == "dice" else x, target), x)
        torch.testing.assert_close(torch.autograd.grad(value, x), wanted)
