"""The interface of a problem."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from lossmith.compare.models.fitted import Prepared
    from lossmith.compare.remedies.arms import Arm
    from lossmith.compare.settings import Training

Floats = NDArray[np.float64]
Outputs = dict[str, Tensor]


class Problem(ABC):
    """A kind of problem with the settings of one comparison."""

    def __init__(self, training: "Training") -> None:
        self.training = training

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers a model puts out for a row (for a pixel) by one loss."""

    @abstractmethod
    def counts(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Rows of every class, or nothing."""

    @abstractmethod
    def target(self, targets: NDArray[Any], scale: float) -> Tensor:
        """The targets as losses want them."""

    @abstractmethod
    def made_up(self, outputs: int) -> tuple[Tensor, Tensor]:
        """Outputs and targets of a few made-up rows, to try a loss on."""

    @abstractmethod
    def score(self, outputs: Tensor, targets: NDArray[Any], weights: Floats | None, scale: float) -> float:
        """The one measure that stops training early, for every arm alike; larger is better."""

    @abstractmethod
    def measure(self, prepared: "Prepared", outputs: Outputs, arm: "Arm") -> dict[str, Any]:
        """The figures of one run on its test rows; every rule comes from validation."""

    @abstractmethod
    def arms(self) -> "Sequence[Arm]":
        """The arms that are compared where no other is asked for, the baseline first."""

    def further_arms(self) -> "Sequence[Arm]":
        """Arms with a name that are compared where they are asked for."""
        return ()

    @abstractmethod
    def wrong_kind(self, loss: Any) -> str:
        """Why a loss does not take these outputs and targets, where its family or its link tells; else nothing."""

    @abstractmethod
    def towards(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The gradient of the baseline, up to a factor: a loss has to pull at least roughly the same way."""

    @abstractmethod
    def solved(self, outputs: Tensor, targets: Tensor) -> bool:
        """Whether outputs name the targets."""

    @property
    @abstractmethod
    def fitting(self) -> dict[str, str]:
        """The options with which a loss takes these outputs, where it has them."""

    def weight(self, prepared: "Prepared", arm: "Arm", attempt: int) -> Tensor | None:
        """The weight of every class in training, or None."""
        return None
