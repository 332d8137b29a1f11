"""What a trainer needs beside the loss: `huggingface` for the Trainer, `probabilities` for predictions (skorch).

Lightning, Accelerate and loops of one's own take a loss as it is; `docs/trainers/` has a page for each.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lossmith.errors import ParameterError
from lossmith.flow.loss import Arithmetic, Loss
from lossmith.flow.units import at_least_float32
from lossmith.losses.link import BINARY

IGNORED = -100  # the label that the Trainer leaves out of its count


def huggingface(loss: Arithmetic, *, shift: bool | None = None) -> Callable[..., Tensor]:
    """The `compute_loss_func` of a Hugging Face Trainer: ``sum of the losses / num_items_in_batch``.

    `num_items_in_batch` is the number of labels other than -100 in the whole step, over its micro-batches and ranks, so
    that the step is that of one big batch however the labels lie in it. It takes the place of what a mean divides by:
    class weights enter the sum alone, as with ``normalizer="count"``. Without it (or without labels to count) the loss
    is its own mean.

    The logits of ``outputs`` may be [N, C] with labels [N]; [N, T, C] with labels [N, T]; [N, 1] with labels [N], for
    one number or one logit; or what the loss takes anyway. Regression and labels of one's own shape pass through.

    **Losses of a batch** (Dice, GHM, contrastive ones, the root of RMSE), ``normalizer="positives"`` and class
    probabilities as labels do not add up over micro-batches: they are computed where one call has all the labels of its
    step, and raise `ParameterError` where it has a part of them.

    Parameters:
        loss: a loss, or a sum of losses, with reduction "mean".
        shift: whether position t predicts label t + 1 (GPT, Llama). Has to be said for a model with a CausalLMOutput,
            which decoders and CTC models have alike.

    Raises `ParameterError` for a loss that the Trainer cannot scale: another reduction, another `ignore_index` than
    -100, a `process_group` (the Trainer multiplies by the ranks itself).

    >>> from lossmith import CrossEntropyLoss
    >>> compute_loss = huggingface(CrossEntropyLoss())
    >>> logits = torch.zeros(1, 3, 2)   # every token costs log 2; one of the three is ignored; the step has 4 in all
    >>> float(compute_loss({"logits": logits}, torch.tensor([[0, 1, -100]]), num_items_in_batch=torch.tensor(4)))
    0.3465...
    """
    for part in _parts("huggingface", loss):
        owner = f"huggingface: {type(part).__name__}"
        if part.reduction != "mean":
            raise ParameterError(f'{owner} must have reduction "mean", which the Trainer\'s count turns into its own')
        if part.ignore_index not in (None, IGNORED):
            raise ParameterError(
                f"{owner} must have ignore_index=-100, by which the Trainer counts; relabel the others"
            )
        if part.scope == "unit" and part.process_group is not None:
            raise ParameterError(f"{owner} needs no process_group: the Trainer's count is of all ranks")
    return partial(_share_of_step, loss, shift)


def probabilities(loss: Arithmetic) -> Callable[[Tensor], Tensor]:
    """The function from a model's scores to probabilities by the link of its loss: skorch's `predict_nonlinearity`.

    Of classes [N, C, *] along axis 1; of single labels as they are, and [N] as the two columns [N, 2] of absent and
    present. They are the model's own: a loss that does not estimate probabilities (focal) does not make them right.
    The function can be pickled.

    Raises `ParameterError` for a loss without a link (margins, residuals), or with several.

    >>> from lossmith import FocalLoss
    >>> probabilities(FocalLoss())(torch.tensor([[0.0, 0.0]]))
    tensor([[0.5000, 0.5000]])
    >>> probabilities(FocalLoss(link="sigmoid"))(torch.tensor([3.0]).log())   # odds of 3 to 1
    tensor([[0.2500, 0.7500]])
    """
    links = {str(part.link) for part in _parts("probabilities", loss) if hasattr(part, "link")}
    if len(links) != 1:
        found = f"it has {', '.join(sorted(links))}" if links else "its scores are not logits"
        raise ParameterError(f"probabilities: {loss} must have one link from scores to probabilities; {found}")
    return partial(_probabilities, links.pop())


def _parts(owner: str, loss: Any) -> list[Loss]:
    """The loss, or the terms of a sum."""
    if not (isinstance(loss, Arithmetic) and isinstance(loss, nn.Module)):
        raise ParameterError(
            f"{owner}: loss must be a loss of lossmith, such as lossmith.create('focal'), not {loss!r}"
        )
    return [part for part in loss.modules() if isinstance(part, Loss)]


def _share_of_step(
    loss: Any, shift: bool | None, outputs: Any, labels: Tensor | None, num_items_in_batch: Any = None
) -> Tensor:
    """The loss of one micro-batch: its share of the loss of the step."""
    if labels is None:
        raise ParameterError("huggingface: the batch must have labels; it has none (see the Trainer's label_names)")
    kind = type(outputs).__name__
    if shift is None and "CausalLMOutput" in kind:
        raise ParameterError(
            f"huggingface: say shift=True for a model whose position t predicts token t + 1 (GPT, Llama), or "
            f"shift=False; a {kind} does not tell"
        )
    if isinstance(outputs, Mapping) and "logits" not in outputs:
        raise ParameterError(f"huggingface: the model's outputs must have logits; they have {', '.join(outputs)}")
    logits = outputs["logits"] if isinstance(outputs, Mapping) else outputs if kind == "Tensor" else outputs[0]
    logits, labels = _aligned(logits, labels, bool(shift))
    options: dict[str, Any] = {}
    if num_items_in_batch is not None:
        late = [part for part in _parts("huggingface", loss) if not _adds_up(part, logits, labels)]
        if late:
            _raise_unless_whole(late[0], labels, num_items_in_batch)
        else:
            options["num_items"] = num_items_in_batch
    value: Tensor = loss(logits, labels, **options)
    return value


def _aligned(logits: Tensor, labels: Tensor, shift: bool) -> tuple[Tensor, Tensor]:
    """Logits and labels as a loss takes them: tokens as rows, a last axis of one left out."""
    if shift:
        logits, labels = logits[..., :-1, :], labels[..., 1:]
    if logits.dim() == 3 and labels.shape == logits.shape[:-1]:
        return logits.flatten(0, 1), labels.flatten()
    if logits.dim() == 2 and logits.shape[1] == 1 and labels.dim() == 1:
        return logits.squeeze(1), labels
    return logits, labels


def _adds_up(part: Loss, logits: Tensor, labels: Tensor) -> bool:
    """Whether it has one value per label, so that its mean over a step is their sum, divided by the count of labels."""
    if part.scope != "unit" or part.unit == "sample" or "none" not in part.reductions:
        return False
    if part.normalizer not in ("weight", "count"):
        return False
    rows = part.unit == "row" and getattr(part, "link", None) not in BINARY
    return not (rows and labels.shape == logits.shape)  # class probabilities: C of them are one value


def _raise_unless_whole(part: Loss, labels: Tensor, num_items: Any) -> None:
    """Raise where a loss that does not add up gets a part of a step."""
    own, step = int((labels != IGNORED).sum()), int(num_items)
    if own != step:
        raise ParameterError(
            f"huggingface: {type(part).__name__} with these options is of a whole step and does not add up over "
            f"micro-batches or ranks; this call has {own} of the {step} labels of its step: set "
            "gradient_accumulation_steps=1 on one process, or take a loss with one value per label"
        )


def _probabilities(link: str, scores: Tensor) -> Tensor:
    z = at_least_float32(scores)
    if link not in BINARY:
        return z.softmax(1) if link == "softmax" else z.exp() if link == "log_prob" else z
    present, absent = (z.sigmoid(), (-z).sigmoid()) if link == "sigmoid" else (z, 1 - z)
    return torch.stack([absent, present], 1) if z.dim() == 1 else present
