"""Dice and Tversky of pictures and volumes, forward and backward, against MONAI and segmentation-models-pytorch.

Float32 logits of 4 classes and class indices, eager; time and peak memory are of one forward and backward pass, paired
in one run. MONAI computes one overlap per sample, segmentation-models one for the batch, and so do we against each.
The difference in value is there to show that the same thing is computed.
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import lossmith
from bench import peers
from bench.measure import medians, peak, table

SHAPES = [(4, 4, 256, 256), (2, 4, 96, 96, 96)]
Formula = Callable[[Tensor, Tensor], Tensor]


def monai() -> dict[str, Formula]:
    """Our counterparts by specification; MONAI wants an axis of classes in the target."""
    from monai.losses import DiceLoss, TverskyLoss

    dice = DiceLoss(softmax=True, to_onehot_y=True, smooth_nr=2, smooth_dr=2)
    tversky = TverskyLoss(softmax=True, to_onehot_y=True, smooth_nr=1, smooth_dr=1, alpha=0.3, beta=0.7)
    return {"dice": lambda z, y: dice(z, y[:, None]), "tversky": lambda z, y: tversky(z, y[:, None])}


def segmentation_models() -> dict[str, Formula]:
    """Its Dice is a Tversky index, as ours is, so one smooth serves all three."""
    name = "segmentation_models_pytorch"
    if not peers.prepare(name):
        raise ImportError(name)
    losses: Any = importlib.import_module(f"{name}.losses")
    return {
        "dice(per=batch)": losses.DiceLoss("multiclass", smooth=1.0),
        "jaccard(per=batch)": losses.JaccardLoss("multiclass", smooth=1.0),
        "tversky(per=batch)": losses.TverskyLoss("multiclass", smooth=1.0, alpha=0.3, beta=0.7),
    }


PEERS = {"MONAI": monai, "segmentation-models": segmentation_models}


def measure(peer: str, text: str, theirs: Formula, shape: tuple[int, ...]) -> list[str]:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(*shape, generator=generator, requires_grad=True)
    y = torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=generator)
    ours = lossmith.create(text)
    candidates = {
        name: lambda loss=loss: torch.autograd.grad(loss(z, y), z)
        for name, loss in (("ours", ours), ("theirs", theirs))
    }
    seconds = medians(candidates, rounds=11)
    memory = {name: peak(run) / 2**20 for name, run in candidates.items()}
    with torch.no_grad():
        difference = abs(float(ours(z, y)) - float(theirs(z, y)))
    return [
        peer,
        text,
        "x".join(map(str, shape)),
        f"{1000 * seconds['theirs']:.1f}",
        f"{1000 * seconds['ours']:.1f}",
        f"{seconds['ours'] / seconds['theirs']:.2f}",
        f"{memory['theirs']:.0f}",
        f"{memory['ours']:.0f}",
        f"{memory['ours'] / memory['theirs']:.2f}",
        f"{difference:.0e}",
    ]


HEADER = [
    "peer",
    "loss",
    "shape",
    "theirs, ms",
    "ours, ms",
    "time, ours / theirs",
    "theirs, MiB",
    "ours, MiB",
    "memory, ours / theirs",
    "difference of the values",
]


def report() -> str:
    """The table; a peer that cannot be imported says so."""
    rows = []
    for peer, build in PEERS.items():
        try:
            formulas = build()
        except ImportError:
            rows.append([peer, "not installed", *[""] * (len(HEADER) - 2)])
            continue
        rows += [measure(peer, text, theirs, shape) for text, theirs in formulas.items() for shape in SHAPES]
    return table(HEADER, rows)
