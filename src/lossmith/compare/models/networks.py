"""Small networks for images of 28 to 64 pixels: a convolutional one for classes, a U-Net for every pixel.

They norm over groups of channels and not over the batch, so that a row's output depends on that row alone, however a
remedy has drawn the batch. Pixels go in as they are kept, [N, height, width, channels]: bytes as numbers from 0 to 1,
floats as they are.
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 4
CNN_WIDTHS = (16, 32, 64, 64)
LAST = 4  # about the height and width at which the convolutions end
CNN_POOLED = 32  # the largest images whose first layer looks at every pixel
UNET_WIDTHS = (8, 16, 32, 64)


def cnn(channels: int, size: int, outputs: int, seed: int) -> nn.Module:
    """Convolutions that halve images of about `size` pixels until few are left, and a linear layer: [N, outputs].

    The initial weights depend on the seed alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConvolutionalNetwork(channels, size, outputs)


def unet(channels: int, outputs: int, seed: int, size: int) -> nn.Module:
    """A U-Net as deep as `size` asks for: [N, outputs, height, width] for images of any height and width from 8 on.

    The initial weights depend on the seed alone. Source: Ronneberger et al., "U-Net", arXiv 1505.04597, with the edges
    of the images repeated instead of cut off.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(channels, outputs, halvings(size, len(UNET_WIDTHS) - 1))


def halvings(size: int, most: int) -> int:
    """How often a size is halved to come near the last one.

    >>> [halvings(size, 4) for size in (8, 28, 64, 512)]
    [2, 3, 4, 4]
    """
    return min(most, max(2, round(math.log2(size / LAST))))


def channels_first(images: Tensor) -> Tensor:
    """[N, height, width, channels] of bytes or floats as [N, channels, height, width] of floats near -1 to 1."""
    numbers = images.float() / 255 if images.dtype == torch.uint8 else images
    return numbers.permute(0, 3, 1, 2).contiguous() * 2 - 1


def convolution(inputs: int, outputs: int, pool: int = 1, stride: int = 1) -> nn.Sequential:
    """A convolution of 3 x 3 pixels, its largest values within `pool` x `pool` pixels if asked for, normed."""
    convolve = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    # Pooled first, as the norm takes as long as the convolution, and then has a quarter of the pixels.
    pooled = [nn.MaxPool2d(pool)] if pool > 1 else []
    return nn.Sequential(convolve, *pooled, nn.GroupNorm(GROUPS, outputs), nn.ReLU(inplace=True))


class ConvolutionalNetwork(nn.Module):
    """See `cnn`."""

    def __init__(self, channels: int, size: int, outputs: int) -> None:
        super().__init__()
        widths = [channels, *CNN_WIDTHS[: halvings(size, len(CNN_WIDTHS))]]
        # Of large images most of the time goes into the first layer, so that one skips pixels and does not pool.
        first = convolution(widths[0], widths[1], *((1, 2) if size > CNN_POOLED else (2, 1)))
        self.layers = nn.Sequential(first, *(convolution(a, b, pool=2) for a, b in itertools.pairwise(widths[1:])))
        self.last = nn.Linear(widths[-1] * (LAST // 2) ** 2, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """The logits, [N, outputs]."""
        x = F.adaptive_avg_pool2d(self.layers(channels_first(images)), LAST // 2)
        logits: Tensor = self.last(x.flatten(1))
        return logits


class UNet(nn.Module):
    """See `unet`."""

    def __init__(self, channels: int, outputs: int, depth: int) -> None:
        super().__init__()
        widths = UNET_WIDTHS[: depth + 1]
        self.multiple = 2**depth
        self.down = nn.ModuleList(
            nn.Sequential(convolution(a, b), convolution(b, b))
            for a, b in zip((channels, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(convolution(a + b, a) for a, b in itertools.pairwise(widths))
        self.last = nn.Conv2d(widths[0], outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        """The logits of every pixel, [N, outputs, height, width]."""
        height, width = images.shape[1:3]
        bottom, right = -height % self.multiple, -width % self.multiple
        x = F.pad(channels_first(images), (0, right, 0, bottom), mode="replicate")
        passed = []
        for step, layer in enumerate(self.down):
            x = layer(F.max_pool2d(x, 2) if step else x)
            passed.append(x)
        for layer, beside in zip(reversed(self.up), reversed(passed[:-1]), strict=True):
            x = layer(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), beside], dim=1))
        logits: Tensor = self.last(x)[:, :, :height, :width]
        return logits
