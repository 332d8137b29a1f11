"""A custom objective's call on a million rows: gradient and Hessian, against NumPy by hand and PyPI's boost-loss.

Milliseconds of one call, the check of the labels and the making of arrays included. float32 scores are XGBoost's,
float64 are LightGBM's and CatBoost's. NumPy by hand has the exact Hessian in closed form, negative on a part of
focal's range and 0 far away for log-cosh; ours are the default rule, "upper", and the exact one. boost-loss is its own
log-cosh, NumPy by hand too; it has no focal, and is given the same NumPy formulas. Its automatic way,
`from_callable_torch`, calls autograd once per row: measured at 2,000 rows, and scaled up by the number of calls alone.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bench.measure import medians
from bench.report import Part, Table
from lossmith.boosting.objective import Objective

ROWS, FEW, GAMMA = 1_000_000, 2_000, 2.0


def numpy_focal(y: Any, z: Any) -> tuple[Any, Any]:
    """Gradient and Hessian of ``-(1 - p)^2 log p``, p of the label, by hand."""
    sign = 2 * y - 1
    p = 1 / (1 + np.exp(-sign * z))
    miss, logp = 1 - p, np.log(p)
    gradient = sign * miss**GAMMA * (GAMMA * p * logp - miss)
    inner = (2 * GAMMA + 1) * miss - GAMMA * p * logp * GAMMA + GAMMA * miss * logp
    return gradient, p * miss**GAMMA * inner


def numpy_log_cosh(y: Any, z: Any) -> tuple[Any, Any]:
    slope = np.tanh(z - y)
    return slope, 1 - slope * slope


BY_HAND: dict[str, tuple[str, Callable[[Any, Any], tuple[Any, Any]]]] = {
    "binary focal": (f"focal(gamma={GAMMA})", numpy_focal),
    "log-cosh": ("log_cosh", numpy_log_cosh),
}


def report() -> list[Part]:
    """The table."""
    rows = []
    for dtype in (np.float32, np.float64):
        for name, (spec, by_hand) in BY_HAND.items():
            rows.append([name, np.dtype(dtype).name, *_measure(spec, by_hand, dtype)])
    head = ["loss", "scores", "NumPy by hand", "ours", 'ours, "exact"', "boost-loss", "ours / NumPy", "automatic"]
    return [Table(head, rows)]


def _measure(spec: str, by_hand: Callable[[Any, Any], tuple[Any, Any]], dtype: Any) -> list[str]:
    rng = np.random.default_rng(0)
    scores = (2 * rng.normal(size=ROWS)).astype(dtype)
    target = (rng.random(ROWS) < 0.1 if "focal" in spec else rng.normal(size=ROWS)).astype(dtype)
    ours, exact = Objective(spec), Objective(spec, hessian="exact")
    _same(by_hand(target[:FEW], scores[:FEW]), exact.derivatives(scores[:FEW], target[:FEW]))
    candidates: dict[str, Callable[[], object]] = {
        "hand": lambda: by_hand(target, scores),
        "ours": lambda: ours.derivatives(scores, target),
        "exact": lambda: exact.derivatives(scores, target),
    }
    peer, slow = _boost_loss(spec, by_hand)
    if peer is not None:
        candidates["peer"] = lambda: peer.grad_hess(y_true=target, y_pred=scores)
    took = medians(candidates, rounds=9)
    milli = [
        f"{1000 * took[name]:.0f}" if name in took else "not installed" for name in ("hand", "ours", "exact", "peer")
    ]
    return [*milli, f"{took['ours'] / took['hand']:.1f}", _automatic(slow, target, scores)]


def _same(one: tuple[Any, Any], two: tuple[Any, Any]) -> None:
    """The formulas by hand are those of the loss, or there is nothing to compare."""
    np.testing.assert_allclose(one[0], two[0], atol=1e-5)
    np.testing.assert_allclose(np.maximum(one[1], 0), two[1], atol=1e-5)


def _boost_loss(spec: str, by_hand: Callable[[Any, Any], tuple[Any, Any]]) -> tuple[Any, Any]:
    """boost-loss, where it is installed: its own log-cosh or the formulas by hand, and the automatic way."""
    try:
        from boost_loss.base import LossBase
        from boost_loss.regression import LogCoshLoss
        from boost_loss.torch import TorchLossBase
    except ImportError:
        return None, None
    if spec == "log_cosh":
        automatic = TorchLossBase.from_callable_torch(lambda y, z: torch.log(torch.cosh(z - y)), "log_cosh")
        return LogCoshLoss(), automatic()

    class Focal(LossBase):  # type: ignore[misc]
        def loss(self, y_true: Any, y_pred: Any) -> Any:
            raise NotImplementedError

        def grad_hess(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
            return by_hand(y_true, y_pred)

    def focal(y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        logp = torch.nn.functional.logsigmoid((2 * y - 1) * z)
        return -((1 - logp.exp()) ** GAMMA) * logp

    return Focal(), TorchLossBase.from_callable_torch(focal, "focal")()


def _automatic(loss: Any, target: Any, scores: Any) -> str:
    if loss is None:
        return "not installed"
    start = time.perf_counter()
    loss.grad_hess(y_true=target[:FEW], y_pred=scores[:FEW])
    took = time.perf_counter() - start
    return f"{1000 * took:.0f} for {FEW:,} rows; {took * ROWS / FEW / 60:.0f} min"
