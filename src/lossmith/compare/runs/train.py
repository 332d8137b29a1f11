"""One run: one arm on one repeat, from the split to the record. Nothing is ever fitted on test rows."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import lossmith
from lossmith import metrics, spec
from lossmith.compare.data import features
from lossmith.compare.data.splits import split
from lossmith.compare.remedies import rules
from lossmith.compare.remedies.arms import TRIES, Arm
from lossmith.compare.settings import Training
from lossmith.errors import LossmithError

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


class RunFailedError(LossmithError):
    """A run that cannot give a result, with the reason as a sentence."""


@dataclass(frozen=True)
class Prepared:
    """The rows of one repeat as the model sees them; the same for every arm."""

    repeat: int
    inputs: dict[str, Tensor]
    labels: dict[str, Labels]
    counts: NDArray[np.int64]
    positive: int | None


@dataclass(frozen=True)
class Fitted:
    """One try: the logits of its best epoch for validation and test, and how it came there."""

    validation: float
    epochs: int
    curve: dict[str, list[float]]
    logits: dict[str, Tensor]


def prepare(matrix: Floats, labels: Labels, training: Training, repeat: int) -> Prepared:
    """Split, and encode with what the training rows alone have taught."""
    rows = split(labels, training.seed, repeat)._asdict()
    encoder = features.encoder(training.kinds).fit(matrix[rows["train"]])
    encoded = {part: encoder.transform(matrix[chosen]) for part, chosen in rows.items()}
    return Prepared(
        repeat=repeat,
        inputs={part: torch.from_numpy(np.ascontiguousarray(rows, np.float32)) for part, rows in encoded.items()},
        labels={part: labels[chosen] for part, chosen in rows.items()},
        counts=np.bincount(labels[rows["train"]], minlength=training.classes),
        positive=training.positive,
    )


def run(prepared: Prepared, training: Training, arm: Arm) -> dict[str, Any]:
    """Train every try of an arm, keep the best on validation, and measure that one on test."""
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    fitted = [fit(prepared, training, arm, attempt) for attempt in range(TRIES)]
    trained = time.perf_counter() - clock
    chosen = int(np.argmax([one.validation for one in fitted]))
    best = fitted[chosen]
    return {
        "arm": arm.name,
        "repeat": prepared.repeat,
        "status": "ok",
        "reason": None,
        "tries": [
            {
                "params": dict(arm.grid[attempt]),
                "spec": arm.spec(attempt, prepared.counts.tolist()),
                "validation": one.validation,
            }
            for attempt, one in enumerate(fitted)
        ],
        "chosen": chosen,
        "epochs": best.epochs,
        "curve": best.curve,
        "counts": weighted_counts(prepared, arm, chosen),
        "sizes": {part: len(labels) for part, labels in prepared.labels.items()},
        "width": prepared.inputs["train"].shape[1],
        **measure(prepared, best.logits, training.metric),
        "time": {"train_seconds": trained, "total_seconds": time.perf_counter() - clock, "started": started},
    }


def measure(prepared: Prepared, logits: dict[str, Tensor], metric: str) -> dict[str, Any]:
    """Ranking, decisions and calibration on test; the tuned rule comes from validation."""
    log_p = {part: torch.log_softmax(value.double(), dim=1).numpy() for part, value in logits.items()}
    classes, labels = len(prepared.counts), prepared.labels["test"]
    offsets = rules.tune(log_p["validation"], prepared.labels["validation"], metric)
    probability = np.exp(log_p["test"])
    decided = {"default": rules.decide(log_p["test"], np.zeros(classes)), "tuned": rules.decide(log_p["test"], offsets)}
    return {
        "ranking": metrics.ranking(probability, labels, classes, positive=prepared.positive),
        "decision": {name: metrics.decision(chosen, labels, classes) for name, chosen in decided.items()},
        "rule": {"kind": "offsets", "values": offsets.tolist()},
        "calibration": metrics.calibration(probability, labels, classes),
    }


def fit(prepared: Prepared, training: Training, arm: Arm, attempt: int) -> Fitted:
    """Train one try with early stopping on validation average precision, the same for every arm."""
    weights_seed, order_seed = seeds(training.seed, prepared.repeat, attempt)
    inputs, labels = prepared.inputs["train"], torch.from_numpy(prepared.labels["train"])
    model = build_model(training, inputs.shape[1], weights_seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
    )
    objective = Objective(prepared, arm, attempt)
    best = Fitted(-1.0, 0, {"loss": [], "validation": []}, {})
    for epoch, batches in enumerate(epochs_of_batches(len(labels), training, order_seed), start=1):
        model.train()
        losses = []
        for rows in batches:
            loss = objective(model(inputs[rows]), labels[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.detach())
        best.curve["loss"].append(finite(torch.stack(losses).mean(), arm, attempt, epoch))
        best = keep_best(best, model, prepared, epoch, arm.spec(attempt))
        if epoch - best.epochs >= training.patience:
            break
    return best


def keep_best(best: Fitted, model: nn.Module, prepared: Prepared, epoch: int, loss: str) -> Fitted:
    """Score the model on validation, and keep its logits where it is the best so far."""
    model.eval()
    with torch.no_grad():
        logits = model(prepared.inputs["validation"])
        if not bool(torch.isfinite(logits).all()):
            raise RunFailedError(f"{loss}: the model's predictions are not finite in epoch {epoch}.")
        value = validation_score(logits, prepared.labels["validation"], prepared.positive)
        best.curve["validation"].append(value)
        if value <= best.validation:
            return best
        return Fitted(value, epoch, best.curve, {"validation": logits, "test": model(prepared.inputs["test"])})


def validation_score(logits: Tensor, labels: Labels, positive: int | None) -> float:
    """Average precision of the positive class, or its mean over all classes against the rest."""
    probability = torch.softmax(logits.double(), dim=1).numpy()
    return metrics.average_precision(probability, labels, probability.shape[1], positive)


class Objective:
    """What a batch is trained on: an arm's loss with its class weights and its logit adjustment."""

    def __init__(self, prepared: Prepared, arm: Arm, attempt: int) -> None:
        self.loss = spec.create(arm.spec(attempt, prepared.counts.tolist()))
        self.weight = class_weights(prepared, arm, attempt)
        prior = torch.from_numpy(prepared.counts / prepared.counts.sum()).float()
        self.shift = arm.grid[attempt]["tau"] * prior.log() if arm.adjust else None

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of one batch."""
        if self.shift is not None:
            logits = logits + self.shift
        weight = None if self.weight is None else self.weight[labels]
        loss: Tensor = self.loss(logits, labels, sample_weight=weight)
        return loss


def class_weights(prepared: Prepared, arm: Arm, attempt: int) -> Tensor | None:
    """The weight of every class from the counts in training, or None."""
    counts = torch.from_numpy(prepared.counts)
    if arm.weighting == "balanced":
        return lossmith.class_weight("balanced", counts).float()
    if arm.weighting == "effective number":
        return lossmith.effective_number(counts, beta=arm.grid[attempt]["beta"]).float()
    return None


def weighted_counts(prepared: Prepared, arm: Arm, attempt: int) -> dict[str, list[float]]:
    """Training rows of every class as they are, and as the loss counts them."""
    weight = class_weights(prepared, arm, attempt)
    effective = prepared.counts if weight is None else weight.double().numpy() * prepared.counts
    return {"train": prepared.counts.tolist(), "effective": effective.tolist()}


def build_model(training: Training, width: int, seed: int) -> nn.Module:
    """The model with its initial weights, which depend on the seed alone."""
    torch.manual_seed(seed)
    sizes = [width, *training.hidden]
    hidden = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], training.classes))


def seeds(seed: int, repeat: int, attempt: int) -> tuple[int, int]:
    """The seeds of the initial weights and of the batch order of one try, the same for every arm."""
    weights, order = np.random.SeedSequence([seed, repeat, attempt]).generate_state(2)
    return int(weights), int(order)


def epochs_of_batches(rows: int, training: Training, seed: int) -> Iterator[tuple[Tensor, ...]]:
    """For every epoch the batches of row numbers, in an order that depends on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(training.epochs):
        yield torch.split(torch.randperm(rows, generator=generator), training.batch_size(rows))


def finite(value: Tensor, arm: Arm, attempt: int, epoch: int) -> float:
    """The number of a loss; a run whose loss is not finite has failed."""
    number = float(value)
    if not np.isfinite(number):
        raise RunFailedError(f"{arm.spec(attempt)}: the training loss is not finite in epoch {epoch}.")
    return number
