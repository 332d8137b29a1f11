"""The law of JAX: value and gradient are torch's, under jit, vmap and grad, for every loss that is offered."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch import Tensor

import lossmith
from lossmith import jax as losses
from lossmith.errors import DomainError, DtypeError, ParameterError, ShapeError, SpecError
from lossmith.flow.loss import Input
from tests.frameworks.data import PORTABLE, VARIANTS, of_torch
from tests.laws.cases import SHIPPED, Case, leaves

pytestmark = pytest.mark.filterwarnings("ignore:.*is a metric")
KEEP = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1]).bool()
WEIGHT = torch.tensor([1.0, 2, 0.5, 3, 1, 1, 0, 2], dtype=torch.float64)


@pytest.fixture(autouse=True)
def float64() -> Any:
    jax.config.update("jax_disable_most_optimizations", True)  # compiled once, and run once
    with jax.enable_x64(True):
        yield


def arrays(x: Input | None) -> Any:
    return tuple(map(arrays, x)) if isinstance(x, tuple) else None if x is None else jnp.asarray(x.numpy())


def close(got: Any, want: Tensor) -> None:
    np.testing.assert_allclose(np.asarray(got), want.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", [*PORTABLE, *VARIANTS], ids=lambda case: case.label)
def test_value_and_gradient_are_those_of_torch(case: Case) -> None:
    """With a mask and weights, compiled: the whole way through the flow."""
    loss, (input, target) = losses.create(case.loss()), map(arrays, case.data())
    more = {"mask": jnp.asarray(KEEP.numpy()), "sample_weight": jnp.asarray(WEIGHT.numpy())}
    value, grad = jax.jit(jax.value_and_grad(loss))(input, target, **more)
    want, grads = of_torch(case, mask=KEEP, sample_weight=WEIGHT)
    close(value, want)
    for got, one in zip(leaves(grad), grads, strict=False):
        close(got, one)


@pytest.mark.parametrize("name", ["cross_entropy", "focal(link=sigmoid)", "mse", "hinge", "js_div"])
def test_vmap_is_a_loop(name: str) -> None:
    loss, case = losses.create(name), next(case for case in PORTABLE if case.cls.name == name.split("(")[0])
    one, two = map(arrays, case.loss(**({"link": "sigmoid"} if "(" in name else {})).sample(torch.Generator(), 8))
    rows = jax.jit(jax.vmap(lambda x, y: loss(x[None], y[None])))(one, two)
    np.testing.assert_allclose(rows.mean(), loss(one, two), rtol=1e-10)


def test_every_loss_of_these_families_is_offered() -> None:
    families = {"residual", "margin", "likelihood", "overlap", "divergence", "composition"}
    states = {"ghmc", "ghmr"}  # they keep averages of former calls
    offered = {name.removesuffix("_loss") for name in dir(losses)} & set(SHIPPED)
    assert offered == {name for name, cls in SHIPPED.items() if cls.family in families} - states


def test_classes_may_be_last() -> None:
    z, y = jnp.linspace(-2, 2, 40).reshape(2, 5, 4), jnp.arange(10).reshape(2, 5) % 4
    want = lossmith.FocalLoss()(torch.from_numpy(np.array(z)).movedim(-1, 1), torch.from_numpy(np.array(y)))
    close(losses.create("focal", class_axis=-1)(z, y), want)
    close(losses.focal_loss(z.tolist(), y.tolist(), class_axis=-1), want)


def test_optax_and_ours_agree_where_they_mean_the_same() -> None:
    z, y = jnp.linspace(-3, 3, 12).reshape(4, 3), jnp.array([0, 2, 1, 1])
    close(losses.cross_entropy_loss(z, y), torch.tensor(optax.softmax_cross_entropy_with_integer_labels(z, y).mean()))
    t = jnp.array([0.0, 1, 1, 0])
    ours = losses.focal_loss(z[:, 0], t, link="sigmoid", alpha=0.25, reduction="none")
    np.testing.assert_allclose(ours, optax.sigmoid_focal_loss(z[:, 0], t, alpha=0.25, gamma=2.0), rtol=1e-6)


def test_a_step_of_optax() -> None:
    """A small model learns: what an optax user writes."""
    x = jax.random.normal(jax.random.key(0), (64, 3))
    y = (x[:, 0] > 0.5).astype(int)
    w, optimizer = jnp.zeros((3, 2)), optax.adam(0.1)
    state = optimizer.init(w)
    step = jax.jit(jax.value_and_grad(lambda w: losses.focal_loss(x @ w, y, gamma=1.0)))
    first = None
    for _ in range(30):
        value, grad = step(w)
        first = value if first is None else first
        updates, state = optimizer.update(grad, state)
        w = optax.apply_updates(w, updates)
    assert value < 0.8 * first


@pytest.mark.parametrize("size", [40.0, 200.0, 1e4])
@pytest.mark.parametrize("name", ["cross_entropy", "focal", "poly", "dsc", "dice"])
def test_a_wrong_logit_of_any_size_pulls_in_float32(name: str, size: float) -> None:
    loss = losses.create(name + ("(per=batch)" if name == "dice" else ""))
    z = jnp.array([[size, 0.0, -size]], dtype=jnp.float32)
    value, grad = jax.jit(jax.value_and_grad(loss))(z, jnp.array([2]))
    assert jnp.isfinite(value)
    assert jnp.isfinite(grad).all()
    assert name in ("dsc", "dice") or (grad[0, 2] < 0 < grad[0, 0])


def test_half_precision_is_computed_in_float32() -> None:
    value = losses.cross_entropy_loss(jnp.zeros((2, 3), dtype=jnp.bfloat16), jnp.array([0, 1]))
    assert value.dtype == jnp.float32


def test_a_count_of_targets_may_be_traced() -> None:
    step = jax.jit(lambda z, y, n: losses.cross_entropy_loss(z, y, num_items=n))
    close(step(jnp.zeros((2, 3)), jnp.array([0, 1]), 4.0), torch.tensor(3.0, dtype=torch.float64).log() / 2)


def test_bad_input_is_a_sentence() -> None:
    z, y = jnp.zeros((2, 3)), jnp.array([0, 1])
    for call, error, says in (
        (lambda: losses.focal_loss(z, jnp.array([0, 7])), DomainError, "1 of 2 is not, first 7"),
        (lambda: losses.mse_loss(jnp.zeros((2, 1)), jnp.zeros(2)), ShapeError, "must have the same shape"),
        (lambda: losses.focal_loss(z, y, mask=jnp.ones(2)), DtypeError, "mask must be bool"),
        (lambda: losses.create("ctc"), ParameterError, "written for torch alone"),
        (lambda: losses.create("focl"), SpecError, 'did you mean "focal"'),
        (lambda: losses.ctc_loss, AttributeError, "written for torch alone"),
        (lambda: losses.focl_loss, AttributeError, 'did you mean "focal_loss"'),
        (lambda: lossmith.SmoothAPLoss()(z, z), DtypeError, "written for torch tensors alone"),
        (lambda: lossmith.MSELoss()(z, torch.zeros(2, 3)), DtypeError, "arrays of one library"),
    ):
        with pytest.raises(error, match=says):
            call()
