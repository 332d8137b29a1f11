"""The losses as `keras.losses.Loss`, on TensorFlow, JAX and torch: ``keras.losses`` with our formulas.

``FocalLoss(gamma=2.0)`` is called with ``(y_true, y_pred, sample_weight)``, goes into ``model.compile`` and is saved
with the model. Everything else is that of the torch class of the same name, on the tensors of Keras's backend. Offered
are the residual, margin, likelihood, overlap and divergence families, and sums of them by `create`.

Classes lie along the last axis of `y_pred`, as in Keras. `y_true` is class indices without that axis (or with it, of
length 1), or class probabilities. What is predicted is logits unless ``link="prob"`` (softmax on the last layer) or
``link="binary_prob"`` (a sigmoid) says otherwise; Keras's own losses expect probabilities.

>>> from lossmith import keras as losses
>>> loss = losses.FocalLoss(gamma=2.0, name="focal")
>>> round(float(loss([0], [[2.0, 0.0, 0.0]])), 4)
0.0109
>>> loss.get_config()
{'name': 'focal', 'reduction': 'sum_over_batch_size', 'gamma': 2.0}
"""

from typing import Any

import torch
from torch import Tensor

import lossmith.losses  # noqa: F401  (fills the registry)
from lossmith.arrays import ops_of
from lossmith.errors import ParameterError, ShapeError
from lossmith.extras import extra
from lossmith.flow.loss import Loss, registry
from lossmith.flow.parameter import nearest
from lossmith.flow.sum import WeightedSum
from lossmith.flow.units import agree
from lossmith.losses.link import BINARY
from lossmith.spec import create as _create

keras = extra("keras", "keras")
REDUCTIONS = {  # what Keras calls a reduction: what we do
    "sum_over_batch_size": {"reduction": "mean", "normalizer": "count"},
    "mean": {"reduction": "mean", "normalizer": "count"},
    "mean_with_sample_weight": {"reduction": "mean"},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    None: {"reduction": "none"},
}


class TorchLoss(keras.losses.Loss):  # type: ignore[misc, name-defined]
    """A loss of lossmith as Keras has it; the base of all classes here.

    `reduction` is Keras's: "sum_over_batch_size" (the default) and "mean" divide by the number of units that a mask
    leaves, "mean_with_sample_weight" by their weights, class weights included, as torch does. `class_weight` is our
    `weight`, as a list or as Keras's dictionary from class to weight. Raises what the torch class raises.
    """

    torch_class: type[Loss]

    def __init__(
        self,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        class_weight: Any = None,
        **parameters: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if class_weight is not None:
            parameters["weight"] = _listed(class_weight)
        self.parameters = parameters
        self.loss = self.made(parameters)

    def made(self, parameters: dict[str, Any]) -> Any:
        """The torch loss that this one is."""
        return self.torch_class(**reduced(self.torch_class, self.reduction, parameters))

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        mask = getattr(y_pred, "_keras_mask", None)  # where Keras's layers leave it
        terms = [self.loss] if isinstance(self.loss, Loss) else list(self.loss.losses)
        with keras.name_scope(self.name):
            input, target = laid_out(terms[0], _array(y_true), _array(y_pred))
            given = {"mask": mask, "sample_weight": None if sample_weight is None else _array(sample_weight)}
            options = {name: _spread(terms[0], x, input, target) for name, x in given.items() if x is not None}
            return self.loss(input, target, **options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The value of every unit."""
        input, target = laid_out(self.loss, _array(y_true), _array(y_pred))
        return self.loss.values(input, target)[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{name: _plain(value) for name, value in self.parameters.items()}}


def reduced(cls: type[Loss], reduction: str | None, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a loss and Keras's reduction as our two; a loss that has one mean only keeps that."""
    options = dict(REDUCTIONS[reduction])
    if cls.reductions == ("mean",):
        options.pop("normalizer", None)
    return {**options, **parameters}


def create(spec: str, **options: Any) -> TorchLoss:
    """The Keras loss that a specification such as ``"focal + 0.5*dice"`` describes.

    `options` are Keras's ``reduction``, ``name`` and ``dtype``.

    >>> round(float(create("0.7*focal + 0.3*poly")([0], [[2.0, 0.0, 0.0]])), 4)
    0.1434

    Raises `ParameterError` for a loss that is written for torch alone, and what `lossmith.create` raises.
    """
    loss: TorchLoss = Combined(spec=spec, **options)
    return loss


@keras.saving.register_keras_serializable("lossmith")
class Combined(TorchLoss):
    """A weighted sum of losses, by its specification; every term has the reduction of the whole."""

    def made(self, parameters: dict[str, Any]) -> Any:
        loss = _create(parameters["spec"])
        terms = [(1.0, loss)] if isinstance(loss, Loss) else loss.terms
        return WeightedSum([(factor, self.term(one)) for factor, one in terms])

    def term(self, loss: Loss) -> Loss:
        """The loss with the reduction of the whole."""
        if not loss.portable:
            raise ParameterError(f"{type(loss).__name__} is written for torch alone; see dir(lossmith.keras)")
        return type(loss)(**reduced(type(loss), self.reduction, loss.options()))


def laid_out(loss: Loss, target: Any, input: Any) -> tuple[Any, Any]:
    """(input, target) as torch has them: classes along axis 1, class indices as integers."""
    ops, dims = keras.ops, len(input.shape)
    if isinstance(loss.sample(torch.Generator(), 1)[0], tuple):  # several numbers for each unit: the last axis
        return tuple(input[..., k] for k in range(input.shape[-1])), target
    if not _over_classes(loss):
        if len(target.shape) == dims - 1 and input.shape[-1] == 1:
            target = ops.expand_dims(target, -1)
        last = dims > 2 and loss.unit != "element"
        return (ops.moveaxis(input, -1, 1), ops.moveaxis(target, -1, 1)) if last else (input, target)
    if dims < 2 or len(target.shape) > dims:
        raise ShapeError(
            f"{type(loss).__name__}: y_true comes first and holds the labels of y_pred, which must be class scores, "
            f"[batch, ..., classes]; y_true has shape {list(target.shape)} and y_pred {list(input.shape)}"
        )
    if len(target.shape) == dims and target.shape[-1] == 1:
        target = ops.squeeze(target, -1)
    if len(target.shape) == dims:
        return ops.moveaxis(input, -1, 1), ops.moveaxis(target, -1, 1)
    return ops.moveaxis(input, -1, 1), ops.cast(target, "int32")


def _over_classes(loss: Loss) -> bool:
    return loss.unit != "element" and getattr(loss, "link", "softmax") not in BINARY


def _spread(loss: Loss, x: Any, input: Any, target: Any) -> Any:
    """A mask or weights, of samples or of units, in the shape of the units."""
    ops = keras.ops
    first = input[0] if isinstance(input, tuple) else input
    like = first[:, 0] if _over_classes(loss) else first
    if len(x.shape) == len(like.shape) + 1 and x.shape[-1] == 1:
        x = ops.squeeze(x, -1)
    if loss.unit == "sample" and len(x.shape) == 1:
        return x  # of a sample, not of its pixels
    if len(x.shape) > len(like.shape) or not agree(x.shape, like.shape[: len(x.shape)]):
        raise ShapeError(
            f"{type(loss).__name__}: sample_weight and mask must have one entry per sample, or per unit, "
            f"{list(like.shape)}; it has shape {list(x.shape)}"
        )
    x = ops.reshape(x, (*ops.shape(x), *[1] * (len(like.shape) - len(x.shape))))
    if ops_of(x).dtype_name(x) == "bool":
        return ops.logical_and(x, ops.ones_like(like, dtype="bool"))
    return ops.cast(x, like.dtype) * ops.ones_like(like)


def _array(x: Any) -> Any:
    return keras.ops.convert_to_tensor(x)


def _listed(weight: Any) -> list[float]:
    """Keras's dictionary from class to weight as a list; what it leaves out weighs 1."""
    if not isinstance(weight, dict):
        return list(weight)
    if any(isinstance(k, bool) or not isinstance(k, int) or k < 0 for k in weight):
        raise ParameterError(f"class_weight must be a list, or a dictionary from class index to weight, not {weight!r}")
    return [float(weight.get(k, 1.0)) for k in range(max(weight, default=-1) + 1)]


def _plain(value: Any) -> Any:
    """A parameter as JSON has it."""
    return value.tolist() if isinstance(value, Tensor) else list(value) if isinstance(value, tuple) else value


_made: dict[type[Loss], type[TorchLoss]] = {}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    known = {cls.__name__: cls for cls in registry.values()}
    cls = known.get(name)
    if cls is None or not cls.portable:
        why = nearest(name, known) if cls is None else "; it is written for torch alone"
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{why}")
    if cls not in _made:
        body = {"torch_class": cls, "__doc__": cls.__doc__, "__module__": __name__}
        _made[cls] = keras.saving.register_keras_serializable("lossmith")(type(name, (TorchLoss,), body))
    return _made[cls]


def __dir__() -> list[str]:
    return sorted([*(cls.__name__ for cls in registry.values() if cls.portable), "create"])
