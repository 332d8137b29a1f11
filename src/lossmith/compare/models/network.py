"""Training a network by gradients, with early stopping on a measure that is the same for every arm."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from lossmith.compare.models.fitted import Fitted, Prepared
from lossmith.compare.settings import Training
from lossmith.errors import LossmithError

Epochs = Iterator[tuple[Tensor, ...]]
MOST_PREDICTED = 4096  # rows of one forward pass without gradients
IMAGE_ROWS = 256  # of images


class RunFailedError(LossmithError):
    """A run that cannot give a result, with the reason as a sentence."""


class Objective(Protocol):
    """The loss of the outputs of some training rows."""

    name: str

    def __call__(self, outputs: Tensor, rows: Tensor) -> Tensor: ...


class Scoring(Protocol):
    """The common early-stopping score of the outputs of a part; larger is better."""

    def score(self, outputs: Tensor, part: str) -> float: ...


class AdamW:
    """The steps of `torch.optim.AdamW(fused=True)`, bit by bit, with torch's defaults.

    That one loads torch's compiler when it is made, for seconds in every worker, and looks at its own options for
    longer than it computes.
    """

    def __init__(self, parameters: Iterable[Tensor], rate: float, decay: float) -> None:
        self.parameters, self.rate, self.decay = list(parameters), rate, decay
        self.means, self.squares = ([torch.zeros_like(x) for x in self.parameters] for _ in range(2))
        self.steps = [torch.zeros(()) for _ in self.parameters]

    def forget(self) -> None:
        """Leave no gradient."""
        for x in self.parameters:
            x.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters by their gradients."""
        gradients = [x.grad for x in self.parameters if x.grad is not None]
        adamw(
            self.parameters,
            gradients,
            self.means,
            self.squares,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.rate,
            weight_decay=self.decay,
            eps=1e-8,
            maximize=False,
        )


def fit(
    prepared: Prepared,
    training: Training,
    scoring: Scoring,
    objective: Objective,
    model: nn.Module,
    epochs: Epochs,
) -> Fitted:
    """Train until the score has not improved for ``training.patience`` epochs, and keep the best epoch."""
    clock = time.perf_counter()
    optimizer = AdamW(model.parameters(), training.learning_rate, training.weight_decay)
    losses = (
        train_epoch(prepared, objective, model, optimizer, batches, epoch)
        for epoch, batches in enumerate(epochs, start=1)
    )

    def validate(epoch: int) -> float:
        return validation_score(prepared, scoring, model, f"{objective.name}: ", epoch)

    best, best_epoch, curve, state = early_stopped(model, losses, validate, training.patience)
    outputs = {part: predict(model, rows) for part, rows in prepared.inputs.items()}
    return Fitted(best, best_epoch, curve, outputs, time.perf_counter() - clock, state)


def early_stopped(
    model: nn.Module, losses: Iterator[float], validate: Callable[[int], float], patience: int
) -> tuple[float, int, dict[str, list[float]], dict[str, Tensor]]:
    """The best score, its epoch, the curves and the parameters, which the model has then.

    Taking one of ``losses`` trains the model for an epoch.
    """
    best, best_epoch, state = -float("inf"), 0, kept(model)
    curve: dict[str, list[float]] = {"loss": [], "validation": []}
    for epoch, loss in enumerate(losses, start=1):
        curve["loss"].append(loss)
        value = validate(epoch)
        curve["validation"].append(value)
        if value > best:
            best, best_epoch, state = value, epoch, kept(model)
        if epoch - best_epoch >= patience:
            break
    model.load_state_dict(state)
    return best, best_epoch, curve, state


def train_epoch(
    prepared: Prepared,
    objective: Objective,
    model: nn.Module,
    optimizer: AdamW,
    batches: tuple[Tensor, ...],
    epoch: int,
) -> float:
    """One pass over the batches; the mean of their losses."""
    inputs = prepared.inputs["train"]
    model.train()
    losses = []
    for rows in batches:
        loss = objective(model(inputs.index_select(0, rows)), rows)
        optimizer.forget()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.detach())
    mean = float(torch.stack(losses).mean())
    if not math.isfinite(mean):
        raise RunFailedError(f"{objective.name}: the training loss is not finite in epoch {epoch}.")
    return mean


def validation_score(prepared: Prepared, scoring: Scoring, model: nn.Module, name: str, epoch: int) -> float:
    """The score of the model as it is."""
    outputs = predict(model, prepared.inputs["validation"])
    if not bool(torch.isfinite(outputs).all()):
        raise RunFailedError(f"{name}the model's predictions are not finite in epoch {epoch}.")
    return scoring.score(outputs, "validation")


def predict(model: nn.Module, inputs: Tensor) -> Tensor:
    """The outputs of a model for all rows, in blocks."""
    model.eval()
    with torch.no_grad():
        blocks = torch.split(inputs, IMAGE_ROWS if inputs.dim() > 2 else MOST_PREDICTED)
        return torch.cat([model(block) for block in blocks])


def kept(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the parameters."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def shuffled(rows: int, training: Training, seed: int) -> Epochs:
    """For every epoch the batches of row numbers, in an order that depends on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(training.epochs):
        yield torch.split(torch.randperm(rows, generator=generator), training.batch_size(rows))


class Offset(nn.Module):
    """Adds a constant: where the outputs of a regression start."""

    value: Tensor

    def __init__(self, value: float) -> None:
        super().__init__()
        self.register_buffer("value", torch.tensor(value))

    def forward(self, outputs: Tensor) -> Tensor:
        """Outputs moved by the constant."""
        return outputs + self.value
