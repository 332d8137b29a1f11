"""The kinds of losses: how their data is drawn, what a right and a wrong answer look like, how they are called."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from lossmith.audit.batch import Batch
from lossmith.flow.loss import Loss

CLASSES, SIDE = 3, (8, 10)
Draw = Callable[[Generator, int], Batch]
Answer = Callable[[Batch, float], Batch]


def spread(loss: Any, batch: Batch, **options: Any) -> Any:
    """``loss(input, target)``, ``loss(one, two, target)`` or ``loss(one, two, three)``, as torch.nn's losses do."""
    return loss(*batch.tensors, **options)


def packed(loss: Any, batch: Batch, **options: Any) -> Any:
    """``loss(input, target)`` with several inputs in one tuple, as lossmith's losses do."""
    return loss(batch.inputs if len(batch.inputs) > 1 else batch.input, batch.target, **options)


@dataclass(frozen=True)
class Kind:
    """A layout of data; `draw` gives float64, `answer` the same target predicted with a confidence (below 0: wrong)."""

    name: str
    layout: str
    draw: Draw
    answer: Answer | None = None
    call: Callable[..., Any] = spread


def uniform(shape: tuple[int, ...], generator: Generator, low: float = -4.0, high: float = 4.0) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


def labels(shape: tuple[int, ...], classes: int, generator: Generator) -> Tensor:
    """Class indices in which every class occurs, where there is room."""
    drawn = torch.randint(0, classes, shape, generator=generator)
    flat = drawn.flatten()
    flat[:classes] = torch.arange(classes)[: len(flat)]
    return flat.reshape(shape)


def one_hot(target: Tensor, classes: int = CLASSES) -> Tensor:
    """[N, *] -> [N, C, *] in float64."""
    return F.one_hot(target.clamp(0, classes - 1), classes).movedim(-1, 1).double()


def _rows(z: Callable[[Tensor], Tensor]) -> tuple[Draw, Answer]:
    def draw(generator: Generator, units: int) -> Batch:
        return Batch((z(uniform((units, CLASSES), generator)),), labels((units,), CLASSES, generator))

    def answer(batch: Batch, size: float) -> Batch:
        scores = one_hot(batch.labels, batch.input.shape[1]) * size
        return batch.put(z(scores).to(batch.input.dtype))

    return draw, answer


def _elements(shape: tuple[int, ...], z: Callable[[Tensor], Tensor], low: float = 0.0) -> tuple[Draw, Answer]:
    """Targets `low` or 1, inputs of the same shape."""

    def draw(generator: Generator, units: int) -> Batch:
        target = labels((units, *shape), 2, generator).double() * (1 - low) + low
        return Batch((z(uniform((units, *shape), generator)),), target)

    def answer(batch: Batch, size: float) -> Batch:
        sign = torch.where(batch.labels > 0, 1.0, -1.0).double()
        return batch.put(z(sign * size).to(batch.input.dtype))

    return draw, answer


def _masks(generator: Generator, units: int) -> Batch:
    return Batch((uniform((units, CLASSES, *SIDE), generator),), labels((units, *SIDE), CLASSES, generator))


def _regression(generator: Generator, units: int) -> Batch:
    return Batch((uniform((units,), generator),), uniform((units,), generator, 0.5, 4.0))


def _counts(generator: Generator, units: int) -> Batch:
    return Batch((uniform((units,), generator, -1.0, 2.0),), torch.arange(units).remainder(5).double())


def _gaussian(generator: Generator, units: int) -> Batch:
    mean, variance = uniform((units,), generator), uniform((units,), generator, 0.5, 4.0)
    return Batch((mean, variance), uniform((units,), generator))


def call_gaussian(loss: Any, batch: Batch, **options: Any) -> Any:
    """``loss(mean, target, variance)``."""
    return loss(batch.inputs[0], batch.target, batch.inputs[1], **options)


def _divergence(generator: Generator, units: int) -> Batch:
    logs, scores = (uniform((units, CLASSES), generator, -2.0, 2.0) for _ in range(2))
    return Batch((logs.log_softmax(1),), scores.softmax(1))


def _pairs(shape: tuple[int, ...]) -> Draw:
    def draw(generator: Generator, units: int) -> Batch:
        inputs = tuple(uniform((units, *shape), generator, -1.0, 1.0) for _ in range(2))
        return Batch(inputs, labels((units,), 2, generator).double() * 2 - 1)

    return draw


def _triplets(generator: Generator, units: int) -> Batch:
    return Batch(tuple(uniform((units, 5), generator, -1.0, 1.0) for _ in range(3)), None)


def _embeddings(generator: Generator, units: int) -> Batch:
    return Batch((uniform((units, 6), generator, -1.0, 1.0),), torch.arange(units) // 2)


def _scores(generator: Generator, units: int) -> Batch:
    return Batch(tuple(uniform((units,), generator) for _ in range(2)), None)


def _sampled(generator: Generator, units: int) -> Batch:
    return Batch((uniform((units,), generator), uniform((units, 6), generator)), None)


def _sequence(generator: Generator, units: int) -> Batch:
    scores = uniform((12, units, 5), generator).log_softmax(2)
    return Batch((scores,), 1 + labels((units, 4), 4, generator), axis=1)


def call_sequence(loss: Any, batch: Batch, **options: Any) -> Any:
    """``loss(log_probs, targets, input_lengths, target_lengths)``."""
    frames, length = torch.full((batch.units,), batch.input.shape[0]), torch.full((batch.units,), batch.labels.shape[1])
    return loss(batch.input, batch.target, frames, length, **options)


def _same(z: Tensor) -> Tensor:
    return z


def _log_softmax(z: Tensor) -> Tensor:
    return z.log_softmax(1)


def _softmax(z: Tensor) -> Tensor:
    return z.softmax(1)


def _answer_masks(batch: Batch, size: float) -> Batch:
    return batch.put((one_hot(batch.labels, batch.input.shape[1]) * size).to(batch.input.dtype))


IMAGE = (1, *SIDE)
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("softmax", "logits [N, C], class indices [N]", *_rows(_same)),
        Kind("log_prob", "log-probabilities [N, C], class indices [N]", *_rows(_log_softmax)),
        Kind("prob", "probabilities [N, C], class indices [N]", *_rows(_softmax)),
        Kind("sigmoid", "logits, targets 0 or 1 of the same shape", *_elements((), _same)),
        Kind("multilabel", "logits [N, K], targets 0 or 1 [N, K]", *_elements((4,), _same)),
        Kind("binary_prob", "probabilities, targets 0 or 1 of the same shape", *_elements((), torch.sigmoid)),
        Kind("margin", "scores, targets -1 or 1 of the same shape", *_elements((), _same, low=-1.0)),
        Kind("regression", "predictions, targets of the same shape", _regression),
        Kind("count", "log-rates, counts of the same shape", _counts),
        Kind("gaussian", "mean, target and variance of the same shape", _gaussian, call=call_gaussian),
        Kind("overlap", "logits [N, C, H, W], class indices [N, H, W]", _masks, _answer_masks),
        Kind("overlap_sigmoid", "logits [N, 1, H, W], masks of the same shape", *_elements(IMAGE, _same)),
        Kind("divergence", "log-probabilities [N, C], probabilities [N, C]", _divergence),
        Kind("pairs", "two batches of vectors [N, D], target -1 or 1 [N]", _pairs((5,))),
        Kind("score_pairs", "two batches of scores [N], target -1 or 1 [N]", _pairs(())),
        Kind("triplets", "anchor, positive, negative [N, D]", _triplets),
        Kind("embeddings", "vectors [N, D], labels [N]", _embeddings),
        Kind("adversarial", "scores of real and of fake examples [N]", _scores),
        Kind("sampling", "the target's logit [N], logits of noise [N, K]", _sampled),
        Kind("sequence", "log-probabilities [T, N, C], labels [N, S] and lengths", _sequence, call=call_sequence),
    )
}
ROWS, BINARY = ("softmax", "log_prob", "prob"), ("sigmoid", "multilabel", "binary_prob")
LABELS = (*ROWS, *BINARY)
LOGITS = ("softmax", "sigmoid", "multilabel", "margin")
OVERLAP = ("overlap", "overlap_sigmoid")
ELEMENTS = (*BINARY, "margin", "regression", "count")
POINTWISE = (*ROWS, *ELEMENTS)  # one value per unit, whatever the other units are
VECTORS = ("pairs", "triplets", "embeddings")


def kind_of(loss: Loss) -> Kind:
    """The kind of a loss of lossmith's make, from its family, its link and what it samples; its data is its sample."""
    name = _name_of(loss)
    base = KINDS.get(name) or Kind(name, f"what {type(loss).__name__} samples", _regression)

    def draw(generator: Generator, units: int) -> Batch:
        input, target = loss.sample(generator, units)
        inputs = tuple(input) if isinstance(input, tuple | list) else (input,)
        axis = 0 if getattr(loss, "batch_first", True) else 1
        return Batch(inputs, target, axis, loss.inputs_per_unit if len(inputs) > 1 else None)

    return replace(base, draw=base.draw if name in OVERLAP else draw, call=packed)


def _name_of(loss: Loss) -> str:
    input, target = loss.sample(torch.Generator().manual_seed(0), 8)
    inputs = tuple(input) if isinstance(input, tuple | list) else (input,)
    link = str(getattr(loss, "link", ""))
    if link and loss.unit == "sample" and len(inputs) == 1 and inputs[0].dim() > 2 and target is not None:
        if target.shape == inputs[0].shape:
            return "overlap_sigmoid"
        if target.shape == inputs[0][:, 0].shape:
            return "overlap"
    if loss.family == "comparison":
        return _comparison(inputs, target)
    if len(inputs) > 1:
        return loss.family
    return {"likelihood": link, "residual": "regression"}.get(loss.family) or loss.family


def _comparison(inputs: tuple[Tensor, ...], target: Tensor | None) -> str:
    """Which comparison: vectors or scores, of two, of three, or of all with each other."""
    if target is None:
        return "triplets" if len(inputs) == 3 and inputs[0].dim() == 2 else "comparison"
    if len(inputs) == 2 and target.is_floating_point() and bool((target.abs() == 1).all()):
        return "pairs" if inputs[0].dim() == 2 else "score_pairs"
    return "embeddings" if len(inputs) == 1 and inputs[0].dim() == 2 and target.dim() == 1 else "comparison"
