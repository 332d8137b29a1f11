"""timm, Keras, imbalanced-losses and balanced-loss."""

from bench.migrate.row import Row
from lossmith import effective_number

T = "timm.loss"
TIMM = [
    Row(f"{T}:LabelSmoothingCrossEntropy", "cross_entropy(label_smoothing=0.1)", "softmax", "epsilon / C in both."),
    Row(
        f"{T}:SoftTargetCrossEntropy",
        "cross_entropy",
        "softmax",
        "For class probabilities as targets.",
        layout="one-hot",
    ),
    Row(f"{T}:BinaryCrossEntropy(smoothing=0.0)", "bce_with_logits", "multilabel"),
    Row(
        f"{T}:BinaryCrossEntropy(smooth_dense=True)",
        "bce_with_logits(label_smoothing=0.1)",
        "multilabel",
        "Without smooth_dense its smoothing leaves targets of the input's shape as they are.",
    ),
    Row(
        f'{T}:AsymmetricLossMultiLabel(reduction="sum")',
        'asymmetric(reduction="sum")',
        "multilabel",
        "Computed in float32, with probabilities clamped at 1e-8: no gradient for a present label below -18.",
        rtol=1e-4,
    ),
    Row(
        f"{T}:AsymmetricLossMultiLabel",
        'asymmetric(reduction="sum")',
        "multilabel",
        "Its default divides by samples, not by labels.",
        factor="1/N",
        rtol=1e-4,
    ),
    Row(f"{T}:PolyCrossEntropy(epsilon=2.0)", "poly(epsilon=2)", "softmax", rtol=1e-5),
    Row(
        f"{T}:PolyCrossEntropy(epsilon=2.0, smoothing=0.1)",
        "poly(epsilon=2, label_smoothing=0.1)",
        "softmax",
        rtol=1e-5,
    ),
    Row(
        f"{T}:PolyBinaryCrossEntropy(epsilon=2.0)",
        'poly(epsilon=2, link="sigmoid")',
        "multilabel",
        "With gamma it is Poly-1 of focal: not in the catalogue.",
        rtol=1e-5,
    ),
    *(
        Row(f"{T}:{name}", "", remark=remark)
        for name, remark in {
            "AsymmetricLossSingleLabel": "Asymmetric focusing of a softmax with smoothing outside it: not in the "
            "catalogue; `focal` is its symmetric case.",
            "JsdCrossEntropy": "Cross-entropy plus a divergence of three augmented splits: `js_div` compares two.",
            "TwoWayLoss": "Not in the catalogue.",
            "ZlprLoss": "Not in the catalogue.",
            "DistributionBalancedLoss": "Not in the catalogue; its parts are `focal`, `weight` and `logit_adjusted`.",
        }.items()
    ),
]
KL, FL = "keras.losses", "from_logits=True"
KERAS = [
    Row(f"{KL}:MeanSquaredError", "mse", "regression", "Keras takes (y_true, y_pred).", "target first", rtol=1e-5),
    Row(f"{KL}:MeanAbsoluteError", "mae", "regression", layout="target first", rtol=1e-5),
    Row(f"{KL}:MeanAbsolutePercentageError", "100*mape", "regression", "In percent.", "target first", rtol=1e-5),
    Row(
        f"{KL}:MeanSquaredLogarithmicError",
        "msle",
        "positive",
        "Keras clips negative numbers at 1e-7.",
        "target first, same shape",
        rtol=1e-5,
    ),
    Row(f"{KL}:Huber(delta=2.0)", "huber(delta=2)", "regression", layout="target first", rtol=1e-5),
    Row(f"{KL}:LogCosh", "log_cosh", "regression", layout="target first", rtol=1e-5),
    Row(
        f"{KL}:Hinge",
        "hinge",
        "margin",
        "Keras reads a batch of labels 0 and 1 as -1 and 1.",
        "target first",
        rtol=1e-5,
    ),
    Row(f"{KL}:SquaredHinge", "squared_hinge", "margin", layout="target first", rtol=1e-5),
    Row(
        f"{KL}:BinaryCrossentropy({FL}, label_smoothing=0.1)",
        "bce_with_logits(label_smoothing=0.1)",
        "sigmoid",
        layout="target first",
        rtol=1e-5,
    ),
    Row(
        f"{KL}:BinaryCrossentropy",
        "bce",
        "binary_prob",
        "Its default: probabilities, clipped at 1e-7.",
        "target first",
        rtol=1e-5,
    ),
    Row(
        f"{KL}:BinaryFocalCrossentropy({FL})",
        'focal(link="sigmoid")',
        "sigmoid",
        "No alpha unless apply_class_balancing. Clipped at 1e-7 even from logits: no gradient beyond 16.",
        "target first",
        rtol=1e-4,
    ),
    Row(
        f"{KL}:BinaryFocalCrossentropy({FL}, apply_class_balancing=True)",
        'focal(link="sigmoid", alpha=0.25)',
        "sigmoid",
        layout="target first",
        rtol=1e-4,
    ),
    Row(
        f"{KL}:CategoricalCrossentropy({FL}, label_smoothing=0.1)",
        "cross_entropy(label_smoothing=0.1)",
        "softmax",
        "epsilon / C in both; Keras wants one-hot targets.",
        "target first, one-hot",
        rtol=1e-5,
    ),
    Row(
        f"{KL}:CategoricalFocalCrossentropy({FL})",
        "0.25*focal",
        "softmax",
        "Its alpha = 0.25 scales every class alike. Clipped at 1e-7.",
        "target first, one-hot",
        rtol=1e-4,
    ),
    Row(
        f"{KL}:CategoricalFocalCrossentropy({FL}, alpha=[0.5, 2.0, 1.0])",
        "focal(alpha=[0.5, 2.0, 1.0])",
        "softmax",
        layout="target first, one-hot",
        rtol=1e-4,
    ),
    Row(
        f"{KL}:SparseCategoricalCrossentropy({FL})",
        "cross_entropy",
        "softmax",
        layout="target first, same shape",
        rtol=1e-5,
    ),
    Row(
        f"{KL}:SparseCategoricalCrossentropy({FL}, ignore_class=7)",
        "cross_entropy(ignore_index=7)",
        "softmax",
        layout="target first, same shape",
        ignored=7,
        rtol=1e-5,
    ),
    Row(
        f"{KL}:CategoricalGeneralizedCrossEntropy",
        'generalized_cross_entropy(q=0.5, link="prob")',
        "prob",
        "Takes class indices, whatever its name.",
        "target first, same shape",
        rtol=1e-5,
    ),
    Row(
        f"{KL}:KLDivergence",
        'kl_div(link="prob")',
        "distributions",
        "Clipped at 1e-7.",
        "target first, same shape",
        rtol=1e-5,
    ),
    Row(f"{KL}:Poisson", "poisson_nll(log_input=False, eps=1e-7)", "rates", layout="target first", rtol=1e-5),
    Row(
        f"{KL}:Dice(axis=[1, 2, 3])",
        'dice(link="sigmoid", smooth=0)',
        "overlap_sigmoid",
        "Keras adds 1e-7 below only: an empty mask that is found empty costs 1.",
        "target first, sigmoid",
        rtol=1e-5,
    ),
    Row(
        f"{KL}:Dice",
        'dice(link="sigmoid", per="batch", smooth=0)',
        "overlap_sigmoid",
        "Its default adds up over everything, classes included.",
        "target first, sigmoid",
        rtol=1e-5,
    ),
    Row(
        f"{KL}:Tversky(alpha=0.3, beta=0.7)",
        'tversky(alpha=0.7, beta=0.3, link="sigmoid", per="batch", smooth=0)',
        "overlap_sigmoid",
        "alpha and beta are swapped up to 3.15.1 (fixed in keras#23333).",
        "target first, sigmoid",
        rtol=1e-5,
    ),
    *(
        Row(f"{KL}:{name}", "", remark=remark)
        for name, remark in {
            "CategoricalHinge": "A multi-class hinge: not in the catalogue.",
            "CosineSimilarity": "The negative cosine: `cosine_embedding` with target 1 is 1 more.",
            "CTC": "`ctc(batch_first=True)`; in Keras class 0 is padding and blank alike.",
            "Circle": "Not in the catalogue.",
        }.items()
    ),
]
IL = "imbalanced_losses"
IMBALANCED = [
    Row(f"{IL}:SoftmaxFocalLoss", "focal", "softmax"),
    Row(
        f"{IL}:SoftmaxFocalLoss(alpha=[0.5, 2.0, 1.0])",
        "focal(alpha=[0.5, 2.0, 1.0])",
        "softmax",
        "Divided by the number of examples in both.",
        ignored=-100,
    ),
    Row(
        f'{IL}:SoftmaxFocalLoss(reduction="mean_positive")',
        'focal(normalizer="positives")',
        "softmax",
        "By the number that are not class 0.",
    ),
    Row(
        f"{IL}:SigmoidFocalLoss",
        'focal(link="sigmoid", alpha=0.25)',
        "multilabel",
        "Over ranks (gather_distributed) its gradient is 1 / ranks of the right one; ours has `process_group`.",
    ),
    Row(f"{IL}:SmoothAPLoss", "", remark="`smooth_ap`, without the queue of earlier scores."),
    Row(f"{IL}:RecallAtQuantileLoss", "", remark="Not in the catalogue."),
    Row(f"{IL}:PAUCAtBudgetLoss", "", remark="Not in the catalogue."),
    Row(f"{IL}:LossWarmupWrapper", "", remark="A schedule: `MainLoss` after so many steps."),
]
BL = "balanced_loss"
EFFECTIVE = [round(float(w), 7) for w in effective_number([500, 50, 5], beta=0.999)]
BALANCED = [
    Row(f'{BL}:Loss(loss_type="cross_entropy")', "cross_entropy", "softmax", rtol=1e-5),
    Row(
        f'{BL}:Loss(loss_type="cross_entropy", class_balanced=True, beta=0.999, samples_per_class=[500, 50, 5])',
        f'cross_entropy(weight={EFFECTIVE}, normalizer="count")',
        "softmax",
        "Weights of `lossmith.effective_number`; theirs divides by N, as the paper's code.",
        rtol=1e-5,
    ),
    Row(
        f'{BL}:Loss(loss_type="binary_cross_entropy")',
        'bce_with_logits(reduction="mean")',
        "softmax one-hot",
        "One-vs-rest sigmoids, a mean over N C.",
        layout="indices",
        rtol=1e-5,
    ),
    Row(
        f'{BL}:Loss(loss_type="focal_loss")',
        'focal(link="sigmoid", reduction="sum")',
        "softmax one-hot",
        "One-vs-rest sigmoids, summed over classes. Its modulator overflows: NaN gradient from a logit of -89 on.",
        layout="indices",
        factor="1/N",
        rtol=1e-5,
    ),
    Row(
        f'{BL}:Loss(loss_type="softmax_binary_cross_entropy")',
        "",
        remark="Binary cross-entropy of softmax "
        "probabilities: neither model. Use `cross_entropy`, or `bce_with_logits` on one-hot targets.",
    ),
]
