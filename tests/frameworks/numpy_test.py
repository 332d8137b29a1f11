"""On NumPy arrays every loss is what it is on torch's."""

from typing import Any

import numpy as np
import pytest
import torch

from lossmith import functional
from lossmith import numpy as losses
from lossmith.errors import DomainError, DtypeError, ShapeError
from lossmith.flow.loss import Input
from tests.laws.cases import CASES, Case, leaves, packed

pytestmark = pytest.mark.filterwarnings("ignore:.*is a metric")


def arrays(x: Input | None) -> Any:
    return tuple(map(arrays, x)) if isinstance(x, tuple) else None if x is None else x.numpy()


@pytest.mark.parametrize("case", [case for case in CASES if case.label == case.cls.name], ids=lambda case: case.label)
def test_value_and_gradient_are_those_of_torch(case: Case) -> None:
    input, target = case.data()
    xs = tuple(x.clone().requires_grad_() for x in leaves(input))
    want = case.loss()(packed(xs), target)
    loss = losses.ArrayLoss(case.loss())
    got = loss(arrays(input), arrays(target))
    assert isinstance(got, np.ndarray)
    assert got == want.item()
    if case.cls.differentiable:
        value, grads = loss.value_and_grad(arrays(input), arrays(target))
        assert value == want.item()
        for a, b in zip(leaves(grads), torch.autograd.grad(want, xs), strict=True):
            np.testing.assert_array_equal(a, b.numpy())


def test_the_functions_are_those_of_torch() -> None:
    assert set(dir(losses)) == {*dir(functional), "create"}
    assert losses.focal_loss([[0.0, 0.0]], [1]) == pytest.approx(np.log(2) / 4)


def test_what_torch_cannot_share_is_copied() -> None:
    x = np.arange(6.0)
    for given in (x[::-1], x.astype(">f8"), np.broadcast_to(1.0, 6), x.reshape(2, 3).T.ravel()):
        assert losses.mse_loss(given, np.zeros(6)) == pytest.approx((np.asarray(given) ** 2).mean())


def test_inputs_are_left_alone() -> None:
    x = np.array([1.0, 2.0])
    losses.create("mse").value_and_grad(x, [0.0, 0.0])
    np.testing.assert_array_equal(x, [1.0, 2.0])


def test_bad_input_is_a_sentence() -> None:
    with pytest.raises(DomainError, match="first 7"):
        losses.focal_loss(np.zeros((1, 3)), [7])
    with pytest.raises(DtypeError, match="arrays hold numbers"):
        losses.focal_loss(np.zeros((1, 3)), ["cat"])
    with pytest.raises(ShapeError, match="same shape"):
        losses.mse_loss(np.zeros((2, 1)), np.zeros(2))
