"""What a batch is trained on: an arm's losses with its class weights, sample weights and logit adjustment."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossmith import spec
from lossmith.compare.models.fitted import Prepared
from lossmith.compare.remedies.arms import Arm

if TYPE_CHECKING:
    from lossmith.compare.problems.problem import Problem


class Objective:
    """The objective of one try of an arm on training rows.

    ``losses`` has one loss for each block of ``width`` outputs: one of all outputs, or of a regression with an interval
    one for each column. ``target`` is what they compare with, ``weight`` the weight of every class (of labels, of their
    absence and presence) or None, ``row_weight`` that of every training row, label or pixel with the sample weights in
    it, ``shift`` what is added to the logits in training.
    """

    def __init__(self, problem: "Problem", prepared: Prepared, arm: Arm, attempt: int) -> None:
        texts = (arm.spec(attempt, prepared.counts.tolist()), *arm.also)
        self.losses: list[Any] = [spec.create(text) for text in texts]
        self.loss = self.losses[0]
        self.width = problem.outputs
        self.outputs = problem.outputs * len(texts)
        self.name = texts[0]
        targets = prepared.targets["train"]
        self.target = problem.target(targets, prepared.scale)
        self.weight = problem.weight(prepared, arm, attempt)
        self.row_weight = self.weights(prepared)
        prior = torch.from_numpy(prepared.counts / max(prepared.counts.sum(), 1)).float()
        self.shift = arm.grid[attempt]["tau"] * prior.log() if arm.adjust else None

    def class_weights(self, targets: NDArray[Any]) -> Tensor | None:
        """The weight of the class of every row, label or pixel."""
        if self.weight is None:
            return None
        index = torch.from_numpy(np.ascontiguousarray(targets)).long()
        return self.weight[index] if self.weight.dim() == 1 else self.weight.T.gather(0, index)  # of labels: two each

    def weights(self, prepared: Prepared) -> Tensor | None:
        """Class weights times sample weights, as the target is shaped."""
        found = self.class_weights(prepared.targets["train"])
        if prepared.weights is None:
            return found
        rows = torch.from_numpy(prepared.weights["train"]).float()
        rows = rows.reshape(-1, *(1 for _ in self.target.shape[1:])).expand(self.target.shape)
        return rows if found is None else found * rows

    def __call__(self, outputs: Tensor, rows: Tensor) -> Tensor:
        """The loss of the outputs of a batch of training rows, which are given by their numbers."""
        weight = None if self.row_weight is None else self.row_weight.index_select(0, rows)
        return self.of(outputs, self.target.index_select(0, rows), weight)

    def of(self, outputs: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        """The loss of outputs against targets."""
        if self.shift is not None:
            outputs = outputs + self.shift.to(outputs.device)
        if len(self.losses) == 1:
            value: Tensor = self.loss(outputs, target, sample_weight=weight)
            return value
        blocks = torch.split(outputs, self.width, dim=1)
        values = [loss(block, target, sample_weight=weight) for loss, block in zip(self.losses, blocks, strict=True)]
        return torch.stack(values).sum()
