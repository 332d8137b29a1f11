"""Every loss, forward and backward, against torch.nn or the naive formula: eager, and both compiled.

The floor is the time in which the machine reads input and target once and writes the gradient once, measured in the
same run by adding two tensors of the input's size into a third.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lossmith.losses  # noqa: F401  (fills the registry)
from bench import naive
from bench.measure import medians
from bench.report import Part, Table
from lossmith.flow.loss import Loss, registry

Formula = Callable[[Tensor, Tensor], Tensor]
ELEMENTS = 2_000_000
ROWS, CLASSES = 8192, 250


# What a user would write without lossmith: torch.nn's where there is one, the formula as printed where there is none.
PEERS: dict[str, Formula] = {
    "mse": nn.MSELoss(),
    "rmse": lambda x, t: F.mse_loss(x, t).sqrt(),
    "mae": nn.L1Loss(),
    "huber": nn.HuberLoss(),
    "smooth_l1": nn.SmoothL1Loss(),
    "log_cosh": lambda x, t: (x - t).cosh().log().mean(),
    "quantile": lambda x, t: torch.maximum(0.5 * (t - x), -0.5 * (t - x)).mean(),
    "expectile": lambda x, t: (torch.where(x < t, 0.5, 0.5) * (x - t) ** 2).mean(),
    "mape": lambda x, t: ((x - t).abs() / t.abs()).mean(),
    "smape": lambda x, t: (2 * (x - t).abs() / (x.abs() + t.abs())).mean(),
    "msle": lambda x, t: F.mse_loss(x.log1p(), t.log1p()),
    "poisson_nll": nn.PoissonNLLLoss(),
    "gaussian_nll": lambda x, t: F.gaussian_nll_loss(x[0], t, x[1]),
    "zero_one": lambda x, t: (x * t <= 0).float().mean(),
    "hinge": lambda x, t: (1 - x * t).relu().mean(),
    "squared_hinge": lambda x, t: ((1 - x * t).relu() ** 2).mean(),
    "perceptron": lambda x, t: (-x * t).relu().mean(),
    "exponential": lambda x, t: (-x * t).exp().mean(),
    "logistic": nn.SoftMarginLoss(),
    "cross_entropy": nn.CrossEntropyLoss(),
    "log": nn.CrossEntropyLoss(),
    "nll": nn.NLLLoss(),
    "bce": nn.BCELoss(),
    "bce_with_logits": nn.BCEWithLogitsLoss(),
    "balanced_cross_entropy": naive.balanced,
    "focal": naive.focal,
    "poly": naive.poly,
    "generalized_cross_entropy": naive.generalized_cross_entropy,
}


def data(loss: Loss) -> tuple[tuple[Tensor, ...], Tensor]:
    """Legal data of the loss in float32: elements, or rows of class scores."""
    generator = torch.Generator().manual_seed(0)
    one, target = loss.sample(generator, 16)
    if isinstance(one, Tensor) and one.dim() == 2:
        z = torch.randn(ROWS, CLASSES, generator=generator)
        return (z.log_softmax(1) if loss.name == "nll" else z,), torch.randint(0, CLASSES, (ROWS,), generator=generator)
    input, target = loss.sample(generator, ELEMENTS)
    return tuple(x.float() for x in (input if isinstance(input, tuple) else (input,))), target.float()


def step(loss: Formula, inputs: tuple[Tensor, ...], target: Tensor) -> Callable[[], object]:
    leaves = tuple(x.clone().requires_grad_() for x in inputs)
    given = leaves if len(leaves) > 1 else leaves[0]

    def run() -> None:
        value = loss(given, target)  # type: ignore[arg-type]
        if value.requires_grad:
            torch.autograd.grad(value, leaves)

    return run


def measure(cls: type[Loss]) -> list[str]:
    loss, peer = cls(), PEERS[cls.name]
    inputs, target = data(loss)
    spare = torch.empty_like(inputs[0])
    candidates: dict[str, Callable[[], object]] = {
        "floor": lambda: torch.add(inputs[0], inputs[0], out=spare),
        "ours": step(loss, inputs, target),
        "theirs": step(peer, inputs, target),
    }
    torch.compiler.reset()
    candidates["ours compiled"] = step(torch.compile(loss, fullgraph=True), inputs, target)
    candidates["theirs compiled"] = step(torch.compile(peer), inputs, target)
    seconds = medians(candidates, rounds=9)
    shape = "x".join(str(n) for n in inputs[0].shape)
    milli = {name: f"{1000 * value:.1f}" for name, value in seconds.items()}
    return [
        cls.family,
        cls.name,
        shape,
        milli["theirs"],
        milli["ours"],
        f"{seconds['ours'] / seconds['theirs']:.2f}",
        f"{seconds['ours compiled'] / seconds['theirs compiled']:.2f}",
        f"{seconds['ours compiled'] / seconds['theirs']:.2f}",
        f"{seconds['ours compiled'] / seconds['floor']:.1f}",
    ]


HEADER = [
    "family",
    "loss",
    "shape",
    "theirs, ms",
    "ours, ms",
    "ours / theirs",
    "both compiled",
    "ours compiled / theirs eager",
    "ours compiled / floor",
]


def report() -> list[Part]:
    """The table of all losses, float32, forward and backward."""
    order = sorted(registry.values(), key=lambda cls: (cls.family, cls.name))
    return [Table(HEADER, [measure(cls) for cls in order if cls.name in PEERS])]
