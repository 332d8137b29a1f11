"""Where records go: each sink is a `write` and a `close`, and opens what it needs with the first record."""

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lossmith.errors import ParameterError
from lossmith.extras import extra
from lossmith.files import home_expanded


@runtime_checkable
class Sink(Protocol):
    """What takes records: any object with these two methods, or a plain function of (step, numbers)."""

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """Take the numbers of a step."""

    def close(self) -> None:
        """No more will come."""


class Opened:
    """A sink that opens something with its first record; pickles and copies leave that behind and open their own."""

    _open: Any = None

    def opened(self) -> Any:
        """What the sink writes to."""
        if self._open is None:
            self._open = self.start()
        return self._open

    def start(self) -> Any:
        """Open it."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_open"}


class JSONL(Opened):
    """A file with one JSON object a line, ``{"step": 0, "loss": 0.69, ...}``; null stands for what is not finite.

    Lines are added to what is there. Each is in the file before training goes on, so a killed run loses at most the
    line that was being written; if it left half of one, the next run cuts that off. Folders are made as needed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = home_expanded(path)

    def start(self) -> Any:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+b", buffering=0)
        _cut_half_line(file)
        return file

    def write(self, step: int, numbers: dict[str, float]) -> None:
        legal = {name: x if math.isfinite(x) else None for name, x in numbers.items()}
        self.opened().write(json.dumps({"step": step, **legal}).encode() + b"\n")

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


def _cut_half_line(file: Any, block: int = 1 << 16) -> None:
    """Cut off what stands behind the last line break."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - block)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            file.truncate(start + found + 1)
            return
        end = start
    file.truncate(0)


class TensorBoard(Opened):
    """TensorBoard scalars, ``tensorboard --logdir runs``; needs ``lossmith[tracking]``.

    `log_dir` is a new folder for each run; further options are those of ``torch.utils.tensorboard.SummaryWriter``. A
    `SummaryWriter` that is there already, such as Lightning's ``logger.experiment``, is taken instead of a folder,
    and then not closed.
    """

    def __init__(self, log_dir: Any = None, prefix: str = "lossmith/", **options: Any) -> None:
        self.log_dir, self.prefix, self.options = log_dir, prefix, options

    def start(self) -> Any:
        if hasattr(self.log_dir, "add_scalar"):
            return self.log_dir
        extra("tensorboard", "tracking")
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(self.log_dir, **self.options)

    def write(self, step: int, numbers: dict[str, float]) -> None:
        for name, x in numbers.items():
            self.opened().add_scalar(self.prefix + name.replace(" ", "_"), x, step)

    def close(self) -> None:
        if self._open is not None and self._open is not self.log_dir:
            self._open.close()
        self._open = None


class MLflow(Opened):
    """Metrics of an MLflow run; needs ``lossmith[tracking]``.

    The run is that of `run_id`, else the active one, else a new one, which `close` ends. Letters that MLflow does not
    allow in the name of a metric become underscores.
    """

    def __init__(self, run_id: str | None = None, prefix: str = "lossmith/") -> None:
        self.run_id, self.prefix, self._own = run_id, prefix, False

    def start(self) -> Any:
        mlflow = extra("mlflow", "tracking")
        if self.run_id is None:
            active = mlflow.active_run()
            self._own = active is None
            self.run_id = (active or mlflow.start_run()).info.run_id
        return mlflow

    def write(self, step: int, numbers: dict[str, float]) -> None:
        legal = {self.prefix + re.sub(r"[^\w\-. :/]", "_", name): x for name, x in numbers.items()}
        self.opened().log_metrics(legal, step=step, run_id=self.run_id)

    def close(self) -> None:
        if self._open is not None and self._own:
            self._open.end_run()
            self.run_id = None
        self._open = None


class WandB(Opened):
    """Weights & Biases; needs ``lossmith[tracking]``. With ``WANDB_MODE=offline`` nothing leaves the machine.

    The run is the one that is active, else a new one, ``wandb.init(**options)``, which `close` finishes. The steps are
    a metric of their own, ``lossmith/step``, so that they do not get in the way of what a trainer logs.
    """

    def __init__(self, prefix: str = "lossmith/", **options: Any) -> None:
        self.prefix, self.options, self._own = prefix, options, False

    def start(self) -> Any:
        wandb = extra("wandb", "tracking")
        self._own = wandb.run is None
        run = wandb.run or wandb.init(**self.options)
        run.define_metric(f"{self.prefix}step")
        run.define_metric(f"{self.prefix}*", step_metric=f"{self.prefix}step")
        return run

    def write(self, step: int, numbers: dict[str, float]) -> None:
        self.opened().log({f"{self.prefix}{name}": x for name, x in {"step": step, **numbers}.items()})

    def close(self) -> None:
        if self._open is not None and self._own:
            self._open.finish()
        self._open = None


class Call:
    """A plain function of (step, numbers) as a sink."""

    def __init__(self, function: Callable[[int, dict[str, float]], object]) -> None:
        self.function = function

    def write(self, step: int, numbers: dict[str, float]) -> None:
        self.function(step, numbers)

    def close(self) -> None:
        pass


def as_sink(given: Any) -> Sink:
    """A sink, the path of a .jsonl file, or a function, as a sink."""
    if isinstance(given, str | Path) and str(given).endswith(".jsonl"):
        return JSONL(given)
    if isinstance(given, Sink) and not isinstance(given, type):
        return given
    if callable(given) and not isinstance(given, type):
        return Call(given)
    raise ParameterError(
        "LossMonitor: a sink must have write(step, numbers) and close(), or be a function of (step, numbers), or the "
        f"path of a .jsonl file, not {given!r}"
    )
