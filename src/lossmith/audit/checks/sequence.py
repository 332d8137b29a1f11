"""Sequence: alignments that are certain, or impossible."""

import math

import torch

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, LossRaisedError
from lossmith.audit.check import MistakeError, check


@check(
    "sequence",
    expects="very confident frames (log-probabilities to -2000): finite value and gradient",
    why="Probabilities that are multiplied underflow; alignments are summed in log space.",
    link="pytorch/pytorch#21680",
)
def confident_frames_are_finite(case: Case) -> None:
    batch = case.batch()
    sharp = (batch.input.double() * 400).log_softmax(-1).float()
    value, grads = case.slopes(batch.put(sharp, *batch.inputs[1:]))
    if not (bool(value.isfinite().all()) and all(bool(g.isfinite().all()) for g in grads)):
        raise MistakeError("NaN or infinite")


@check(
    "sequence",
    expects="an impossible alignment costs infinity or 0, never NaN, and its gradient is not NaN",
    why="A label longer than its input happens in every speech corpus.",
    link="SeanNaren/warp-ctc#29",
    gradient=True,
)
def an_impossible_alignment_is_not_nan(case: Case) -> str:
    batch = case.batch()
    few = batch.input.narrow(1 - batch.axis, 0, 3)
    short = Batch((few, *batch.inputs[1:]), batch.target, batch.axis)
    try:
        value, grads = case.slopes(short)
    except LossRaisedError as raised:
        if raised.clear:
            return f"refused with a clear error: {raised}"
        raise
    if math.isnan(float(value.double().sum())) or any(bool(torch.isnan(g).any()) for g in grads):
        raise MistakeError("NaN")
    return ""
