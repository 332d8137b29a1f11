"""The two activations that torch does not have: the largest of a group, and where the largest is."""

import torch
from torch import Tensor, nn

from lossmith.errors import ParameterError, ShapeError
from lossmith.flow.parameter import integer_or_none
from lossmith.flow.units import floating, one_tensor


class Maxout(nn.Module):
    """The largest of every ``pieces`` neighbours along an axis: ``h_i = max_j z_(i * pieces + j)``, j below `pieces`.

    After a linear layer it is the paper's maxout hidden layer, which learns a convex, piecewise linear activation:
    ``Sequential(Linear(inputs, units * pieces), Maxout(pieces))``; after a convolution, with ``dim=1``, its maxout
    feature map. It has no weights of its own.

    Shapes: any with an axis `dim` whose size is a multiple of `pieces`; that axis is `pieces` times shorter in the
    result. The values are in the units of the input, in its dtype. The gradient goes to the largest entry; entries
    that tie for it share it evenly, which is one of the subgradients. NaN gives NaN.

    Raises `ParameterError` for a `pieces` that is not a whole number of at least 1 or a `dim` that is not a whole
    number, `ShapeError` for an input without that axis or of another size, `DtypeError` for one without floating
    point numbers.

    >>> Maxout(2)(torch.tensor([1.0, 5.0, -3.0, -2.0]))
    tensor([ 5., -2.])
    >>> Maxout(3, dim=0)(torch.tensor([[0.0, 4.0], [1.0, 3.0], [2.0, -9.0]]))
    tensor([[2., 4.]])

    Source: Goodfellow, Warde-Farley, Mirza, Courville and Bengio (2013), "Maxout networks", arXiv 1302.4389, section 3.
    """

    def __init__(self, pieces: int = 2, dim: int = -1) -> None:
        super().__init__()
        self.pieces, self.dim = _whole("pieces", pieces), _whole("dim", dim)
        if self.pieces < 1:
            raise ParameterError(f"Maxout: pieces must be at least 1, not {pieces!r}")

    def forward(self, input: Tensor) -> Tensor:
        axis = _axis("Maxout", input, self.dim)
        before, size, after = input.shape[:axis], input.shape[axis], input.shape[axis + 1 :]
        if size % self.pieces:
            raise ShapeError(
                f"Maxout: axis {self.dim} of the input must be a multiple of pieces = {self.pieces} long; it has "
                f"shape {list(input.shape)}"
            )
        return input.reshape(*before, size // self.pieces, self.pieces, *after).amax(axis + 1)

    def extra_repr(self) -> str:
        return f"pieces={self.pieces}, dim={self.dim}"


def hardmax(input: Tensor, dim: int = -1) -> Tensor:
    """The one-hot vector of the largest entry along an axis: ``1 where input is the first maximum, else 0``.

    It is the limit of ``softmax(input / t)`` for t to 0 where there is one largest entry; of several, the first counts,
    as in ``torch.argmax`` and in ONNX's Hardmax (softmax would share the 1 evenly). NaN counts as the largest.

    It is constant wherever it is smooth, so its true gradient is 0 and nothing can be learnt through it: the result is
    cut from the graph as that of ``torch.argmax`` is, and a backward pass with no other way back says so.
    ``torch.nn.functional.gumbel_softmax(hard=True)`` is torch's straight-through estimator, whose gradient is that of
    softmax instead.

    Shapes: any with an axis `dim`; the result has the same shape and dtype. Raises `ShapeError` for an input without
    that axis or with nothing along it, `DtypeError` for one without floating point numbers.

    >>> hardmax(torch.tensor([[1.0, 3.0, 2.0], [5.0, 5.0, -1.0]]))
    tensor([[0., 1., 0.],
            [1., 0., 0.]])

    Source: ONNX operator Hardmax, version 13.
    """
    axis = _axis("hardmax", input, _whole("dim", dim, "hardmax"))
    if input.shape[axis] == 0:
        raise ShapeError(f"hardmax: there is no largest of nothing; the input has shape {list(input.shape)}")
    return torch.zeros_like(input).scatter(axis, input.argmax(axis, keepdim=True), 1.0)


def _whole(name: str, value: object, owner: str = "Maxout") -> int:
    """Read a whole number."""
    try:
        found = integer_or_none(value)
    except (TypeError, ValueError):
        found = None
    if found is None:
        raise ParameterError(f"{owner}: {name} must be a whole number, not {value!r}")
    return found


def _axis(owner: str, input: Tensor, dim: int) -> int:
    """The axis `dim` counted from the front."""
    floating(owner, one_tensor(owner, input))
    if not -input.dim() <= dim < input.dim():
        raise ShapeError(f"{owner}: the input must have an axis {dim}; it has shape {list(input.shape)}")
    return dim % input.dim()
