"""Runs of the user's own model on the user's own loaders: in this process, one after the other.

Loaders cannot travel to worker processes. What a worker does for itself is done here between two batches: a run over
its time ends, and a stop is heard.
"""

import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lossmith.compare.models.fitted import Fitted, Prepared
from lossmith.compare.models.network import RunFailedError, early_stopped
from lossmith.compare.problems import problem_of
from lossmith.compare.remedies.arms import Arm
from lossmith.compare.runs.engine import Record, Run, Stop, Workload
from lossmith.compare.runs.objective import Objective
from lossmith.compare.runs.train import Repeat, seeds
from lossmith.compare.runs.worker import attempt
from lossmith.compare.settings import Training
from lossmith.errors import InputError

LARGEST_SEED = 2**32
DTYPES = {"regression": np.float64, "multilabel": np.int8}  # of all others int64


@dataclass(frozen=True)
class Own:
    """What the user has brought; ``optimizer`` makes one of a model's parameters."""

    make: Callable[[], nn.Module]
    loaders: dict[str, Iterable[Any]]
    optimizer: Callable[[Any], torch.optim.Optimizer]
    device: torch.device

    def model(self, seed: int) -> nn.Module:
        """A fresh model, whose initial weights depend on the seed alone."""
        with self.seeded(seed, "train"):
            made = self.make()
            if not isinstance(made, nn.Module):
                raise InputError(f"model() must return a torch module, not {type(made).__name__}.")
            return made.to(self.device)

    def batches(self, part: str) -> Iterator[tuple[Any, Tensor]]:
        """The batches of a loader as they come, as pairs of inputs and targets."""
        for batch in self.loaders[part]:
            if not isinstance(batch, tuple | list) or len(batch) != 2 or not isinstance(batch[1], Tensor):
                many = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
                found = f"{type(batch).__name__}{many}"
                raise InputError(f"the {part} loader must give pairs (inputs, tensor of targets), not {found}.")
            yield batch[0], batch[1]

    def outputs(self, model: nn.Module, inputs: Any) -> Tensor:
        """The outputs for a batch: ``model(x)``, ``model(*x)`` of a tuple, ``model(**x)`` of a dict."""
        if isinstance(inputs, Tensor):
            found = model(inputs.to(self.device))
        elif isinstance(inputs, Mapping):
            found = model(**{name: value.to(self.device) for name, value in inputs.items()})
        else:
            found = model(*(value.to(self.device) for value in inputs))
        logits: Tensor = getattr(found, "logits", found)
        return logits

    @contextmanager
    def seeded(self, seed: int, part: str) -> Iterator[Callable[[int], None]]:
        """All random numbers from this seed on, those of a loader's own generator too; afterwards as they were before.

        Gives a function that seeds anew.
        """
        holders = (self.loaders[part], getattr(self.loaders[part], "sampler", None))
        own = [held for held in (getattr(holder, "generator", None) for holder in holders) if held is not None]

        def sow(seed: int) -> None:
            seed %= LARGEST_SEED
            torch.default_generator.manual_seed(seed)  # torch.manual_seed takes 5 ms where there is no GPU
            if self.device.type == "cuda":
                torch.cuda.manual_seed_all(seed)
            random.seed(seed)
            np.random.seed(seed)
            for generator in own:
                generator.manual_seed(seed)

        states = random.getstate(), np.random.get_state(), [generator.get_state() for generator in own]
        try:
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                sow(seed)
                yield sow
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            for generator, state in zip(own, states[2], strict=True):
                generator.set_state(state)


class Halt(BaseException):
    """A run has to end in the middle; no handler of the user's errors may take it for one."""


class OutOfTime(Halt):
    """The run is over its time."""


@dataclass
class Watch:
    """Looks between two batches whether a run may go on."""

    stop: Stop
    deadline: float = float("inf")

    def look(self) -> None:
        """Raise where it may not."""
        if self.stop.reason:
            raise Halt
        if time.monotonic() >= self.deadline:
            raise OutOfTime


class LoaderRepeat(Repeat):
    """One repeat: the rows are always the same, the initial weights and the order are its own."""

    def __init__(self, own: Own, prepared: Prepared, training: Training, watch: Watch) -> None:
        self.own, self.prepared, self.training, self.watch = own, prepared, training, watch
        self.problem = problem_of(training)
        self.last: tuple[str, list[Fitted]] = ("", [])

    def work(self, task: dict[str, Any]) -> Record:
        """As a worker's."""
        return self.run(task["arm"])

    def fit(self, arm: Arm, attempt: int) -> Fitted:
        """One try; its weights are not kept."""
        clock = time.perf_counter()
        weights, order = seeds(self.training.seed, self.prepared.repeat, attempt)
        model = self.own.model(weights)
        objective = Objective(self.problem, self.prepared, arm, attempt)
        for loss in objective.losses:
            if isinstance(loss, nn.Module):
                loss.to(self.own.device)
        validate = partial(self.validated, model, objective.name)
        with self.own.seeded(order, "train") as sow:
            losses = self.trained(model, objective, order, sow)
            best, epoch, curve, _ = early_stopped(model, losses, validate, self.training.patience)
        outputs = {part: self.predicted(model, part) for part in ("validation", "test")}
        return Fitted(best, epoch, curve, outputs, time.perf_counter() - clock, None)

    def trained(
        self, model: nn.Module, objective: Objective, order: int, sow: Callable[[int], None]
    ) -> Iterator[float]:
        """Train an epoch for each mean loss that is asked for; every epoch has a seed, whatever the one before drew."""
        optimizer = self.own.optimizer(model.parameters())
        for epoch in range(self.training.epochs):
            sow(order + epoch)
            model.train()
            losses = [self.step(model, objective, optimizer, *batch) for batch in self.own.batches("train")]
            mean = float(torch.stack(losses).mean())
            if not np.isfinite(mean):
                raise RunFailedError(f"{objective.name}: the training loss is not finite in epoch {epoch + 1}.")
            yield mean

    def step(
        self, model: nn.Module, objective: Objective, optimizer: torch.optim.Optimizer, inputs: Any, given: Tensor
    ) -> Tensor:
        """Train on one batch; its loss."""
        self.watch.look()
        targets = plain(self.training.problem, given)
        outputs = self.scaled(model, inputs, len(targets))
        weight = objective.class_weights(targets)
        target = self.problem.target(targets, self.prepared.scale).to(outputs.device)
        loss = objective.of(outputs, target, None if weight is None else weight.to(outputs.device))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        return loss.detach()

    def scaled(self, model: nn.Module, inputs: Any, rows: int) -> Tensor:
        """Logits as they are, numbers as a column of multiples of the scale."""
        outputs = self.own.outputs(model, inputs)
        return outputs.reshape(rows, 1) / self.prepared.scale if self.training.problem == "regression" else outputs

    def validated(self, model: nn.Module, name: str, epoch: int) -> float:
        """The common score on validation rows."""
        outputs = self.predicted(model, "validation")
        if not bool(torch.isfinite(outputs).all()):
            raise RunFailedError(f"{name}: the model's predictions are not finite in epoch {epoch}.")
        return self.scoring(self.prepared).score(outputs, "validation")

    def predicted(self, model: nn.Module, part: str) -> Tensor:
        """The outputs for all rows of a part, which are the same rows in the same order each time."""
        model.eval()
        outputs, targets = [], []
        with torch.no_grad(), self.own.seeded(self.training.seed, part):
            for inputs, given in self.own.batches(part):
                self.watch.look()
                targets.append(plain(self.training.problem, given))
                outputs.append(self.scaled(model, inputs, len(given)).float().cpu())
        if not np.array_equal(np.concatenate(targets), self.prepared.targets[part]):
            raise RunFailedError(f"the {part} loader gives other targets each time; take shuffle=False.")
        return torch.cat(outputs)


def plain(problem: str, targets: Tensor) -> NDArray[Any]:
    """The targets of a batch as a comparison keeps them."""
    rows = targets.reshape(len(targets)) if problem == "regression" else targets
    with np.errstate(invalid="ignore"):  # a NaN among classes is told of by who reads it
        return rows.detach().cpu().numpy().astype(DTYPES.get(problem, np.int64))


def execute_here(
    own: Own,
    prepared: Prepared,
    training: Training,
    runs: Iterable[Run],
    workload: Workload,
    jobs: int,
    timeout: float,
    stop: Stop,
) -> Generator[tuple[Run, Record]]:
    """As `lossmith.compare.runs.engine.execute`, in this process; the workload is the loaders', and jobs are one."""
    repeat: LoaderRepeat | None = None
    for run in runs:
        if stop.reason:
            return
        if repeat is None or repeat.prepared.repeat != run.repeat:
            repeat = LoaderRepeat(own, replace(prepared, repeat=run.repeat), training, Watch(stop))
        started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
        repeat.watch.deadline = clock + timeout
        try:
            record = attempt(repeat.work, {"arm": run.arm})
        except OutOfTime:
            record = {"status": "timeout", "reason": f"stopped after {timeout:g} s"}
        except Halt:
            return
        if record["status"] != "ok":
            when = {"train_seconds": 0.0, "total_seconds": time.monotonic() - clock, "started": started}
            record = {"arm": run.arm.name, "repeat": run.repeat, **record, "time": when}
        yield run, record
