"""`loss.linear` under torch.compile: a whole graph, with the numbers of eager mode."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import lossmith

WEIGHTS = [0.5, 2.0, 1.0, 1.0, 3.0, 1.0, 1.0]


def layer() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 11, 5), (7, 5), (7,)
    hidden, weight, bias = (torch.randn(*s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes)
    return hidden, weight, bias


def targets() -> Tensor:
    target = torch.arange(22).reshape(2, 11) % 7
    target[1, 3] = -100
    return target


def agree(run: Any, target: Any, backend: str = "aot_eager") -> None:
    torch._dynamo.reset()
    given = layer()
    want = run(*given, target)
    upstream = torch.linspace(-1, 2, want.numel(), dtype=want.dtype).reshape(want.shape)
    got = torch.compile(run, fullgraph=True, backend=backend)(*given, target)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got, given, upstream), torch.autograd.grad(want, given, upstream))


@pytest.mark.parametrize(
    "text",
    [
        f"cross_entropy(weight={WEIGHTS}, label_smoothing=0.1)",
        "focal(reduction=none)",
        "poly(reduction=sum)",
        "cross_entropy + 0.01*z",
    ],
)
def test_a_compiled_graph_gives_the_same(text: str) -> None:
    loss = lossmith.create(text)
    options: dict[str, Any] = {"softcap": 5.0, "temperature": 2.0, "mask": torch.arange(22).reshape(2, 11) % 5 > 0}
    agree(lambda h, w, b, t: loss.linear(2 * h, w, t, b, **options), targets())


def test_likeliest_classes_and_a_count_of_items() -> None:
    loss = lossmith.CrossEntropyLoss()
    index, share = torch.arange(44).reshape(2, 11, 2) % 7, torch.tensor([0.75, 0.25]).double().expand(2, 11, 2)
    agree(lambda h, w, b, t: loss.linear(h, w, t, b, num_items=9), (index, share))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own, while it imports inductor
def test_inductor_gives_the_same() -> None:
    loss = lossmith.FocalLoss()
    agree(lambda h, w, b, t: loss.linear(h, w, t, b), targets(), backend="inductor")


def test_a_copy_is_a_loss_of_its_own() -> None:
    """The operation finds a loss by its number, which a copy must not take over."""
    one = lossmith.FocalLoss(gamma=0.0)
    for twin in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):  # noqa: S301
        twin.gamma = 3.0
        agree(lambda h, w, b, t, loss=twin: loss.linear(h, w, t, b), targets())
        assert twin.linear(*layer()[:2], targets()) < one.linear(*layer()[:2], targets())


def test_what_is_frozen_gets_no_gradient() -> None:
    torch._dynamo.reset()
    hidden, weight, bias = layer()
    loss = lossmith.CrossEntropyLoss()
    run = torch.compile(lambda h, w, b, t: loss.linear(h, w, t, b), fullgraph=True, backend="aot_eager")
    run(hidden, weight.detach(), bias.detach(), targets()).backward()
    want = torch.autograd.grad(loss.linear(hidden, weight, targets(), bias), hidden)[0]
    torch.testing.assert_close(hidden.grad, want)
    assert weight.grad is None


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_the_derivative_of_a_gradient_is_refused(reduction: str) -> None:
    """Other backends than this one refuse it of anything, in words of torch's."""
    torch._dynamo.reset()
    loss = lossmith.CrossEntropyLoss(reduction=reduction)
    run = torch.compile(lambda h, w, b, t: loss.linear(h, w, t, b), fullgraph=True, backend="eager")
    given = layer()
    value = run(*given, targets()).sum()
    with pytest.raises(RuntimeError, match=r"differentiated again .*; call the loss on torch.nn.functional.linear"):
        torch.autograd.grad(value, given, create_graph=True)


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize("fullgraph", [False, True])
def test_a_loss_made_inside_of_the_function_is_refused(fullgraph: bool) -> None:
    torch._dynamo.reset()
    run = torch.compile(
        lambda h, w, t: lossmith.CrossEntropyLoss().linear(h, w, t), fullgraph=fullgraph, backend="eager"
    )
    hidden, weight, _ = layer()
    with pytest.raises(Exception, match=r"CrossEntropyLoss: .* must be made outside of the compiled function"):
        run(hidden, weight, targets())


def test_autocast_reaches_the_products() -> None:
    torch._dynamo.reset()
    hidden, weight, _ = (x.detach().float().requires_grad_() for x in layer())
    loss = lossmith.CrossEntropyLoss()
    run = torch.compile(lambda h, w, t: loss.linear(h, w, t), fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", torch.bfloat16):
        got, want = run(hidden, weight, targets()), loss.linear(hidden, weight, targets())
    torch.testing.assert_close(got, want)
    assert torch.autograd.grad(got, weight)[0].dtype == torch.float32
