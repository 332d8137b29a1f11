"""The losses as pure functions of JAX arrays: ``focal_loss(logits, labels, gamma=2.0)``; `create` for specifications.

The same statistics and formulas as on torch, on `jax.numpy`: clean under ``jit``, ``vmap`` and ``grad``, in the dtype
of the input (at least float32). The order of arguments is optax's: what the model says, then what is true. Masks,
weights, reductions and parameters are those of the torch class. Offered are all losses whose statistic is not torch's
own: the residual, margin, likelihood, overlap and divergence families, sums of them, and losses of your own on these
families. Values are checked outside of ``jit`` only.

>>> import jax
>>> from lossmith import jax as losses
>>> logits, labels = jax.numpy.array([[2.0, 0.0, 0.0]]), jax.numpy.array([0])
>>> print(jax.jit(losses.focal_loss)(logits, labels).round(4))
0.0109
>>> loss = losses.create("0.7*focal(gamma=2) + 0.3*poly")
>>> print(jax.grad(loss)(logits, labels).round(3))
[[-0.133  0.066  0.066]]
"""

from collections.abc import Callable
from typing import Any

from lossmith.errors import ParameterError
from lossmith.extras import extra
from lossmith.flow.loss import Loss
from lossmith.flow.sum import WeightedSum
from lossmith.functional import Functions
from lossmith.spec import create as _create

jnp = extra("jax.numpy", "jax")


def create(spec: Any, *, class_axis: int = 1) -> Callable[..., Any]:
    """The pure function ``loss(input, target, *, mask=None, sample_weight=None, num_items=None)`` of a specification.

    `class_axis` is where the classes lie in the input, axis 1 as in torch, or -1 as in most JAX models; a target of
    class probabilities has them there too.

    Raises `ParameterError` for a loss that is written for torch alone, and what `lossmith.create` raises.

    >>> smooth = create("cross_entropy(label_smoothing=0.1)", class_axis=-1)
    >>> print(smooth(jnp.zeros((2, 5, 4)), jnp.zeros((2, 5), dtype=int)).round(4))   # log 4
    1.3863
    """
    loss = _create(spec)
    for one in [loss] if isinstance(loss, Loss) else [term for _, term in loss.terms]:
        if not one.portable:
            raise ParameterError(f"{type(one).__name__} is written for torch alone; lossmith.jax has {_some()}")

    def function(input: Any, target: Any, **options: Any) -> Any:
        return _call(loss, input, target, class_axis=class_axis, **options)

    function.__name__, function.__doc__ = "loss", f"The loss {loss} of (input, target)."
    return function


def _call(loss: Loss | WeightedSum, input: Any, target: Any, class_axis: int = 1, **options: Any) -> Any:
    """Call a loss with everything as JAX arrays, the classes moved to axis 1."""
    inputs = tuple(map(jnp.asarray, input)) if isinstance(input, tuple) else (jnp.asarray(input),)
    target = jnp.asarray(target)
    if class_axis != 1 and inputs[0].ndim > 1:
        soft = target.ndim == inputs[0].ndim
        inputs = tuple(jnp.moveaxis(x, class_axis, 1) for x in inputs)
        target = jnp.moveaxis(target, class_axis, 1) if soft else target
    given = {name: x if x is None else jnp.asarray(x) for name, x in options.items()}
    return loss(inputs if len(inputs) > 1 else inputs[0], target, **given)


def _some() -> str:
    return ", ".join(name.removesuffix("_loss") for name in _functions.names()[:3]) + " and others, see dir()"


_functions = Functions(__name__, "jax.Array", _call, lambda cls: cls.portable, also={"class_axis": 1})


def __getattr__(name: str) -> Any:
    return __dir__() if name == "__all__" else _functions.find(name)


def __dir__() -> list[str]:
    return [*_functions.names(), "create"]
