"""Laws of torch: compile, vmap, pickle, .to(), state."""

import copy
import io
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import lossmith
from lossmith import functional
from lossmith.losses.likelihood import LikelihoodLoss
from tests.laws.cases import CASES, SEPARABLE, SHIPPED, Case, leaves, packed

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
pytestmark = pytest.mark.filterwarnings("ignore:.*is a metric")


def compiles(case: Case, backend: str = "aot_eager", **options: Any) -> None:
    input, target = case.data(dtype=torch.float32)
    loss = case.loss(**options)
    xs = tuple(x.clone().requires_grad_(case.cls.differentiable) for x in leaves(input))
    got = torch.compile(loss, fullgraph=True, backend=backend)(packed(xs), target)
    want = loss(packed(xs), target)
    torch.testing.assert_close(got, want, msg=case.label)
    if case.cls.differentiable:
        for a, b in zip(torch.autograd.grad(got, xs), torch.autograd.grad(want, xs), strict=True):
            torch.testing.assert_close(a, b, msg=case.label)


def test_every_loss_compiles_whole_in_one_process() -> None:
    """All of them, one after the other, without a reset: Dynamo keeps 8 versions per code object and no more.

    Versions, guards and breaks are Dynamo's, whatever runs its graphs; that AOTAutograd derives those of every loss,
    the audit of every loss asks (tests/audit/ours_test.py, its check `it_compiles_whole`).
    """
    for name, cls in SHIPPED.items():
        if "compile" not in cls.lacks:
            compiles(Case(name, cls), backend="eager")


def test_many_values_of_a_parameter_compile_whole_in_one_process() -> None:
    for gamma in range(12):
        compiles(Case("focal", lossmith.FocalLoss), backend="eager", gamma=gamma / 4)


def test_every_link_and_weight_compiles_whole() -> None:
    """The family's machinery, once: its losses differ in the formula alone."""
    for case in CASES:
        if case.cls is lossmith.FocalLoss:
            compiles(case)


@pytest.mark.parametrize("by", ["mask", "sample_weight"])
def test_what_is_hidden_stays_out_of_compiled_losses(by: str) -> None:
    """Under a compiler the likelihood family hides logits in the gradient and in what comes of them, not themselves."""
    shown = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1]).bool()
    for case in CASES:
        plain = issubclass(case.cls, LikelihoodLoss) and case.label == case.cls.name
        if not (plain or case.cls in (lossmith.FocalLoss, lossmith.ZLoss)):
            continue
        torch._dynamo.reset()
        input, target = case.data()
        assert isinstance(input, Tensor)
        spoilt = input.clone()
        spoilt[1], spoilt[4] = math.nan, math.inf
        x, loss = spoilt.requires_grad_(), case.loss()
        hidden = {by: shown if by == "mask" else shown.double()}
        want = loss(x, target, **hidden)
        got = torch.compile(loss, fullgraph=True, backend="aot_eager")(x, target, **hidden)
        torch.testing.assert_close(got, want, msg=case.label)
        (a,), (b,) = torch.autograd.grad(got, x), torch.autograd.grad(want, x)
        torch.testing.assert_close(a, b, msg=case.label)
        assert not a[~shown].any()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own, while it imports inductor
def test_inductor_gives_the_same() -> None:
    """One loss of each family through the real compiler."""
    for name in ("focal", "logistic", "huber"):
        loss = lossmith.create(name)
        input, target = loss.sample(torch.Generator().manual_seed(0), 64)
        x = input.float().requires_grad_()
        target = target.float() if target.is_floating_point() else target
        got = torch.compile(loss, fullgraph=True)(x, target)
        torch.testing.assert_close(got, loss(x, target))
        (a,), (b,) = torch.autograd.grad(got, x), torch.autograd.grad(loss(x, target), x)
        torch.testing.assert_close(a, b)


def test_functions_compile_too() -> None:
    x, target = torch.randn(8, 3), torch.arange(8) % 3
    compiled = torch.compile(lambda x, t: functional.focal_loss(x, t, gamma=1.5), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, target), lossmith.FocalLoss(gamma=1.5)(x, target))


@pytest.mark.parametrize(
    "case", [case for case in SEPARABLE if "vmap" not in case.cls.lacks], ids=lambda case: case.label
)
def test_vmap_is_a_loop(case: Case) -> None:
    input, target = case.data()
    loss = case.loss()
    given = (*case.own(input), *([] if target is None else [target]))
    folded, common = tuple(x.reshape(4, 2, *x.shape[1:]) for x in given), case.shared(input)
    own = len(case.own(input))

    def one(*x: Tensor) -> Tensor:
        return loss(packed((*x[:own], *common)), None if target is None else x[own])

    torch.testing.assert_close(
        torch.vmap(one)(*folded), torch.stack([one(*parts) for parts in zip(*folded, strict=True)])
    )


@every
def test_copies_are_the_same_loss(case: Case) -> None:
    """Pickle, deepcopy, state_dict and the specification all give the loss back."""
    loss = case.loss()
    input, target = case.data()
    saved = io.BytesIO()
    torch.save(loss.state_dict(), saved)
    saved.seek(0)
    loaded = case.loss()
    loaded.load_state_dict(torch.load(saved, weights_only=True))
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss), loaded, lossmith.create(str(loss))):  # noqa: S301
        assert str(twin) == str(loss)
        assert repr(twin) == repr(loss)
        torch.testing.assert_close(twin(input, target), loss(input, target))


@every
def test_repr_is_code(case: Case) -> None:
    """`repr` is the Python expression of the loss; a specification reads it too."""
    assert repr(lossmith.create(repr(case.loss()))) == repr(case.loss())


def test_a_compiled_loss_can_be_saved() -> None:
    """What was compiled stays behind, as it does of any module; the copy is compiled anew where it is wanted."""
    loss, (input, target) = lossmith.FocalLoss(), (torch.randn(3, 2), torch.tensor([0, 1, 0]))
    loss.compile(backend="eager")
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):  # noqa: S301
        torch.testing.assert_close(twin(input, target), loss(input, target))
    saved = io.BytesIO()
    torch.save(loss, saved)


def test_weights_move_with_the_module() -> None:
    loss = lossmith.CrossEntropyLoss(weight=[1.0, 2.0, 3.0])
    assert [name for name, _ in loss.named_buffers()] == ["weight"]
    assert loss.double().weight.dtype == torch.float64
    assert loss.to("meta").weight.device.type == "meta"
