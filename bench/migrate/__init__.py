"""``python -m bench.migrate > docs/migrate.md``: the page, from rows that tests/migrate_test.py checks one by one."""

from bench.migrate.classification import BALANCED, IMBALANCED, KERAS, TIMM
from bench.migrate.metric import METRIC
from bench.migrate.of_optax import OPTAX
from bench.migrate.of_torch import SKLEARN, TORCH
from bench.migrate.row import FACTORS, Row, package_of
from bench.migrate.segmentation import KORNIA, MONAI, SMP, TORCHVISION

__all__ = ["MODULES", "ROWS", "VERSIONS", "page"]

# The versions that the page is about.
VERSIONS = {
    "torch": "2.13.0",
    "sklearn": "1.9.1",
    "torchvision": "0.29.2",
    "monai": "1.6.1",
    "kornia": "0.9.0",
    "segmentation_models_pytorch": "0.6.0",
    "timm": "1.0.31",
    "keras": "3.15.1",
    "optax": "0.2.8",
    "pytorch_metric_learning": "2.9.0",
    "imbalanced_losses": "0.6.0",
    "balanced_loss": "0.1.1",
}
TITLES = {
    "torch": "torch.nn",
    "sklearn": "scikit-learn",
    "monai": "MONAI",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "keras": "Keras",
    "pytorch_metric_learning": "pytorch-metric-learning",
    "imbalanced_losses": "imbalanced-losses",
    "balanced_loss": "balanced-loss",
}
ROWS: list[Row] = [
    *TORCH,
    *SKLEARN,
    *TORCHVISION,
    *MONAI,
    *KORNIA,
    *SMP,
    *TIMM,
    *KERAS,
    *OPTAX,
    *METRIC,
    *IMBALANCED,
    *BALANCED,
]


def _left_out(reasons: dict[str, str]) -> dict[str, str]:
    return {name: reason for reason, names in reasons.items() for name in names.split()}


IMAGE = "of images, boxes or fields, which the catalogue leaves to others"
TWIN = "the function of a class that has a row"
TOOL = "not a loss"
# Where a library's losses are, and the public names there that have no row, with the reason.
MODULES: dict[str, tuple[str, dict[str, str]]] = {
    "torch": ("torch.nn.modules.loss", {}),
    "monai": (
        "monai.losses",
        _left_out(
            {
                IMAGE: "BendingEnergyLoss BoundaryLoss BoxGIoULoss DiffusionLoss GlobalMutualInformationLoss giou "
                "HausdorffDTLoss JukeboxLoss LocalNormalizedCrossCorrelationLoss LogHausdorffDTLoss MultiScaleLoss "
                "SSIMLoss SURELoss SoftDiceclDiceLoss SoftclDiceLoss",
                TWIN: "Dice dice_ce dice_focal generalized_dice generalized_dice_focal generalized_wasserstein_dice",
            }
        ),
    ),
    "kornia": (
        "kornia.losses",
        _left_out(
            {
                IMAGE: "HausdorffERLoss HausdorffERLoss3D InverseDepthSmoothnessLoss MIKernel MILossFromRef "
                "MILossFromRef2D MILossFromRef3D MS_SSIMLoss NMILossFromRef NMILossFromRef2D NMILossFromRef3D PSNRLoss "
                "SSIM3DLoss SSIMLoss TotalVariation inverse_depth_smoothness_loss mutual_information_loss "
                "mutual_information_loss_2d mutual_information_loss_3d normalized_mutual_information_loss "
                "normalized_mutual_information_loss_2d normalized_mutual_information_loss_3d psnr_loss ssim3d_loss "
                "ssim_loss total_variation",
                TWIN: "binary_focal_loss_with_logits cauchy_loss charbonnier_loss dice_loss focal_loss "
                "geman_mcclure_loss lovasz_hinge_loss lovasz_softmax_loss tversky_loss welsch_loss",
                TOOL: "one_hot",
            }
        ),
    ),
    "segmentation_models_pytorch": ("segmentation_models_pytorch.losses", {}),
    "timm": (
        "timm.loss",
        _left_out(
            {
                TOOL: "compute_class_weights create_classification_loss load_class_stats load_class_weights "
                "resolve_class_weights"
            }
        ),
    ),
    "keras": (
        "keras.losses",
        _left_out(
            {
                TOOL: "Loss deserialize get serialize",
                TWIN: "binary_crossentropy binary_focal_crossentropy categorical_crossentropy "
                "categorical_focal_crossentropy categorical_generalized_cross_entropy categorical_hinge circle "
                "cosine_similarity ctc dice hinge huber kl_divergence log_cosh mean_absolute_error "
                "mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error poisson "
                "sparse_categorical_crossentropy squared_hinge tversky",
            }
        ),
    ),
    "optax": ("optax.losses", {}),
    "pytorch_metric_learning": ("pytorch_metric_learning.losses", {}),
    "imbalanced_losses": ("imbalanced_losses", _left_out({TOOL: "all_gather_no_grad all_gather_with_grad"})),
    "balanced_loss": ("balanced_loss", {}),
}
INTRODUCTION = """\
# Coming from another library

For each loss of these libraries the specification that gives its number, `lossmith.create(...)`, or the reason why
there is none. Every row with a specification is a test (`tests/migrate_test.py`): same value and same gradient, on
data drawn at random, with class weights and ignored targets where the row has them. The page is written by `python -m
bench.migrate`.

What differs most often:

- **What a mean divides by.** Ours: the sum of the weights of what is not ignored, as torch's cross-entropy.
  `normalizer="count"` divides by the number of units, `"positives"` by those that are not background, a number by
  that number. MONAI and kornia divide a focal loss over classes by the number of classes too; kornia and
  segmentation-models-pytorch keep ignored pixels in the denominator.
- **`alpha`.** Ours, for labels of their own: alpha for positives, 1 - alpha for negatives, as RetinaNet. Over classes
  one number per class. A single alpha over classes is 1 - alpha for class 0 and alpha for all others in MONAI and
  kornia, and a plain factor in Keras.
- **Label smoothing.** epsilon / C on every class, in all libraries here; `smoothing="others"` is epsilon / (C - 1) on
  the others, as fairseq. With class weights torch smooths inside the weighting: `smoothing="torch"`.
- **`smooth` of overlaps.** Ours counts pixels found in every class, added to tp. MONAI's smooth_nr = smooth_dr = s is
  our s / 2 for Dice and Jaccard and our s for Tversky; segmentation-models-pytorch's smooth is ours. Several
  libraries default to 0 or 1e-5, where an empty mask teaches nothing.
- **Logits or probabilities.** Ours is told by `link`, never by the data. Keras takes probabilities unless
  `from_logits=True`.
- **Order of arguments.** `loss(input, target)`; scikit-learn and Keras have the target first. Losses of several
  tensors take them in one tuple.
- **Clipping.** Ours never clips a logit. Keras clips probabilities at 1e-7 and timm's asymmetric loss at 1e-8: beyond
  that a wrong example has no gradient there.
"""


def page() -> str:
    """The page in Markdown."""
    parts = [INTRODUCTION]
    for package, version in VERSIONS.items():
        rows = [row for row in ROWS if package_of(row) == package]
        found = [row for row in rows if row.ours]
        parts += [f"## {TITLES.get(package, package)} {version}\n"]
        if found:
            parts += ["| theirs | ours | |\n| --- | --- | --- |", *map(_line, found), ""]
        without = [row for row in rows if not row.ours]
        if without:
            parts += ["No specification:\n", *_reasons(without), ""]
    return "\n".join(parts)


def _line(row: Row) -> str:
    ours = f"`{row.ours}`" + (f", {FACTORS[row.factor][1]}" if row.factor else "")
    seen = {"jax one-hot": "Target: one row of class probabilities.", "one-hot": ""}.get(row.layout, "")
    return f"| `{_short(row)}` | {ours} | {' '.join(filter(None, (row.remark, seen)))} |"


def _short(row: Row) -> str:
    return row.theirs.partition(":")[2]


def _reasons(rows: list[Row]) -> list[str]:
    """One line per reason, with the losses that share it."""
    by: dict[str, list[str]] = {}
    for row in rows:
        by.setdefault(row.remark, []).append(f"`{_short(row)}`")
    return [f"- {', '.join(names)}: {reason}" for reason, names in by.items()]
