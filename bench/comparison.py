"""Losses of sets of embeddings, forward and backward, against pytorch-metric-learning's.

N embeddings of 128 numbers in float32; four of each label for triplets, two views of each thing for NT-Xent. Distances
are of embeddings as they come, here and there. pytorch-metric-learning's semi-hard triplets are all those whose
negative is less than the margin farther than the positive, ours the nearest of these (one for each pair), as in FaceNet
and TensorFlow; the other two compute the same number, which is checked. Its NT-Xent compares every positive pair with
the negatives of all anchors and then masks, N^3 numbers: more than 16 GB at N = 1024, so N ends at 512 here.
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import lossmith
from bench import peers
from bench.measure import medians, peak
from bench.report import Part, Table

PEER = "pytorch_metric_learning"
SIZES = (256, 512)
WIDTH = 128
HEADER = ["loss", "N", "theirs, ms", "ours, ms", "ours / theirs", "theirs, MB", "ours, MB", "memory, ours / theirs"]
Comparison = Callable[[Tensor, Tensor], Tensor]


def theirs() -> dict[str, Comparison]:
    """The same losses of pytorch-metric-learning; none if it is not installed."""
    if not peers.prepare(PEER):
        return {}
    part: Any = {
        name: importlib.import_module(f"{PEER}.{name}") for name in ("distances", "losses", "miners", "reducers")
    }
    plain = {"distance": part["distances"].LpDistance(normalize_embeddings=False)}
    triplet = part["losses"].TripletMarginLoss(margin=0.3, reducer=part["reducers"].MeanReducer(), **plain)
    hard = part["miners"].BatchHardMiner(**plain)
    semihard = part["miners"].TripletMarginMiner(margin=0.3, type_of_triplets="semihard", **plain)
    return {
        "triplet, batch hard": lambda x, y: triplet(x, y, hard(x, y)),
        "triplet, semi-hard": lambda x, y: triplet(x, y, semihard(x, y)),
        "NT-Xent": part["losses"].NTXentLoss(temperature=0.1),
    }


OURS: dict[str, Comparison] = {
    "triplet, batch hard": lossmith.MinedTripletLoss(),
    "triplet, semi-hard": lossmith.MinedTripletLoss(mining="semihard"),
    "NT-Xent": lossmith.InfoNCELoss(),
}


def step(loss: Comparison, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        leaf = x.clone().requires_grad_()
        value = loss(leaf, y)
        torch.autograd.grad(value, leaf)
        return value

    return run


def measure(name: str, count: int, peer: Comparison | None) -> list[str]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, WIDTH, generator=generator) / WIDTH**0.5
    y = torch.arange(count) % (count // (2 if name == "NT-Xent" else 4))
    candidates = {"ours": step(OURS[name], x, y)}
    if peer is not None:
        candidates["theirs"] = step(peer, x, y)
        if name != "triplet, semi-hard":
            torch.testing.assert_close(candidates["ours"](), candidates["theirs"](), rtol=1e-4, atol=1e-5)
    seconds = medians(candidates, rounds=3, warm=1)  # theirs takes seconds
    memory = {key: peak(run) for key, run in candidates.items()}
    milli, mega = 1000 * seconds["ours"], memory["ours"] / 1e6
    if peer is None:
        return [name, str(count), "not installed", f"{milli:.1f}", "", "", f"{mega:.0f}", ""]
    return [
        name,
        str(count),
        f"{1000 * seconds['theirs']:.1f}",
        f"{milli:.1f}",
        f"{seconds['ours'] / seconds['theirs']:.2f}",
        f"{memory['theirs'] / 1e6:.0f}",
        f"{mega:.0f}",
        f"{memory['ours'] / memory['theirs']:.2f}",
    ]


def report() -> list[Part]:
    """The table of time and peak memory."""
    peer = theirs()
    rows = [measure(name, count, peer.get(name)) for name in OURS for count in SIZES]
    version = peers.version(PEER)
    return [Table(HEADER, rows), *([f"pytorch-metric-learning {version}."] if version else [])]
