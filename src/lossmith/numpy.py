"""Every registered loss on NumPy arrays: ``focal_loss(input, target, gamma=2.0)``, and `create` for specifications.

The arrays are shared with torch, not copied, and what is computed is what torch computes on the CPU: values, checks,
masks, weights and reductions are the same.

>>> import numpy as np
>>> from lossmith import numpy as losses
>>> float(losses.huber_loss(np.array([3.0]), np.array([0.0]), delta=2.0))
4.0
>>> loss = losses.create("0.5*mse + mae")
>>> loss.value_and_grad(np.array([1.0, -2.0]), np.array([0.0, 0.0]))
(2.75, array([ 1. , -1.5]))
"""

from typing import Any

import torch

from lossmith.errors import DtypeError
from lossmith.extras import extra
from lossmith.functional import Functions
from lossmith.spec import create as _create

np = extra("numpy", "compare")


class ArrayLoss:
    """A loss of arrays: call it with ``(input, target, mask=..., sample_weight=..., num_items=...)``.

    Lists and numbers are taken as arrays. The value is an array, of no axes unless ``reduction="none"``.
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss

    def __call__(self, input: Any, target: Any = None, **options: Any) -> Any:
        with torch.no_grad():
            value = self.loss(_tensor(input), _tensor(target), **{k: _tensor(v) for k, v in options.items()})
        return value.numpy()

    def value_and_grad(self, input: Any, target: Any = None, **options: Any) -> tuple[float, Any]:
        """The value, a number, and its gradient in the input, of the input's shape."""
        xs = input if isinstance(input, tuple) else (input,)
        leaves = tuple(_tensor(x).clone().requires_grad_() for x in xs)
        packed = leaves if isinstance(input, tuple) else leaves[0]
        value = self.loss(packed, _tensor(target), **{k: _tensor(v) for k, v in options.items()})
        grads = tuple(g.numpy() for g in torch.autograd.grad(value, leaves))
        return value.item(), grads if isinstance(input, tuple) else grads[0]

    def __repr__(self) -> str:
        return f"lossmith.numpy.create({str(self.loss)!r})"


def create(spec: Any) -> ArrayLoss:
    """The loss that a specification describes, on arrays; see `lossmith.create`, whose errors it raises.

    >>> create("quantile(q=0.9)")([1.0], [2.0])
    array(0.9...)
    """
    return ArrayLoss(_create(spec))


def _tensor(x: Any) -> Any:
    if x is None or isinstance(x, torch.Tensor | float | int):
        return x
    if isinstance(x, tuple):
        return tuple(map(_tensor, x))
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise DtypeError(f"lossmith.numpy: arrays hold numbers; this one has dtype {array.dtype}, of {repr(x)[:60]}")
    if array.dtype.byteorder == ">" or not array.flags.writeable or any(s < 0 for s in array.strides):
        array = np.array(array, dtype=array.dtype.newbyteorder("="))  # torch shares none of these
    return torch.from_numpy(array)


_functions = Functions(
    __name__, "numpy.ndarray", lambda loss, input, target, **options: ArrayLoss(loss)(input, target, **options)
)


def __getattr__(name: str) -> Any:
    return __dir__() if name == "__all__" else _functions.find(name)


def __dir__() -> list[str]:
    return [*_functions.names(), "create"]
