"""torchvision, MONAI, kornia and segmentation-models-pytorch."""

import torch

from bench.migrate.row import Row

TORCHVISION = [
    Row(
        'torchvision.ops.focal_loss:sigmoid_focal_loss(reduction="mean")',
        'focal(link="sigmoid", alpha=0.25)',
        "multilabel",
        'Its default is `reduction="none"`.',
    ),
    Row(
        'torchvision.ops.focal_loss:sigmoid_focal_loss(alpha=-1, gamma=1.5, reduction="sum")',
        'focal(link="sigmoid", gamma=1.5, reduction="sum")',
        "multilabel",
        "RetinaNet divides this sum by the number of matched boxes: `num_items=`.",
    ),
]
ON, OFF = "to_onehot_y=True, softmax=True", "smooth_nr=0.0, smooth_dr=0.0"
ALPHA = "alpha=[0.75, 0.25, 0.25]"
M = "monai.losses"
UNIFIED = (
    "0.25*focal(gamma=0.5, alpha=[0.3, 0]) + 0.25*cross_entropy(alpha=[0, 0.7]) + 0.25*tversky(alpha=0.3, beta=0.7, "
    "weight=[1, 0], smooth=1e-7) + 0.25*focal_tversky(alpha=0.3, beta=0.7, gamma=2, include_background=False, "
    "smooth=1e-7)"
)
MONAI = [
    Row(
        f"{M}:DiceLoss({ON})",
        "dice(smooth=5e-6)",
        "overlap",
        "MONAI adds smooth_nr = smooth_dr = 1e-5 once, ours adds `smooth` to tp: half. Ours defaults to 1.",
        layout="channel",
    ),
    Row(f"{M}:DiceLoss(sigmoid=True)", 'dice(link="sigmoid", smooth=5e-6)', "overlap_sigmoid"),
    Row(
        f"{M}:DiceLoss({ON}, include_background=False)",
        "dice(include_background=False, smooth=5e-6)",
        "overlap",
        layout="channel",
    ),
    Row(f"{M}:DiceLoss({ON}, batch=True)", 'dice(per="batch", smooth=5e-6)', "overlap", layout="channel"),
    Row(f"{M}:DiceLoss({ON}, squared_pred=True)", "dice(squared=True, smooth=5e-6)", "overlap", layout="channel"),
    Row(f"{M}:DiceLoss({ON}, jaccard=True)", "jaccard(smooth=5e-6)", "overlap", layout="channel"),
    Row(
        f"{M}:DiceLoss({ON}, weight=[0.5, 2.0, 1.0])",
        'dice(weight=[0.5, 2.0, 1.0], normalizer="count", smooth=5e-6)',
        "overlap",
        "MONAI's weighted mean divides by the number of classes, not by the weights.",
        layout="channel",
    ),
    Row(
        f"{M}:DiceLoss({ON}, ignore_index=7)",
        "dice(ignore_index=7, smooth=5e-6)",
        "overlap",
        layout="channel",
        ignored=7,
    ),
    Row(
        f"{M}:MaskedDiceLoss",
        "",
        remark="`dice` with `mask=`, which takes a pixel out; theirs multiplies input and target by the mask.",
    ),
    Row(f"{M}:DiceCELoss({ON})", "dice(smooth=5e-6) + cross_entropy", "overlap", layout="channel"),
    Row(
        f"{M}:DiceFocalLoss(sigmoid=True)",
        'dice(link="sigmoid", smooth=5e-6) + focal(link="sigmoid")',
        "overlap_sigmoid",
        "With softmax=True its focal half is still one-vs-rest sigmoid (MONAI#8242): that is two "
        "models in one loss; use `focal_dice`.",
        rtol=1e-5,
    ),
    Row(
        f"{M}:GeneralizedDiceLoss({ON}, {OFF})",
        "generalized_dice(smooth=0)",
        "overlap",
        "MONAI adds its 1e-5 to the weighted sums, whose weights are 1 / volume^2, so it weighs more the larger the "
        "regions are; ours adds to tp.",
        layout="channel",
    ),
    Row(
        f"{M}:GeneralizedDiceFocalLoss",
        "",
        remark="As DiceFocalLoss: focal of sigmoids beside a Dice of a softmax. `generalized_dice + focal`.",
    ),
    Row(
        f"{M}:TverskyLoss({ON}, alpha=0.3, beta=0.7)",
        "tversky(alpha=0.3, beta=0.7, smooth=1e-5)",
        "overlap",
        "alpha for false positives in both.",
        layout="channel",
    ),
    Row(
        f"{M}:FocalLoss(to_onehot_y=True, use_softmax=True)",
        "focal",
        "softmax",
        "MONAI averages over N C numbers, of which N are not 0.",
        layout="channel",
        factor="1/C",
        rtol=1e-5,
    ),
    Row(
        f"{M}:FocalLoss(to_onehot_y=True, use_softmax=True, alpha=0.25)",
        f"focal({ALPHA})",
        "softmax",
        "A single alpha means 1 - alpha for class 0 and alpha for every other class.",
        layout="channel",
        factor="1/C",
        rtol=1e-5,
    ),
    Row(
        f"{M}:FocalLoss(to_onehot_y=True, use_softmax=True, weight=[0.5, 2.0, 1.0])",
        'focal(weight=[0.5, 2.0, 1.0], normalizer="count")',
        "softmax",
        layout="channel",
        factor="1/C",
        rtol=1e-5,
    ),
    Row(
        f"{M}:FocalLoss(to_onehot_y=True, use_softmax=True, ignore_index=7)",
        "focal(ignore_index=7)",
        "softmax",
        "Given an ignore_index, MONAI no longer divides by C: the same data costs C times as much.",
        layout="channel",
        ignored=7,
        rtol=1e-5,
    ),
    Row(f"{M}:FocalLoss()", 'focal(link="sigmoid")', "multilabel", rtol=1e-5),
    Row(f"{M}:FocalLoss(alpha=0.25)", 'focal(link="sigmoid", alpha=0.25)', "multilabel", rtol=1e-5),
    Row(
        f"{M}:AsymmetricUnifiedFocalLoss(to_onehot_y=True)",
        UNIFIED,
        "two classes",
        "The asymmetric form, of two classes, as the sum that it is; MONAI averages its focal half over the classes, "
        "the paper adds them up. It takes probabilities. `unified_focal` is the symmetric form.",
        layout="softmax channel",
        rtol=1e-5,
    ),
    Row(
        f"{M}:ContrastiveLoss(temperature=0.5)",
        "info_nce(temperature=0.5)",
        "views",
        "SimCLR's: ours takes both views in one tensor, with labels.",
        layout="two views",
        rtol=1e-5,
    ),
    *(
        Row(f"{M}:{name}", "", remark=remark)
        for name, remark in {
            "GeneralizedWassersteinDiceLoss": "A distance between classes: not in the catalogue.",
            "MCCLoss": "Matthews' correlation as a loss: not in the catalogue.",
            "NACLLoss": "Spatial label smoothing: not in the catalogue.",
            "AUCMLoss": "A min-max problem with parameters of its own; for ranking there is `smooth_ap`.",
            "BarlowTwinsLoss": "A loss of correlations over the batch: not in the catalogue.",
            "PatchAdversarialLoss": "Has an activation of its own before the scores; without it `lsgan`, `hinge_gan` "
            "and `non_saturating_gan` (their least squares have no 1/2: `2*lsgan`).",
            "PerceptualLoss": "Networks of its own; `perceptual` takes yours.",
            "DeepSupervisionLoss": "A sum over resolutions: write it as a sum.",
            "MaskedLoss": "`mask=` of every loss.",
        }.items()
    ),
]
K, RM, RS = "kornia.losses", 'reduction="mean"', 'reduction="sum"'
KORNIA = [
    Row(
        f"{K}:FocalLoss(alpha=None, {RM})",
        "focal",
        "softmax",
        'kornia averages over N C numbers, of which N are not 0. Its default is `reduction="none"`.',
        factor="1/C",
    ),
    Row(
        f"{K}:FocalLoss(alpha=0.25, {RM})",
        f"focal({ALPHA})",
        "softmax",
        "A single alpha means 1 - alpha for class 0 and alpha for every other class.",
        factor="1/C",
    ),
    Row(f"{K}:FocalLoss(alpha=None, {RS}, weight=[0.5, 2.0, 1.0])", f"focal(weight=[0.5, 2.0, 1.0], {RS})", "softmax"),
    Row(
        f"{K}:FocalLoss(alpha=None, {RS})",
        f"focal({RS})",
        "softmax",
        "Sums agree; kornia's mean keeps ignored pixels in the denominator.",
        ignored=-100,
    ),
    Row(f"{K}:BinaryFocalLossWithLogits(alpha=0.25, {RM})", 'focal(link="sigmoid", alpha=0.25)', "multilabel"),
    Row(
        f"{K}:DiceLoss",
        "generalized_cross_entropy(q=1)",
        "overlap",
        '"micro" adds up over the classes before it divides. Under a softmax that is 1 - p of the target, averaged '
        'over pixels: it knows no overlap. Use "macro", or `dice`.',
    ),
    Row(
        f'{K}:DiceLoss(average="macro")',
        "dice(smooth=0)",
        "overlap",
        "Where every class is in every image; kornia leaves absent classes out of the mean, so a false region costs "
        "less.",
    ),
    Row(
        f"{K}:TverskyLoss(alpha=0.3, beta=0.7)", "tversky(alpha=0.3, beta=0.7, smooth=0)", "overlap", 'As "macro" Dice.'
    ),
    Row(f"{K}:LovaszHingeLoss", 'lovasz(link="sigmoid")', "overlap_sigmoid", layout="no channel"),
    Row(f"{K}:LovaszSoftmaxLoss", 'lovasz(classes="all")', "overlap"),
    Row(
        f"{K}:kl_div_loss_2d",
        'kl_div(link="prob")',
        "distributions",
        "A heatmap is a distribution over its pixels.",
        layout="heatmap",
    ),
    Row(f"{K}:js_div_loss_2d", "js_div", "distributions", layout="heatmap"),
    Row(
        f"{K}:CharbonnierLoss", "", remark="sqrt(1 + r^2) - 1: not in the catalogue; `log_cosh` and `huber` are alike."
    ),
    *(
        Row(f"{K}:{name}", "", remark="A redescending loss, flat far away: not in the catalogue.")
        for name in ("WelschLoss", "CauchyLoss", "GemanMcclureLoss")
    ),
]
S, MC, BI = "segmentation_models_pytorch.losses", 'mode="multiclass"', 'mode="binary"'
SMP = [
    Row(
        f"{S}:DiceLoss({MC}, smooth=1.0)",
        'dice(per="batch")',
        "overlap",
        "Over the whole batch. SMP counts an absent class as 0, whatever is predicted there.",
    ),
    Row(
        f"{S}:DiceLoss({BI})",
        'dice(link="sigmoid", per="batch", smooth=0)',
        "overlap_sigmoid",
        "Its default smooth is 0: false pixels on empty masks are free and have no gradient.",
    ),
    Row(
        f"{S}:DiceLoss({MC}, class_weights=[0.5, 2.0, 1.0])",
        'dice(per="batch", smooth=0, weight=[0.5, 2.0, 1.0])',
        "overlap",
    ),
    Row(f"{S}:DiceLoss({MC}, ignore_index=7)", 'dice(per="batch", smooth=0, ignore_index=7)', "overlap", ignored=7),
    Row(f"{S}:JaccardLoss({MC})", 'jaccard(per="batch", smooth=0)', "overlap"),
    Row(
        f"{S}:TverskyLoss({MC}, alpha=0.3, beta=0.7)",
        'tversky(alpha=0.3, beta=0.7, per="batch", smooth=0)',
        "overlap",
        "With gamma: theirs is the power of the mean, `focal_tversky` the mean of powers, of exponent 1 / gamma.",
    ),
    Row(
        f"{S}:LovaszLoss({MC})", 'lovasz(per="batch")', "overlap", "Takes float32 only.", rtol=1e-4, dtype=torch.float32
    ),
    Row(f"{S}:LovaszLoss({MC}, per_image=True)", "lovasz", "overlap", rtol=1e-4, dtype=torch.float32),
    Row(
        f"{S}:LovaszLoss({BI})",
        'lovasz(link="sigmoid", per="batch")',
        "overlap_sigmoid",
        rtol=1e-4,
        dtype=torch.float32,
    ),
    Row(f"{S}:FocalLoss({BI}, alpha=0.25)", 'focal(link="sigmoid", alpha=0.25)', "sigmoid"),
    Row(
        f"{S}:FocalLoss({MC})",
        'focal(link="sigmoid")',
        "softmax one-hot",
        "One-vs-rest sigmoids, not a softmax (SMP#671): the number of `focal` over sigmoids of one-hot targets. For a "
        "softmax use `focal`.",
        layout="indices",
    ),
    Row(
        f"{S}:SoftCrossEntropyLoss(smooth_factor=0.1)",
        "cross_entropy(label_smoothing=0.1)",
        "softmax",
        "Its own default, smooth_factor=None, raises a TypeError; its mean keeps ignored pixels in the denominator.",
    ),
    Row(
        f'{S}:SoftCrossEntropyLoss(smooth_factor=0.1, reduction="sum")',
        'cross_entropy(label_smoothing=0.1, reduction="sum")',
        "softmax",
        ignored=-100,
    ),
    Row(f"{S}:SoftBCEWithLogitsLoss", "bce_with_logits", "multilabel"),
    Row(
        f"{S}:SoftBCEWithLogitsLoss(smooth_factor=0.1)",
        "bce_with_logits(label_smoothing=0.2)",
        "multilabel",
        "Its factor is taken from a label and given to the other: twice that is our epsilon.",
    ),
    Row(f"{S}:MCCLoss", "", remark="Matthews' correlation as a loss: not in the catalogue."),
]
