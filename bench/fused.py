"""Other libraries' cross-entropies that fuse: of logits, or of the last layer's input and weight, which build none.

Each is made by a function that raises where the library is not installed or has nothing for the device.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.measure import Device
from bench.ways import AbsentError

Formula = Callable[..., Tensor]


def liger_logits(on: Device) -> Formula:
    """Liger's kernel on logits, which it overwrites."""
    from liger_kernel.transformers.functional import liger_cross_entropy

    if on.name != "cuda":
        raise AbsentError("on GPUs only")
    return liger_cross_entropy


def liger(on: Device) -> Formula:
    """Liger's fused linear layer; on a CPU its fallback in PyTorch, which gives a value per row."""
    if on.name == "cuda":
        from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

        return liger_fused_linear_cross_entropy
    from liger_kernel.ops.fused_linear_scaled_cross_entropy import LigerFusedLinearScaledCrossEntropyFunction

    def mean(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
        return LigerFusedLinearScaledCrossEntropyFunction.apply(hidden, weight, target).sum() / (target >= 0).sum()

    return mean


def cut_cross_entropy(on: Device) -> Formula:
    """Apple's kernel; on a CPU its other implementation, `torch.compile` of the plain formula."""
    from cut_cross_entropy import linear_cross_entropy

    way = "cce" if on.name == "cuda" else "torch_compile"
    return lambda hidden, weight, target: linear_cross_entropy(hidden, weight, target, impl=way)


def torch_linear(chunked: bool) -> Formula:
    """PyTorch's own function, as it is called by default or in chunks, which are an option."""
    if not hasattr(F, "linear_cross_entropy"):
        raise AbsentError(f"not in torch {torch.__version__}")
    options = nn.LinearCrossEntropyOptions() if chunked else None
    return lambda hidden, weight, target: F.linear_cross_entropy(hidden, weight, target, options=options)
