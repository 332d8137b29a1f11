"""lossmith as the conformance catalogue sees it: names and argument order, nothing else.

`make conformance` runs it, where the catalogue lies beside the checkout.
"""

import inspect
import sys
from typing import Any

import lossmith
from lossmith.flow.loss import Loss


def callable_of(loss: Loss) -> Any:
    """The catalogue's callable: it reads `module` for the cases about state."""

    def call(inputs: Any, targets: Any, **options: Any) -> Any:
        return loss(inputs, targets, **options)

    call.module = loss  # type: ignore[attr-defined]
    return call


def sync_group(sync: bool) -> str | None:
    return "world" if sync else None


class LossmithAdapter:
    """One method per kind of the catalogue that this version has."""

    name = "lossmith"
    native = True
    strict = True
    spec = ""

    @property
    def not_expressible(self) -> type[Exception]:
        """What the catalogue, which is the running script, calls a kind that a library does not have."""
        return sys.modules["__main__"].NotExpressible  # type: ignore[no-any-return]

    def version(self) -> str:
        return lossmith.__version__

    def loss(self, kind: str, **params: Any) -> Any:
        method = getattr(self, f"k_{kind}", None)
        if method is None:
            raise self.not_expressible(kind)
        try:
            inspect.signature(method).bind(**params)
        except TypeError:
            raise self.not_expressible(f"{kind}({', '.join(params)})") from None
        return callable_of(method(**params))

    def grad_hess(self, kind: str, **params: Any) -> Any:
        raise self.not_expressible(kind)

    def k_softmax_ce(
        self, reduction: str = "mean", weight: Any = None, ignore_index: int = -100, label_smoothing: float = 0.0
    ) -> Loss:
        return lossmith.CrossEntropyLoss(
            reduction=reduction,
            weight=weight,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            smoothing="torch",  # the catalogue's reference has the class weights inside the smoothing
        )

    def k_softmax_ce_soft(self, reduction: str = "mean") -> Loss:
        return lossmith.CrossEntropyLoss(reduction=reduction)

    def k_softmax_focal(
        self,
        gamma: float = 2.0,
        alpha: Any = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        sync: bool = False,
    ) -> Loss:
        return lossmith.FocalLoss(
            gamma=gamma, alpha=alpha, reduction=reduction, ignore_index=ignore_index, process_group=sync_group(sync)
        )

    def k_bce(self, reduction: str = "mean", pos_weight: Any = None, ignore_index: int = -100) -> Loss:
        return lossmith.BCEWithLogitsLoss(reduction=reduction, pos_weight=pos_weight, ignore_index=ignore_index)

    def k_bce_prob(self) -> Loss:
        return lossmith.BCELoss()

    def k_focal_prob(self, gamma: float = 2.0) -> Loss:
        return lossmith.FocalLoss(gamma=gamma, link="prob")

    def k_sigmoid_focal(self, gamma: float = 2.0, alpha: Any = None, reduction: str = "mean") -> Loss:
        return lossmith.FocalLoss(gamma=gamma, alpha=alpha, link="sigmoid", reduction=reduction)

    def k_class_balanced_ce(self, counts: Any, beta: float) -> Loss:
        return lossmith.CrossEntropyLoss(weight=lossmith.effective_number(counts, beta), normalizer="count")

    def k_mse(self) -> Loss:
        return lossmith.MSELoss()

    def k_rmse(self) -> Loss:
        return lossmith.RMSELoss()

    def k_mae(self) -> Loss:
        return lossmith.MAELoss()

    def k_huber(self, delta: float = 1.0) -> Loss:
        return lossmith.HuberLoss(delta=delta)

    def k_smooth_l1(self, beta: float = 1.0) -> Loss:
        return lossmith.SmoothL1Loss(beta=beta)

    def k_log_cosh(self) -> Loss:
        return lossmith.LogCoshLoss()

    def k_quantile(self, q: float = 0.5) -> Loss:
        return lossmith.QuantileLoss(q=q)

    def k_mape(self) -> Loss:
        return lossmith.MAPELoss()

    def k_smape(self) -> Loss:
        return lossmith.SMAPELoss()

    def k_poisson_nll(self, log_input: bool = True) -> Loss:
        return lossmith.PoissonNLLLoss(log_input=log_input)

    def k_gaussian_nll(self) -> Loss:
        return lossmith.GaussianNLLLoss()

    def k_hinge(self) -> Loss:
        return lossmith.HingeLoss()

    def k_soft_margin(self) -> Loss:
        return lossmith.LogisticLoss()
