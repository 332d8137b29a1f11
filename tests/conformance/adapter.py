"""lossmith as the conformance catalogue sees it: names and argument order, nothing else.

`make conformance` runs it, where the catalogue lies beside the checkout.
"""

import inspect
import sys
from typing import Any

import lossmith
from lossmith import boosting
from lossmith.flow.loss import Loss

NAMES = {"label_weight": "sample_weight"}  # what the catalogue calls an option: ours


def callable_of(loss: Any) -> Any:
    """The catalogue's callable: it reads `module` for the cases about state."""

    def call(*given: Any, **options: Any) -> Any:
        return loss(*given, **{NAMES.get(name, name): value for name, value in options.items()})

    call.module = loss  # type: ignore[attr-defined]
    return call


def link_of(mode: str) -> Any:
    return "sigmoid" if mode == "binary" else "softmax"


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
        method = getattr(self, f"g_{kind}", None)
        if method is None:
            raise self.not_expressible(kind)
        objective = boosting.xgboost(method(**params))
        return lambda pred, y, weight=None: objective(y, pred, weight)

    def g_logistic(self) -> Loss:
        return lossmith.BCEWithLogitsLoss()

    def g_focal(self, gamma: float = 2.0) -> Loss:
        return lossmith.FocalLoss(gamma=gamma)

    def g_log_cosh(self) -> Loss:
        return lossmith.LogCoshLoss()

    def g_mape(self) -> Loss:
        return lossmith.MAPELoss()

    def g_mae(self) -> Loss:
        return lossmith.MAELoss()

    def g_quantile(self, q: float = 0.5) -> Loss:
        return lossmith.QuantileLoss(q=q)

    def g_squaredlog(self) -> Loss:
        return lossmith.MSLELoss()

    def g_poisson(self) -> Loss:
        return lossmith.PoissonNLLLoss()

    def g_softmax(self, K: int) -> Loss:  # noqa: N803
        return lossmith.CrossEntropyLoss()

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

    def k_dice(self, mode: str = "multiclass", weight: Any = None, ignore_index: int = -100) -> Loss:
        return lossmith.DiceLoss(link=link_of(mode), weight=weight, ignore_index=ignore_index)

    def k_tversky(
        self, alpha: float, beta: float, mode: str = "multiclass", weight: Any = None, ignore_index: int = -100
    ) -> Loss:
        return lossmith.TverskyLoss(
            alpha=alpha, beta=beta, link=link_of(mode), weight=weight, ignore_index=ignore_index
        )

    def k_generalized_dice(self, mode: str = "multiclass", ignore_index: int = -100) -> Loss:
        return lossmith.GeneralizedDiceLoss(link=link_of(mode), ignore_index=ignore_index)

    def k_dice_focal(
        self, mode: str = "multiclass", gamma: float = 2.0, weight: Any = None, ignore_index: int = -100
    ) -> Loss:
        return lossmith.FocalDiceLoss(link=link_of(mode), gamma=gamma, weight=weight, ignore_index=ignore_index)

    def k_lovasz(self, mode: str = "multiclass", ignore_index: int = -100) -> Loss:
        return lossmith.LovaszLoss(link=link_of(mode), ignore_index=ignore_index)

    def k_unified_focal(
        self, mode: str = "multiclass", gamma: float = 0.5, delta: float = 0.6, ignore_index: int = -100
    ) -> Loss:
        return lossmith.UnifiedFocalLoss(link=link_of(mode), gamma=gamma, delta=delta, ignore_index=ignore_index)

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
        return lossmith.SoftMarginLoss()

    def k_hinge_embedding(self, margin: float = 1.0) -> Loss:
        return lossmith.HingeEmbeddingLoss(margin=margin)

    def k_margin_ranking(self, margin: float = 0.0) -> Loss:
        return lossmith.MarginRankingLoss(margin=margin)

    def k_cosine_embedding(self, margin: float = 0.0) -> Loss:
        return lossmith.CosineEmbeddingLoss(margin=margin)

    def k_triplet(self, margin: float = 1.0) -> Loss:
        return lossmith.TripletMarginLoss(margin=margin)

    def k_triplet_mined(self, margin: float = 0.0, soft: bool = False) -> Loss:
        return lossmith.MinedTripletLoss(margin=margin, soft=soft)

    def k_supcon(self, temperature: float = 0.1) -> Loss:
        return lossmith.SupervisedContrastiveLoss(temperature=temperature)

    def k_ntxent(self, temperature: float = 0.1) -> Loss:
        return lossmith.InfoNCELoss(temperature=temperature)

    def k_kl_div(self, reduction: str = "batchmean", log_target: bool = False) -> Loss:
        link = "log_prob" if log_target else "prob"
        return lossmith.KLDivLoss(target_link=link, reduction={"batchmean": "mean"}.get(reduction, reduction))

    def k_js_div(self) -> Loss:
        return lossmith.JSDivLoss()

    def k_asl(self, gamma_neg: float = 4.0, gamma_pos: float = 1.0, clip: float = 0.05) -> Any:
        loss = lossmith.AsymmetricLoss(gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip)
        return lambda x, y: loss(x, y, num_items=len(x))  # the catalogue's is a sum over labels / N

    def k_ghmc(self, bins: int = 10, momentum: float = 0.0) -> Loss:
        return lossmith.GHMCLoss(link="sigmoid", bins=bins, momentum=momentum, normalize="nonempty")

    def k_ghmr(self, mu: float = 0.02, bins: int = 10, momentum: float = 0.0) -> Loss:
        return lossmith.GHMRLoss(mu=mu, bins=bins, momentum=momentum, normalize="nonempty")

    def k_ctc(self, reduction: str = "mean", zero_infinity: bool = False) -> Loss:
        return lossmith.CTCLoss(
            link="log_prob",
            reduction=reduction,
            per_label=reduction == "mean",  # the catalogue's mean is torch's
            infeasible="zero" if zero_infinity else "inf",
        )

    def k_fused_linear_ce(self, reduction: str = "mean", ignore_index: int = -100) -> Any:
        loss = lossmith.CrossEntropyLoss(reduction=reduction, ignore_index=ignore_index)
        return lambda x, y: loss.linear(*x[:2], y, *x[2:])

    def k_gan_g_ns(self) -> Loss:
        return lossmith.NonSaturatingGANLoss(player="generator")

    def k_wgan_gp(self) -> Any:
        return lossmith.WGANGPLoss().gradient_penalty
