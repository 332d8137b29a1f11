"""optax."""

from bench.migrate.row import Row

O, N = "optax.losses", 'reduction="none"'  # noqa: E741
OPTAX = [
    Row(f"{O}:squared_error", f"mse({N})", "regression", "optax leaves the mean to you.", "jax"),
    Row(f"{O}:l2_loss", f"0.5*mse({N})", "regression", "Half the squared error.", "jax"),
    Row(f"{O}:huber_loss(delta=2.0)", f"huber(delta=2, {N})", "regression", layout="jax"),
    Row(f"{O}:log_cosh", f"log_cosh({N})", "regression", layout="jax"),
    Row(f"{O}:sigmoid_binary_cross_entropy", f"bce_with_logits({N})", "sigmoid", layout="jax"),
    Row(f"{O}:sigmoid_focal_loss", f'focal(link="sigmoid", {N})', "sigmoid", layout="jax"),
    Row(f"{O}:sigmoid_focal_loss(alpha=0.25)", f'focal(link="sigmoid", alpha=0.25, {N})', "sigmoid", layout="jax"),
    Row(f"{O}:softmax_cross_entropy", f"cross_entropy({N})", "softmax", layout="jax one-hot"),
    Row(
        f"{O}:safe_softmax_cross_entropy",
        f"cross_entropy({N})",
        "softmax",
        "Ours is safe where a logit is -inf.",
        "jax one-hot",
    ),
    Row(f"{O}:softmax_cross_entropy_with_integer_labels", f"cross_entropy({N})", "softmax", layout="jax"),
    Row(f"{O}:poly_loss_cross_entropy(epsilon=2.0)", f"poly(epsilon=2, {N})", "softmax", layout="jax one-hot"),
    Row(f"{O}:hinge_loss", f"hinge({N})", "margin", layout="jax"),
    Row(f"{O}:perceptron_loss", f"perceptron({N})", "margin", layout="jax"),
    Row(f"{O}:kl_divergence", f"kl_div({N})", "divergence", layout="jax"),
    Row(f"{O}:kl_divergence_with_log_targets", f'kl_div(target_link="log_prob", {N})', "log targets", layout="jax"),
    Row(
        f"{O}:dice_loss(smooth=1.0, alpha=0.3, beta=0.7)",
        "tversky(alpha=0.3, beta=0.7)",
        "overlap",
        "Channels last; one value per sample, its mean over classes taken.",
        "jax one-hot last, mean",
    ),
    Row(f"{O}:binary_dice_loss", 'dice(link="sigmoid")', "overlap_sigmoid", layout="jax last, mean"),
    Row(
        f"{O}:multiclass_generalized_dice_loss",
        "",
        remark="A weighted mean of ratios; the paper's is a ratio of weighted sums: `generalized_dice`.",
    ),
    Row(f"{O}:cosine_distance", f"cosine_embedding({N})", "like pairs", layout="jax vectors"),
    Row(
        f"{O}:triplet_margin_loss",
        f"triplet_margin({N})",
        "triplets",
        "optax adds 1e-6 to squared distances.",
        "jax",
        rtol=1e-5,
    ),
    Row(f"{O}:ntxent(temperature=0.1)", "info_nce(temperature=0.1)", "embeddings", layout="jax"),
    *(
        Row(f"{O}:{name}", "", remark=remark)
        for name, remark in {
            "cosine_similarity": "1 less `cosine_distance`.",
            "generalized_kl_divergence": "Of numbers that need not sum to 1: not in the catalogue.",
            "ctc_loss": "`ctc`, per sample; paddings instead of lengths.",
            "ctc_loss_with_forward_probs": "As ctc_loss.",
            "multiclass_hinge_loss": "A multi-class hinge: not in the catalogue.",
            "multiclass_perceptron_loss": "Not in the catalogue; `perceptron` is its binary case.",
            "multiclass_sparsemax_loss": "Not in the catalogue.",
            "sparsemax_loss": "Not in the catalogue.",
            "make_fenchel_young_loss": "A maker of losses: not in the catalogue.",
            "ranking_softmax_loss": "`soft_cross_entropy` of a list's relevances.",
            "smooth_labels": "`label_smoothing=` of every loss of labels; epsilon / C in both.",
            "convex_kl_divergence": "Deprecated: generalized_kl_divergence.",
            "binary_logistic_loss": "Deprecated: sigmoid_binary_cross_entropy.",
            "multiclass_logistic_loss": "Deprecated: softmax_cross_entropy_with_integer_labels.",
            "binary_sparsemax_loss": "Deprecated: sparsemax_loss.",
        }.items()
    ),
]
