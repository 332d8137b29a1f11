"""The network of a run with its initial weights, which depend on the seed alone."""

import itertools
from collections.abc import Callable

import torch
from torch import nn

from lossmith.compare.models.fitted import Prepared
from lossmith.compare.models.network import Offset
from lossmith.compare.settings import Training


def build(training: Training, prepared: Prepared, outputs: int, seed: int) -> nn.Module:
    """The model that a comparison has asked for, for inputs as wide (or images as large) as the prepared ones."""
    shape = prepared.inputs["train"].shape[1:]
    if training.model in ("cnn", "unet"):
        from lossmith.compare.models.networks import cnn, unet

        height, width, channels = shape
        size = min(height, width)
        make: Callable[..., nn.Module] = cnn if training.model == "cnn" else unet
        return make(channels=channels, outputs=outputs, size=size, seed=seed)
    torch.manual_seed(seed)
    layers = dense(shape[0], training.hidden, outputs)
    if prepared.centre:
        layers.append(Offset(prepared.centre))
    return nn.Sequential(*layers)


def dense(width: int, hidden: tuple[int, ...], outputs: int) -> list[nn.Module]:
    """Linear layers with ReLU between them."""
    sizes = [width, *hidden]
    inner = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
    return [*inner, nn.Linear(sizes[-1], outputs)]
