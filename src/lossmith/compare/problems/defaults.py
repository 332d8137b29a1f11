"""The arms of problems other than classes of rows; the baseline comes first."""

from lossmith.compare.remedies.arms import Arm, points

LABEL = "bce_with_logits"
PIXEL = "cross_entropy"
REGION = "per=batch"


def regression_arms(above_zero: bool) -> list[Arm]:
    """Losses of the residual; those of relative errors only where every target is above 0."""
    arms = [
        Arm("mse", "Squared error", "The usual loss, and what the others are compared with.", "mse"),
        Arm("mae", "Absolute error", "Predicts the median: every unit of error counts alike.", "mae"),
        Arm(
            "huber",
            "Huber",
            "Squared near 0 and absolute beyond delta, in units of the targets' spread.",
            "huber(delta={delta})",
            grid=points(delta=(0.3, 1.0, 3.0)),
        ),
        Arm("log_cosh", "Log-cosh", "A smooth Huber loss.", "log_cosh"),
        Arm(
            "expectile",
            "Expectile",
            "Squared error that may lean: errors to one side count up to three times as much, as validation chooses.",
            "expectile(tau={tau})",
            grid=points(tau=(0.25, 0.5, 0.75)),
        ),
        Arm(
            "ghmr",
            "GHM-R",
            "Smooth absolute error in which residuals count less the more there are like them.",
            "ghmr(mu={mu}, momentum=0.75)",
            grid=points(mu=(0.02, 0.1, 0.5)),
        ),
        Arm(
            "quantiles",
            "Quantiles 5, 50 and 95 %",
            "Three outputs under the pinball loss: the median as prediction, and an interval for 90 % of the targets.",
            "quantile(q=0.5)",
            also=("quantile(q=0.05)", "quantile(q=0.95)"),
        ),
    ]
    relative = [
        Arm("mape", "Percentage error", "Relative to the target, so it would rather predict too low.", "mape"),
        Arm("smape", "Symmetric percentage error", "Relative to the size of target and prediction together.", "smape"),
    ]
    return arms + (relative if above_zero else [])


def multilabel_arms() -> list[Arm]:
    """Losses of single labels, with and without weights."""
    return [
        Arm(LABEL, "Binary cross-entropy", "The usual loss, and what the others are compared with.", LABEL),
        Arm(
            "balanced",
            "Balanced cross-entropy",
            "Presence and absence of every label weighted by the inverse of their frequency.",
            LABEL,
            weighting="balanced",
        ),
        Arm(
            "class_balanced",
            "Class-balanced cross-entropy",
            "Presence and absence of every label weighted by their effective number of rows.",
            LABEL,
            weighting="effective number",
            grid=points(beta=(0.99, 0.999, 0.9999)),
        ),
        Arm(
            "focal",
            "Focal",
            "Cross-entropy that looks away from what is already easy.",
            "focal(gamma={gamma}, link=sigmoid)",
            grid=points(gamma=(0.5, 1.0, 2.0)),
        ),
        Arm(
            "asymmetric",
            "Asymmetric",
            "Focal loss that forgets easy absences sooner than easy presences.",
            "asymmetric(gamma_neg={gamma_neg}, gamma_pos=0)",
            grid=points(gamma_neg=(1.0, 2.0, 4.0)),
        ),
        Arm(
            "label_smoothing",
            "Label smoothing",
            "Cross-entropy against targets that are a little less than certain.",
            "bce_with_logits(label_smoothing={label_smoothing})",
            grid=points(label_smoothing=(0.02, 0.05, 0.1)),
        ),
        Arm(
            "poly",
            "Poly-1",
            "Cross-entropy with the first term of its series in 1 - p changed.",
            "poly(epsilon={epsilon}, link=sigmoid)",
            grid=points(epsilon=(-0.5, 1.0, 2.0)),
        ),
    ]


def segmentation_arms() -> list[Arm]:
    """Losses of pixels, of regions, and sums of the two."""
    return [
        Arm(PIXEL, "Cross-entropy", "The usual loss, and what the others are compared with.", PIXEL),
        Arm(
            "balanced",
            "Balanced cross-entropy",
            "Cross-entropy with every class weighted by the inverse of its pixels.",
            PIXEL,
            weighting="balanced",
        ),
        Arm(
            "focal",
            "Focal",
            "Cross-entropy that looks away from easy pixels.",
            "focal(gamma={gamma})",
            grid=points(gamma=(0.5, 1.0, 2.0)),
        ),
        Arm("dice", "Dice", "The overlap of regions, whatever their size.", f"dice({REGION})"),
        Arm("jaccard", "Jaccard", "Intersection over union of regions.", f"jaccard({REGION})"),
        Arm(
            "tversky",
            "Tversky",
            "Dice in which missed pixels cost more than wrong ones.",
            f"tversky(alpha={{alpha}}, beta={{beta}}, {REGION})",
            grid=points(alpha=(0.5, 0.3, 0.1), beta=(0.5, 0.7, 0.9)),
        ),
        Arm("lovasz", "Lovász", "The convex surface over intersection over union.", f"lovasz({REGION})"),
        Arm(
            "ce_dice", "Cross-entropy + Dice", "A pixel loss and a region loss in one sum.", f"{PIXEL} + dice({REGION})"
        ),
    ]
