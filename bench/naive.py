"""Formulas as a user writes them without lossmith: on logits and class indices, or on logits and labels of 0 and 1.

Half precision is made float32 first, as trainers do it with logits of a vocabulary; `focal_torchvision`, like
torchvision, stays in the dtype that it is given.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def one_hot_focal(z: Tensor, y: Tensor) -> Tensor:
    """Focal loss with gamma = 2, as most code on the net has it."""
    logp = F.log_softmax(z.float(), 1)
    hot = F.one_hot(y, z.shape[1]).float()
    return -(hot * (1 - logp.exp()) ** 2 * logp).sum(1).mean()


def log_p(z: Tensor, y: Tensor) -> Tensor:
    """The log-probability of the target."""
    return F.log_softmax(z.float(), 1).gather(1, y[:, None])[:, 0]


def focal(z: Tensor, y: Tensor) -> Tensor:
    """Focal loss with gamma = 2 of the target's probability alone."""
    logp = log_p(z, y)
    return (-((1 - logp.exp()) ** 2) * logp).mean()


def poly(z: Tensor, y: Tensor) -> Tensor:
    """Poly-1 with epsilon = 1."""
    logp = log_p(z, y)
    return (1 - logp.exp() - logp).mean()


def generalized_cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """Generalised cross-entropy with q = 0.7."""
    p = z.float().softmax(1).gather(1, y[:, None])[:, 0]
    return ((1 - p**0.7) / 0.7).mean()


def z_loss(z: Tensor, y: Tensor) -> Tensor:
    """The square of log Z."""
    del y
    return z.float().logsumexp(1).square().mean()


def cross_entropy_and_z(z: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy and 1e-4 of the z-loss."""
    z = z.float()
    return F.cross_entropy(z, y) + 1e-4 * z.logsumexp(1).square().mean()


def balanced(z: Tensor, t: Tensor) -> Tensor:
    """Binary cross-entropy with 3/4 of the weight on positives."""
    return F.binary_cross_entropy_with_logits(z, t, weight=torch.where(t > 0, 0.75, 0.25))


def focal_torchvision(z: Tensor, t: Tensor) -> Tensor:
    """Binary focal loss with alpha = 0.25 and gamma = 2: the formula of torchvision.ops.sigmoid_focal_loss."""
    p = torch.sigmoid(z)
    ce = F.binary_cross_entropy_with_logits(z, t, reduction="none")
    p_t = p * t + (1 - p) * (1 - t)
    loss = ce * ((1 - p_t) ** 2)
    alpha_t = 0.25 * t + (1 - 0.25) * (1 - t)
    return (alpha_t * loss).mean()


def dice(z: Tensor, y: Tensor) -> Tensor:
    """Dice of each sample and class from a softmax and one-hot targets, smoothed by 1 as MONAI's smooth_nr = 2 is."""
    p = z.float().softmax(1)
    t = F.one_hot(y, z.shape[1]).movedim(-1, 1).float()
    axes = tuple(range(2, z.dim()))
    both = (p * t).sum(axes)
    return (1 - (2 * both + 2) / (p.sum(axes) + t.sum(axes) + 2)).mean()


def tversky(z: Tensor, y: Tensor) -> Tensor:
    """Tversky's index of each sample and class with alpha = 0.3 and beta = 0.7, smoothed by 1."""
    p = z.float().softmax(1)
    t = F.one_hot(y, z.shape[1]).movedim(-1, 1).float()
    axes = tuple(range(2, z.dim()))
    both, false, missed = (p * t).sum(axes), (p * (1 - t)).sum(axes), ((1 - p) * t).sum(axes)
    return (1 - (both + 1) / (both + 0.3 * false + 0.7 * missed + 1)).mean()
