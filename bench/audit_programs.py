"""Programs of a few lines that show a defect by the library alone; what they print is printed beside them."""

import contextlib
import importlib
import io
import warnings
from dataclasses import dataclass

from bench import peers


@dataclass(frozen=True)
class Program:
    """A program, the package it is about, and what it shows."""

    package: str
    says: str
    code: str


def run(program: Program) -> str:
    """What the program prints."""
    peers.prepare(program.package)
    importlib.import_module(program.package)  # some print when they are imported
    with contextlib.redirect_stdout(io.StringIO()) as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(program.code, {"__name__": "program"})  # our own text, a few lines above
    return out.getvalue().strip()


PROGRAMS = (
    Program(
        "torch",
        "torch: class weights inside label smoothing move the minimum: the best p(y = 0) is 0.15, not 0.95.",
        """
import torch; z = torch.arange(-4, 8, 0.1).unsqueeze(1) * torch.tensor([1.0, 0.0])
loss = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 100.0]), label_smoothing=0.1, reduction="none")
print(round(float(z[loss(z, torch.zeros(120, dtype=torch.long)).argmin()].softmax(0)[0]), 2))
""",
    ),
    Program(
        "torch",
        "torch: the multi-class hinge takes NaN for a perfect score.",
        """
import torch
loss = torch.nn.MultiMarginLoss()
print(loss(torch.tensor([[torch.nan, torch.nan, torch.nan]]), torch.tensor([0])).item())
""",
    ),
    Program(
        "torch",
        "torch: the soft margin loss, log(1 + exp(-m)), overflows where its value is 100.",
        """
import torch
loss = torch.nn.SoftMarginLoss()
print(loss(torch.tensor([-100.0]), torch.tensor([1.0])).item())
""",
    ),
    Program(
        "torchvision",
        "torchvision: one example that is right beyond doubt makes the gradient of all NaN, for any gamma below 1.",
        """
import torch; from torchvision.ops.focal_loss import sigmoid_focal_loss as loss
z = torch.tensor([20.0, 0.0], requires_grad=True)
loss(z, torch.ones(2), gamma=0.5, reduction="mean").backward(); print(z.grad)
""",
    ),
    Program(
        "monai",
        "MONAI: naming a class to ignore, which does not occur, makes the loss three times as large.",
        """
import torch; from monai.losses import FocalLoss; z, y = torch.zeros(4, 3), torch.tensor([[0], [1], [2], [0]])
make = lambda **o: FocalLoss(to_onehot_y=True, use_softmax=True, **o)
print(make()(z, y).item(), make(ignore_index=255)(z, y).item())
""",
    ),
    Program(
        "monai",
        "MONAI: without the background, the background's logit is dropped before the softmax and learns nothing.",
        """
import torch; from monai.losses import FocalLoss; z = torch.zeros(2, 3, requires_grad=True)
loss = FocalLoss(to_onehot_y=True, use_softmax=True, include_background=False)
loss(z, torch.tensor([[0], [1]])).backward(); print(z.grad[:, 0])
""",
    ),
    Program(
        "kornia",
        "kornia: at gamma = 0 the focal loss over three classes is a third of cross-entropy.",
        """
import torch; from kornia.losses import FocalLoss; z, y = torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])
loss = FocalLoss(alpha=None, gamma=0.0, reduction="mean")
print(loss(z, y).item(), torch.nn.functional.cross_entropy(z, y).item())
""",
    ),
    Program(
        "kornia",
        "kornia: the default Dice loss is 1 minus the mean probability of the right class, whatever overlaps.",
        """
import torch; from kornia.losses import DiceLoss; z, y = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
loss = DiceLoss()
print(bool((loss(z, y) - (1 - z.softmax(1).gather(1, y[:, None]).mean())).abs() < 1e-6))
""",
    ),
    Program(
        "segmentation_models_pytorch",
        'segmentation-models-pytorch: the "multiclass" focal loss is not one of a softmax: a constant added to all '
        "logits changes it.",
        """
import torch; from segmentation_models_pytorch.losses import FocalLoss
loss = FocalLoss("multiclass", gamma=0.0); z, y = torch.zeros(1, 3), torch.tensor([0])
print(loss(z, y).item(), loss(z + 10, y).item())
""",
    ),
    Program(
        "segmentation_models_pytorch",
        "segmentation-models-pytorch: on an image without the object, predicting it everywhere costs 0.",
        """
import torch; from segmentation_models_pytorch.losses import DiceLoss
loss = DiceLoss("binary")
print(loss(torch.full((1, 1, 8, 8), 20.0), torch.zeros(1, 1, 8, 8)).item())
""",
    ),
    Program(
        "segmentation_models_pytorch",
        "segmentation-models-pytorch: SoftCrossEntropyLoss does not work with its own defaults.",
        """
import torch; from segmentation_models_pytorch.losses import SoftCrossEntropyLoss
try: SoftCrossEntropyLoss()(torch.zeros(1, 3), torch.tensor([0]))
except TypeError as error: print(error)
""",
    ),
    Program(
        "timm",
        "timm: a present label that is wrong by 40 logits no longer pulls.",
        """
import torch; from timm.loss import AsymmetricLossMultiLabel; z = torch.tensor([[-40.0]], requires_grad=True)
AsymmetricLossMultiLabel()(z, torch.ones(1, 1)).backward()
print(z.grad.item())
""",
    ),
    Program(
        "keras",
        "Keras: from logits too, probabilities are clipped: an example wrong by 40 logits has gradient 0.",
        """
import os; os.environ["KERAS_BACKEND"] = "torch"; import keras, torch
z = torch.tensor([[0.0, 40.0]], requires_grad=True)
keras.losses.CategoricalFocalCrossentropy(from_logits=True)(torch.tensor([[1.0, 0.0]]), z).backward(); print(z.grad)
""",
    ),
    Program(
        "keras",
        "Keras: Tversky's alpha and beta are swapped. TP 2, FP 1, FN 2 with alpha 0.9, beta 0.1 is 1 - 2/3.1 = 0.3548.",
        """
import os; os.environ["KERAS_BACKEND"] = "torch"; import keras, torch
loss = keras.losses.Tversky(alpha=0.9, beta=0.1)
print(loss(torch.tensor([1.0, 1, 1, 1, 0]), torch.tensor([1.0, 1, 0, 0, 1])).item())
""",
    ),
    Program(
        "keras",
        "Keras: an empty mask that is predicted empty costs 1, as much as the worst answer.",
        """
import os; os.environ["KERAS_BACKEND"] = "torch"; import keras, torch
loss = keras.losses.Dice()
print(loss(torch.zeros(1, 8, 8, 1), torch.zeros(1, 8, 8, 1)).item())
""",
    ),
    Program(
        "optax",
        "optax: its generalised Dice is a weighted mean of ratios; Sudre's ratio of weighted sums is another number.",
        """
import jax.numpy as np, optax; p = np.array([[[[0.9, 0.1]], [[0.8, 0.2]], [[0.6, 0.4]]]])
t = np.array([[[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]]])
w = np.array([0.25, 1.0]); tp, size = (p * t).sum((0, 1, 2)), (p + t).sum((0, 1, 2))
print(float(optax.losses.multiclass_generalized_dice_loss(p, t, smooth=0.0, apply_softmax=False)))
print(float(1 - 2 * (w * tp).sum() / (w * size).sum()))
""",
    ),
    Program(
        "balanced_loss",
        "balanced-loss: the focal modulator overflows where a positive is wrong by 89 logits.",
        """
import torch; from balanced_loss import Loss; z = torch.tensor([[-89.0, 0.0]], requires_grad=True)
Loss(loss_type="focal_loss")(z, torch.tensor([0])).backward()
print(z.grad)
""",
    ),
    Program(
        "imbalanced_losses",
        "imbalanced-losses: two ranks (here two processes of the audit) have half the gradient of one.",
        """
from lossmith.audit import audit
found = audit("imbalanced_losses:SoftmaxFocalLoss", kind="softmax", only=["equal_ranks_average"])
print(found.failures[0].seen)
""",
    ),
)
