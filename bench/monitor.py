"""What `LossMonitor` adds to a training step of a small convolutional network on scikit-learn's digits.

The step is that of two convolutions of 16 and 32 channels and a hidden layer of 64, with AdamW. The call of the loss,
the same under the monitor between two records ("watched"), and one that is recorded, to a JSONL sink too, take turns
with it. Of the medians, ``(watched - loss) (1 - 1 / every) + (recorded - loss) / every`` is what a step pays.
Times are of the processor, in one thread: differences of a few percent do not show on the clock of a busy machine.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import lossmith
from bench.report import Part, Table

BATCHES, ROUNDS, WARM = (64, 256), 140, 20
LOSSES = ("cross_entropy", "ghmc(momentum=0.9)", "focal(gamma=2) + poly")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def batches(size: int) -> Iterator[tuple[Tensor, Tensor]]:
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(labels)
    generator = torch.Generator().manual_seed(0)
    while True:
        for rows in torch.randperm(len(x), generator=generator).split(size)[:-1]:
            yield x[rows], y[rows]


def medians(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Microseconds of processor time of each, taking turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(WARM + ROUNDS):
        for name, run in runs.items():
            start = time.process_time()
            run()
            times[name].append(1e6 * (time.process_time() - start))
    return {name: statistics.median(values[WARM:]) for name, values in times.items()}


def measure(spec: str, size: int, folder: Path) -> list[str]:
    x, y = next(batches(size))
    model, loss = network(), lossmith.create(spec)
    watched = lossmith.LossMonitor(lossmith.create(spec), every=10**9)
    recorded = lossmith.LossMonitor(lossmith.create(spec), every=1, sinks=[folder / f"{size}.jsonl"])
    every = lossmith.LossMonitor(lossmith.create(spec)).every
    optimizer, z = torch.optim.AdamW(model.parameters()), model(x).detach().requires_grad_()

    def step() -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    runs: dict[str, Callable[[], object]] = {
        "step": step,
        "after the step": lambda: loss(z, y),  # with cold caches: it would make what comes next look fast
        "loss": lambda: loss(z, y),
        "watched": lambda: watched(z, y),
        "recorded": lambda: recorded(z, y),
    }
    us = medians(runs)
    recorded.close()
    paid = (us["watched"] - us["loss"]) * (1 - 1 / every) + (us["recorded"] - us["loss"]) / every
    shown = [f"{us[name]:.0f}" for name in ("step", "loss", "watched", "recorded")]
    return [spec, str(size), *shown, str(every), f"{100 * paid / us['step']:.1f} %"]


HEADER = ["loss", "batch", "step, us", "loss, us", "watched, us", "recorded, us", "every", "a step pays"]


def report() -> list[Part]:
    """The table, one thread."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        return [Table(HEADER, [measure(spec, size, Path(folder)) for spec in LOSSES for size in BATCHES])]
