"""torch.nn, and scikit-learn's metrics of the same numbers."""

from bench.migrate.row import Row

W = "weight=[0.5, 2.0, 1.0]"
TORCH = [
    Row("torch.nn:L1Loss", "mae", "regression"),
    Row("torch.nn:MSELoss", "mse", "regression", "No broadcasting: [N, 1] against [N] is an error here."),
    Row("torch.nn:SmoothL1Loss(beta=0.5)", "smooth_l1(beta=0.5)", "regression"),
    Row("torch.nn:HuberLoss(delta=2.0)", "huber(delta=2)", "regression", "beta times SmoothL1."),
    Row("torch.nn:CrossEntropyLoss", "cross_entropy", "softmax", "An empty or all-ignored batch is 0 here, NaN there."),
    Row("torch.nn:CrossEntropyLoss", "cross_entropy", "overlap", "Pixels: classes along axis 1 in both."),
    Row(
        f"torch.nn:CrossEntropyLoss({W}, ignore_index=7)",
        f"cross_entropy({W}, ignore_index=7)",
        "softmax",
        "Both divide by the sum of the weights of what is not ignored.",
        ignored=7,
    ),
    Row(
        "torch.nn:CrossEntropyLoss(label_smoothing=0.1)",
        "cross_entropy(label_smoothing=0.1)",
        "softmax",
        "epsilon / C on every class in both.",
    ),
    Row(
        f"torch.nn:CrossEntropyLoss({W}, label_smoothing=0.1)",
        f'cross_entropy({W}, label_smoothing=0.1, smoothing="torch")',
        "softmax",
        "torch weighs inside the smoothing, and its minimum moves (pytorch#104776); leave `smoothing` out to put it "
        "back.",
    ),
    Row(
        f"torch.nn:CrossEntropyLoss({W})",
        f'cross_entropy({W}, normalizer="count")',
        "softmax",
        "With class probabilities torch divides by N; ours by the weights, so that one-hot rows and indices agree.",
        layout="one-hot",
    ),
    Row(f"torch.nn:NLLLoss({W})", f"nll({W})", "log_prob", "Input: log-probabilities."),
    Row("torch.nn:NLLLoss2d", "", remark="A deprecated alias of NLLLoss: `nll`."),
    Row(
        "torch.nn:BCELoss",
        "bce",
        "binary_prob",
        "torch caps -log p at 100; ours is exact to p = 1e-30, then a straight line.",
    ),
    Row("torch.nn:BCEWithLogitsLoss", "bce_with_logits", "sigmoid", "torch's `weight` is our `sample_weight`."),
    Row("torch.nn:BCEWithLogitsLoss(pos_weight=[3.0])", "bce_with_logits(pos_weight=3)", "multilabel"),
    Row('torch.nn:BCEWithLogitsLoss(reduction="sum")', 'bce_with_logits(reduction="sum")', "multilabel"),
    Row(
        "torch.nn:MultiLabelSoftMarginLoss",
        "bce_with_logits",
        "multilabel",
        "Binary cross-entropy by another name; its class `weight` scales labels without dividing by it.",
    ),
    Row("torch.nn:SoftMarginLoss", "soft_margin", "margin", "torch's is infinite below a margin of -88, ours is not."),
    Row("torch.nn:PoissonNLLLoss", "poisson_nll", "count"),
    Row("torch.nn:PoissonNLLLoss(log_input=False, full=True)", "poisson_nll(log_input=False, full=True)", "rates"),
    Row(
        "torch.nn:GaussianNLLLoss(full=True)",
        "gaussian_nll(full=True)",
        "gaussian",
        "Ours takes the pair (mean, variance) as input.",
    ),
    Row('torch.nn:KLDivLoss(reduction="batchmean")', "kl_div", "divergence"),
    Row(
        "torch.nn:KLDivLoss",
        "kl_div",
        "divergence",
        'torch\'s default "mean" divides by N C (documented).',
        factor="1/C",
    ),
    Row('torch.nn:KLDivLoss(reduction="batchmean", log_target=True)', 'kl_div(target_link="log_prob")', "log targets"),
    Row("torch.nn:CosineEmbeddingLoss(margin=0.2)", "cosine_embedding(margin=0.2)", "pairs", "Input: the pair (a, b)."),
    Row("torch.nn:HingeEmbeddingLoss(margin=1.5)", "hinge_embedding(margin=1.5)", "distances"),
    Row("torch.nn:MarginRankingLoss(margin=0.5)", "margin_ranking(margin=0.5)", "score_pairs"),
    Row(
        "torch.nn:TripletMarginLoss",
        "triplet_margin",
        "triplets",
        "torch adds 1e-6 to every component of a difference; ours nothing.",
        rtol=1e-5,
    ),
    Row(
        "torch.nn:TripletMarginLoss(margin=0.5, swap=True)",
        "triplet_margin(margin=0.5, swap=True)",
        "triplets",
        rtol=1e-5,
    ),
    Row(
        "torch.nn:TripletMarginWithDistanceLoss",
        "triplet_margin",
        "triplets",
        "For its default distance; for another one, compute the distances and add a margin to their difference.",
        rtol=1e-5,
    ),
    Row(
        "torch.nn:CTCLoss",
        "ctc(per_label=True)",
        "sequence",
        'Ours takes logits (or `link="log_prob"`); its mean is over samples unless `per_label`.',
        layout="log-softmax frames",
    ),
    Row('torch.nn:CTCLoss(reduction="sum")', 'ctc(reduction="sum")', "sequence", layout="log-softmax frames"),
    Row(
        "torch.nn:MultiMarginLoss",
        "",
        remark="The multi-class hinge of Crammer and Singer, summed over classes, is "
        "not in the catalogue; `hinge` of one-vs-rest labels is.",
    ),
    Row(
        "torch.nn:MultiLabelMarginLoss",
        "",
        remark="Not in the catalogue; for many labels `bce_with_logits` or `asymmetric`.",
    ),
    Row(
        "torch.nn:LinearCrossEntropyLoss",
        "",
        remark="A linear layer and its cross-entropy in one, with weights of its own: "
        "`CrossEntropyLoss().linear(hidden, layer.weight, target, layer.bias)` with those of a `torch.nn.Linear`; "
        "every loss of logits over classes that is one value per row has `linear`.",
    ),
    Row(
        "torch.nn:AdaptiveLogSoftmaxWithLoss",
        "",
        remark="`adaptive_log_softmax`, which has weights of its own: the "
        "same number for the same weights (tests/losses).",
    ),
]
SKLEARN = [
    Row("sklearn.metrics:mean_squared_error", "mse", "regression", layout="scikit-learn"),
    Row("sklearn.metrics:root_mean_squared_error", "rmse", "regression", layout="scikit-learn"),
    Row("sklearn.metrics:mean_absolute_error", "mae", "regression", layout="scikit-learn"),
    Row(
        "sklearn.metrics:mean_absolute_percentage_error",
        "mape",
        "regression",
        "At a target of 0 ours raises, theirs divides by 2e-16.",
        layout="scikit-learn",
    ),
    Row("sklearn.metrics:mean_squared_log_error", "msle", "positive", layout="scikit-learn"),
    Row("sklearn.metrics:mean_pinball_loss(alpha=0.9)", "quantile(q=0.9)", "regression", layout="scikit-learn"),
    Row(
        "sklearn.metrics:mean_poisson_deviance",
        "",
        remark="Twice `poisson_nll(log_input=False)`, less what depends on the target alone.",
    ),
    Row("sklearn.metrics:log_loss", 'log(link="prob")', "prob", layout="scikit-learn"),
    Row("sklearn.metrics:hinge_loss", "hinge", "margin", layout="scikit-learn"),
    Row(
        "sklearn.metrics:brier_score_loss",
        "mse",
        "binary_prob",
        "Of probabilities of the positive class.",
        layout="scikit-learn",
    ),
    Row("sklearn.metrics:zero_one_loss", "", remark="Of decided labels; `zero_one` takes scores and their signs."),
    Row("sklearn.metrics:hamming_loss", "", remark="Of decided labels; `zero_one` takes scores and their signs."),
]
