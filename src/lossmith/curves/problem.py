"""One model, the rows, and one loss: what the routes to a minimum share."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossmith.curves.model import Model
from lossmith.curves.objective import Objective
from lossmith.errors import InputError

Floats = NDArray[np.float64]
DETERMINED = 1e-8  # singular values below this share of the greatest count as 0
ROUND = 1e-3  # and in a model that bends, steps are not longer than of such a share: elsewhere its slopes are others


class UnfittedError(InputError):
    """There is no minimum to be found: the model or the loss has no value where it would have to be."""


class Solution(NamedTuple):
    """Parameters as the model has them inside, whether they are a minimum, and how they were found, in words."""

    theta: Floats
    converged: bool
    said: str


@dataclass(frozen=True)
class Problem:
    """Rows of x, [n, columns]; `affine` is ``(A, b)`` where the output is ``A theta + b``."""

    model: Model
    x: Tensor
    objective: Objective
    given: Floats | None = None  # starting values of one's own
    affine: tuple[Tensor, Tensor] | None = None
    shared: dict[bool, list[Floats]] = field(default_factory=dict)  # refined guesses, for all losses of one link

    def output(self, theta: Tensor) -> Tensor:
        """The outputs of all rows."""
        if self.affine is None:
            return self.model.output(self.x, theta)
        return self.affine[0] @ theta + self.affine[1]

    def at(self, theta: Floats) -> Tensor:
        """The outputs, without a graph."""
        with torch.no_grad():
            return self.output(torch.from_numpy(theta))

    def value(self, theta: Floats) -> float:
        """What is minimised; infinite where the model or the loss is not defined."""
        output = self.at(theta)
        with torch.no_grad():
            found = float(self.objective.total(output)) if self.objective.legal(output) else np.inf
        return found if np.isfinite(found) else np.inf

    def jacobian(self, theta: Floats) -> Floats:
        """The slopes of the outputs in the parameters, [n, p], exact."""
        if self.affine is not None:
            return self.affine[0].numpy()
        found: Floats = self.model.slopes(self.x, torch.from_numpy(theta)).detach().numpy()
        return np.nan_to_num(found, posinf=0.0, neginf=0.0)

    def bend(self, theta: Floats, pull: Tensor) -> Floats | float:
        """The second derivatives of ``sum pull * output``, [p, p]; 0 where the output is linear."""
        if self.affine is not None:
            return 0.0
        found: Floats = self.model.bend(self.x, torch.from_numpy(theta), pull).detach().numpy()
        return found

    @cached_property
    def root_weight(self) -> Floats:
        """The square roots of the weights, of mean square 1."""
        weight = self.objective.weight
        return np.ones(len(self.x)) if weight is None else (weight / weight.mean()).sqrt().numpy()

    def steps(self, theta: Floats) -> Floats:
        """A matrix P: a step P u with |u| = 1 moves the outputs by about one standard deviation of y.

        Least squares is round in u, but for combinations of parameters that the data hardly determine.
        """
        slopes = self.jacobian(theta) * self.root_weight[:, None]
        lengths = np.sqrt((slopes**2).mean(0))
        lengths = np.where(lengths > 0, lengths, 1.0)
        _, sizes, axes = np.linalg.svd(slopes / lengths / np.sqrt(len(slopes)), full_matrices=False)
        least = DETERMINED if self.affine is not None else ROUND
        found: Floats = self.objective.scale / lengths[:, None] * axes.T / np.maximum(sizes, least * sizes[0])
        return found

    def rank(self, theta: Floats) -> int:
        """How many combinations of the parameters the data determine."""
        slopes = self.jacobian(theta) * self.root_weight[:, None]
        lengths = np.linalg.norm(slopes, axis=0)
        sizes = np.linalg.svd(slopes / np.where(lengths > 0, lengths, 1.0), compute_uv=False)
        return int((sizes > DETERMINED * sizes[0]).sum()) if sizes[0] > 0 else 0
