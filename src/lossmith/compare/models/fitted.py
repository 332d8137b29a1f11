"""What every model gets, and what it gives back."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Prepared:
    """The rows of one repeat as a model sees them; the same for every arm.

    ``inputs`` are float32 [N, width], or uint8 [N, height, width, channels] of images. ``targets`` are classes [N]
    (of a segmentation [N, height, width]), numbers [N], or labels [N, labels] of 0 and 1. A model of numbers puts out
    multiples of ``scale``; ``centre`` is where it starts, in the same unit.
    """

    repeat: int
    inputs: dict[str, Tensor]
    targets: dict[str, NDArray[Any]]
    counts: NDArray[np.int64]
    weights: dict[str, Floats] | None = None
    kinds: tuple[str, ...] = ()
    scale: float = 1.0
    centre: float = 0.0

    def only_test(self, rows: NDArray[np.int64]) -> "Prepared":
        """The same with these of the test rows alone."""
        weights = None if self.weights is None else {**self.weights, "test": self.weights["test"][rows]}
        return replace(
            self,
            inputs={**self.inputs, "test": self.inputs["test"][rows]},
            targets={**self.targets, "test": self.targets["test"][rows]},
            weights=weights,
        )


@dataclass(frozen=True)
class Fitted:
    """One try: the outputs of its best epoch (of trees: its best round), and how it came there.

    ``outputs`` are [N, outputs] of validation and test (of a segmentation [N, outputs, height, width]): logits, or
    numbers in multiples of `Prepared.scale`. ``state`` is what predicts again: a state_dict, or a booster's own text.
    """

    validation: float
    epochs: int
    curve: dict[str, list[float]]
    outputs: dict[str, Tensor]
    seconds: float
    state: Any
