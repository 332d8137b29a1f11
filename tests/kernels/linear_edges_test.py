"""`loss.linear` where there is nothing to count, where it refuses, and in half precision."""

from functools import partial
from math import log, nan

import pytest
import torch
import torch.nn.functional as F

from lossmith import CrossEntropyLoss, DiceLoss, FocalLoss, GHMCLoss, LDAMLoss, LikelihoodLoss, NLLLoss, ZLoss
from lossmith import SoftCrossEntropyLoss as SoftLoss
from lossmith.errors import DomainError, DtypeError, ParameterError, ShapeError
from lossmith.flow import loss as flow
from lossmith.kernels import linear as kernel
from tests.kernels.linear_cases import (
    CLOSE,
    WEIGHT,
    H,
    N,
    V,
    above,
    chunks,
    draw,
    fused,
    layer,
    made,
    reductions,
    shrink,
    taken,
    unfused,
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    shrink(monkeypatch)


# Edges ------------------------------------------------------------------------------------------------------------
@reductions
@pytest.mark.parametrize("count", [0, N])
@pytest.mark.parametrize("cls", [CrossEntropyLoss, ZLoss], ids=lambda cls: cls.name)
def test_nothing_to_count_costs_nothing(cls, count, reduction):
    """No rows, and none that is not ignored."""
    for bias in (True, False):
        tensors = layer(shape=(count,), bias=bias)
        value, *gradients = taken(fused, cls(reduction=reduction), tensors, torch.full((count,), -100))
        assert value.shape == ((count,) if reduction == "none" else ())
        assert not value.any()
        assert [x.shape for x in gradients] == [x.shape for x in tensors]
        assert not any(x.any() for x in gradients)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@reductions
def test_inputs_stay_and_a_second_backward_is_the_first(reduction, dtype):
    """A gradient that was saved and then scaled in place would be scaled twice."""
    tensors, target = [x.requires_grad_() for x in layer(dtype=dtype)], draw()
    before = [(x.detach().clone(), x._version) for x in (*tensors, target)]
    value = fused(FocalLoss(reduction=reduction, weight=WEIGHT), tensors, target)
    up = 2 * above(value)
    first, second, half = (torch.autograd.grad(value, tensors, u, retain_graph=True) for u in (up, up, up / 2))
    for a, b, c in zip(first, second, half, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, 2 * c)
    assert value.dtype == torch.promote_types(dtype, torch.float32)
    assert [x.dtype for x in first] == [dtype] * 3
    for x, (copy, version) in zip((*tensors, target), before, strict=True):
        assert torch.equal(x, copy)
        assert x._version == version


def asked_for(monkeypatch):
    """Where the tensors are that are asked for from now on."""
    places, fresh = [], kernel.eager.fresh

    def recorded(*given, **options):
        x = fresh(*given, **options)
        places.append(x.data_ptr())
        return x

    monkeypatch.setattr(kernel.eager, "fresh", recorded)
    return places


@pytest.mark.parametrize("retained", [True, False], ids=["retained", "last"])
def test_the_last_backward_pass_asks_for_no_second_gradient(retained, monkeypatch):
    tensors, target = [x.requires_grad_() for x in layer(dtype=torch.float32)], draw()
    places = asked_for(monkeypatch)
    value = fused(CrossEntropyLoss(), tensors, target)
    before = set(places)
    (2 * value).backward(retain_graph=retained)
    assert all((x.grad.data_ptr() in before) is not retained for x in tensors)
    found, expected = (
        [x.grad for x in tensors],
        torch.autograd.grad(2 * unfused(CrossEntropyLoss(), tensors, target), tensors),
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_what_a_hook_was_shown_stays():
    """Hooks on saved tensors may keep what they pack, so not even the last pass scales it in place."""
    packed = []

    def pack(x):
        if x.shape == (V, H):
            packed.append((x, x.clone()))
        return x

    tensors, target = [x.requires_grad_() for x in layer(dtype=torch.float32)], draw()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        value = fused(CrossEntropyLoss(), tensors, target)
    (2 * value).backward()
    assert packed
    assert all(torch.equal(x, copy) for x, copy in packed)


@reductions
def test_the_derivative_of_a_gradient_is_refused(reduction):
    xs = [x.requires_grad_() for x in layer()]
    value = fused(CrossEntropyLoss(reduction=reduction), xs, draw())
    with pytest.raises(
        RuntimeError, match=r"^linear: .* differentiated again .*; call the loss on torch.nn.functional.l"
    ):
        torch.autograd.grad(value.sum(), xs, create_graph=True)


def learning(x):
    return x.clone().requires_grad_()


def with_learnt_weight():
    loss = CrossEntropyLoss(weight=WEIGHT)
    loss.weight.requires_grad_()
    return loss


(hidden, weight, bias), one, (index, share) = layer(), torch.ones(N), draw("pairs")
REFUSED = {
    "sigmoid": (ParameterError, {"loss": FocalLoss(link="sigmoid")}),
    "log-probabilities": (ParameterError, {"loss": NLLLoss()}),
    "GHM-C": (ParameterError, {"loss": GHMCLoss()}),
    "Dice": (ParameterError, {"loss": CrossEntropyLoss() + DiceLoss()}),
    "learnt sample weight": (ParameterError, {"sample_weight": learning(one)}),
    "learnt target": (ParameterError, {"target": learning(draw("probabilities"))}),
    "learnt shares": (ParameterError, {"target": (index, learning(share))}),
    "learnt class weight": (ParameterError, {"loss": with_learnt_weight()}),
    "weight turned": (ShapeError, {"weight": weight.t()}),
    "one class": (ShapeError, {"weight": weight[:1]}),
    "no axis": (ShapeError, {"hidden": hidden[0, 0]}),
    "bias": (ShapeError, {"bias": bias[:1]}),
    "integers": (DtypeError, {"hidden": hidden.long()}),
    "two dtypes": (DtypeError, {"weight": weight.float()}),
    "a list": (DtypeError, {"target": draw().tolist()}),
    "too few targets": (ShapeError, {"target": draw()[1:]}),
    "one-hot integers": (ShapeError, {"target": F.one_hot(draw(), V)}),
    "too few probabilities": (ShapeError, {"target": draw("probabilities")[:, 1:]}),
    "a class too many": (DomainError, {"target": draw() + 1}),
    "below 0": (DomainError, {"target": draw() - 1}),
    "no distribution": (DomainError, {"target": 2 * draw("probabilities")}),
    "a pair of two k": (ShapeError, {"target": (index, share[:, 1:])}),
    "a pair turned": (ShapeError, {"target": (share, index)}),
    "a pair of few rows": (ShapeError, {"target": (index[1:], share[1:])}),
    "a triple": (ShapeError, {"target": (index, share, share)}),
    "a pair of lists": (DtypeError, {"target": (index.tolist(), share.tolist())}),
    "a class of a pair": (DomainError, {"target": (index + 1, share)}),
    "a pair that is no distribution": (DomainError, {"target": (index, 2 * share)}),
    "a pair of logits": (ParameterError, {"loss": SoftLoss(target_link="softmax"), "target": (index, share)}),
    "indices for a divergence": (DtypeError, {"loss": SoftLoss()}),
    "probabilities for margins": (DtypeError, {"loss": made(LDAMLoss), "target": draw("probabilities")}),
    "a pair for margins": (DtypeError, {"loss": made(LDAMLoss), "target": (index, share)}),
    "class weights": (ShapeError, {"loss": CrossEntropyLoss(weight=WEIGHT[1:])}),
    "a mask of numbers": (DtypeError, {"mask": one}),
    "a short mask": (ShapeError, {"mask": one[1:] > 0}),
    "negative weights": (DomainError, {"sample_weight": -one}),
    "num_items of a sum": (ParameterError, {"loss": CrossEntropyLoss(reduction="sum"), "num_items": 3}),
    "softcap": (ParameterError, {"softcap": 0.0}),
    "temperature": (ParameterError, {"temperature": nan}),
    "no temperature": (ParameterError, {"temperature": None}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_one_sentence(name):
    error, changes = REFUSED[name]
    given = {"loss": CrossEntropyLoss(), "hidden": hidden, "weight": weight, "target": draw(), **changes}
    with pytest.raises(error, match=r"\A[A-Z]\w+: [^\n]{20,280}\Z"):
        given.pop("loss").linear(**given)


REMEDIES = {
    "a link": ({"loss": NLLLoss()}, 'this loss has link="log_prob"; make it with link="softmax", or call it on its'),
    "a set": ({"loss": GHMCLoss()}, "each row of logits has a value; call this loss on torch.nn.functional.linear"),
    "numbers for indices": ({"target": draw().double()}, r"it is float64 of shape \[13\]: class indices are integers"),
    "a pair turned": ({"target": (share, index)}, r"they are float64 of shape \[13, 3\] and int64 of shape \[13, 3\]"),
    "a list": ({"target": [index, share]}, "it is a list: the likeliest classes and their probabilities are a tuple"),
    "two dtypes": (
        {"hidden": hidden.bfloat16()},
        r"; convert them \(weight.to\(hidden.dtype\)\), or use torch.autocast",
    ),
    "no ranks": ({"vocab_group": "world"}, "vocab_group: call torch.distributed.init_process_group first"),
}


@pytest.mark.parametrize("name", REMEDIES)
def test_refusals_say_what_to_do(name):
    changes, remedy = REMEDIES[name]
    given = {"loss": CrossEntropyLoss(), "hidden": hidden, "weight": weight, "target": draw(), **changes}
    with pytest.raises((ParameterError, ShapeError, DtypeError), match=remedy):
        given.pop("loss").linear(**given)


@pytest.mark.parametrize("normalizer", ["weight", "count", "positives", 3.0])
def test_rows_that_weigh_nothing_count_as_they_do_elsewhere(normalizer):
    hidden, weight, target = torch.randn(5, 3), torch.randn(4, 3), torch.tensor([0, 1, 2, 3, -100])
    shares, loss = torch.tensor([1.0, 0.0, 0.0, 2.0, 1.0]), CrossEntropyLoss(normalizer=normalizer, weight=[1, 2, 3, 4])
    wanted = loss(F.linear(hidden, weight), target, sample_weight=shares)
    torch.testing.assert_close(loss.linear(hidden, weight, target, sample_weight=shares), wanted)
    target[1] = 99  # no class; it is not looked at
    torch.testing.assert_close(loss.linear(hidden, weight, target, sample_weight=shares), wanted)


@reductions
@pytest.mark.parametrize("compiled", [False, True])
def test_a_count_of_mistakes_moves_nothing(reduction, compiled):
    class RareLoss(LikelihoodLoss):
        """``1[p < 1/4]``: no number to train with, one to add to those that are."""

        def formula(self, logp, xp):
            return xp.where(logp < log(0.25), xp.ones_like(logp), xp.zeros_like(logp))

    try:
        (hidden, weight), target = layer(bias=False), draw()
        loss = RareLoss(reduction=reduction)
        way = torch.compile(loss.linear, backend="eager", fullgraph=True) if compiled else loss.linear
        want = loss(F.linear(hidden, weight), target)
        assert 0 < float(want.detach().double().mean()) < (N if reduction == "sum" else 1)
        xs = [x.detach().requires_grad_() for x in (hidden, weight)]
        value = way(*xs, target)
        torch.testing.assert_close(value.detach(), want.detach())
        assert all(not g.any() for g in torch.autograd.grad(value.sum(), xs))
    finally:
        flow.registry.pop("rare")


def test_a_target_that_changes_before_the_backward_pass_is_noticed():
    hidden, weight, target = torch.randn(5, 3, requires_grad=True), torch.randn(4, 3), torch.tensor([0, 1, 2, 3, 0])
    values = CrossEntropyLoss(reduction="none").linear(hidden, weight, target)
    target.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        values.sum().backward()


def test_the_likeliest_no_classes_are_refused():
    with pytest.raises(ShapeError, match="at least one class per row"):
        CrossEntropyLoss().linear(torch.randn(5, 3), torch.randn(4, 3), (torch.zeros(5, 0).long(), torch.zeros(5, 0)))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own
@pytest.mark.parametrize(
    "transform",
    [
        lambda f, h: torch.func.grad(f)(h),
        lambda f, h: torch.func.jvp(f, (h,), (h,)),
        lambda f, h: torch.vmap(f)(torch.stack([h, h])),
        lambda f, h: torch.autograd.functional.jacobian(f, h, vectorize=True),
    ],
    ids=["grad", "jvp", "vmap", "jacobian"],
)
def test_function_transforms_are_refused(transform):
    hidden, weight, target = torch.randn(5, 3), torch.randn(4, 3), torch.tensor([0, 1, 2, 3, 0])
    with pytest.raises(RuntimeError, match=r"linear.*call .* on torch.nn.functional.linear"):
        transform(lambda h: CrossEntropyLoss().linear(h, weight, target), hidden)


def test_a_loss_of_regions_has_no_linear():
    assert not hasattr(DiceLoss(), "linear")


# Precision --------------------------------------------------------------------------------------------------------
ROOM = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 1e-2}
HARD = {
    "mean": (CrossEntropyLoss(), {}),
    "sum": (CrossEntropyLoss(reduction="sum", label_smoothing=0.1), {}),
    "none": (FocalLoss(reduction="none"), {}),
    "z-loss": (CrossEntropyLoss() + 0.001 * ZLoss(), {}),
    "a scaled loss of many items": (CrossEntropyLoss(), {"num_items": 2**20, "up": torch.tensor(2.0**16)}),
}


def errors(way, loss, tensors, target, **call):
    """Of the value and of each gradient against float64, relative to its size."""
    numbers = taken(way, loss, tensors, target, **call)
    call |= {"up": call["up"].double()} if "up" in call else {}
    exact = taken(unfused, loss, [x.double() for x in tensors], target, **call)
    return [float((a.double() - b).norm() / b.norm()) for a, b in zip(numbers, exact, strict=True)]


@pytest.mark.parametrize("dtype", ROOM, ids=str)
@pytest.mark.parametrize("name", HARD)
def test_errors_are_those_of_the_unfused_loss(name, dtype, monkeypatch):
    """In 400 chunks, whose gradients mostly have one sign: a sum over them in half precision would be off by a lot."""
    classes, generator = 29, torch.Generator().manual_seed(0)
    shrink(monkeypatch, 2, classes, dtype.itemsize)
    tensors = [torch.randn(size, generator=generator) for size in ((801, 8), (classes, 8), (classes,))]
    tensors = [x.to(dtype) for x in (tensors[0].abs(), *tensors[1:])]
    target, (loss, call) = torch.randint(3, (801,), generator=generator), HARD[name]
    with chunks() as heights:
        found = errors(fused, loss, tensors, target, **call)
    assert len(heights) >= 400
    for got, plain in zip(found, errors(unfused, loss, tensors, target, **call), strict=True):
        assert got <= plain + ROOM[dtype]


@pytest.mark.parametrize(("dtype", "up"), [(torch.bfloat16, 1.0), (torch.bfloat16, 256.0), (torch.float16, 1024.0)])
def test_gradients_in_half_precision_are_rounded_once(dtype, up, monkeypatch):
    """A mean over 801 rows divides by no power of 2; from above comes 1, or a scaler's power of 2. In one chunk."""
    monkeypatch.setattr(kernel, "BUDGET", {})
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(size, generator=generator).to(dtype) for size in ((801, 32), (29, 32), (29,))]
    target, call = torch.randint(29, (801,), generator=generator), {"up": torch.tensor(up)}
    found, plain = (errors(way, CrossEntropyLoss(), tensors, target, **call) for way in (fused, unfused))
    for got, wanted in zip(found, plain, strict=True):
        assert got <= 1.02 * wanted


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@reductions
def test_autocast(reduction, dtype):
    """To bfloat16, which leaves float64 as it is."""
    loss, tensors = FocalLoss(reduction=reduction, label_smoothing=0.1), layer(dtype=dtype)
    if dtype == torch.bfloat16:  # hidden states in half precision, parameters in float32
        tensors[1:] = [x.float() for x in tensors[1:]]

    def under(way, *given):
        with torch.autocast("cpu", torch.bfloat16):
            return way(*given)

    near = CLOSE if dtype == torch.float64 else {"rtol": 2**-6, "atol": 2**-7}
    found, wanted = (taken(partial(under, way), loss, tensors, draw()) for way in (fused, unfused))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, **near)
