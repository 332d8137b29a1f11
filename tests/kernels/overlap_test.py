"""The kernel of the overlap family against sums written out in float64, whatever the blocks, and against mpmath."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import lossmith
from lossmith.kernels import overlap
from tests.losses.oracle import FLOOR, RTOL, mp

SAMPLES, CLASSES, PIXELS = 5, 3, 7
CASES = list(product(overlap.LINKS, ("index", "share")))
BLOCKS = {  # numbers in a block, and the sizes of the blocks in samples and pixels
    2 * CLASSES * PIXELS: [(2, 7), (2, 7), (1, 7)],
    3 * CLASSES: [(1, 3), (1, 3), (1, 1)] * SAMPLES,
    1: [(1, 1)] * (SAMPLES * PIXELS),
    overlap.BLOCK: [(SAMPLES, PIXELS)],
}


def written_out(
    z: Tensor, target: Tensor, link: str, squared: bool, weight: Tensor | None, keep: Tensor | None
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The counts as their definition has them, of logits [N, C, *]."""

    def along_classes(x: Tensor) -> Tensor:
        return x.expand(z.shape) if x.dim() == z.dim() else x.unsqueeze(1).expand(z.shape)

    def sums(z: Tensor) -> tuple[Tensor, Tensor]:
        z = z.to(torch.promote_types(z.dtype, torch.float32))
        z = z if keep is None else torch.where(along_classes(keep), z, 0.0)
        p = z.softmax(1) if link == "softmax" else z.sigmoid()
        t = target.to(z.dtype)
        if target.dim() < z.dim():
            t = torch.nn.functional.one_hot(target.long(), z.shape[1]).movedim(-1, 1).to(z.dtype)
        v = torch.ones_like(z) if weight is None else along_classes(weight).to(z.dtype)
        v = v if keep is None else v * along_classes(keep)
        false, missed = ((p - t) ** 2 * (1 - t), (p - t) ** 2 * t) if squared else (p * (1 - t), (1 - p) * t)
        total = torch.stack([(v * p * t).flatten(2).sum(2), *((v * x).flatten(2).sum(2) for x in (false, missed))])
        return total, v.flatten(2).sum(2)

    return sums


def draw(
    link: str, kind: str, weighed: str, masked: bool, shape: tuple[int, ...] = (SAMPLES, CLASSES, PIXELS), seed: int = 0
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Logits, target, weights and what is to be kept; a NaN where nothing is."""
    generator = torch.Generator().manual_seed(seed)
    z = 3 * torch.randn(*shape, generator=generator, dtype=torch.float64)
    units = shape if link == "sigmoid" else (shape[0], *shape[2:])
    if kind == "index":
        target = torch.randint(0, shape[1] if link == "softmax" else 2, units, generator=generator)
    else:
        target = torch.rand(*shape, generator=generator, dtype=torch.float64)
    keep = torch.rand(*units, generator=generator) < 0.7 if masked else None
    weight = 2 * torch.rand(*units, generator=generator, dtype=torch.float64) if weighed else None
    if keep is not None:
        z = torch.where(keep if link == "sigmoid" else keep.unsqueeze(1), z, torch.nan)
    return z, target, weight, keep


def both(
    z: Tensor, target: Tensor, link: str, weight: Tensor | None, keep: Tensor | None, squared: bool, block: int
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Counts, weight seen and gradient of the kernel and of the sums written out, for one upstream gradient."""
    plain = written_out(z, target, link, squared, weight, keep)
    found = []
    for fast in (True, False):
        leaf = z.clone().requires_grad_()
        options: dict[str, Any] = {"squared": squared, "weight": weight, "keep": keep, "block": block}
        total, seen = overlap.counts(leaf, target, link, plain, **options) if fast else plain(leaf)
        upstream = torch.randn(total.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
        found.append((total, seen, torch.autograd.grad(total, leaf, upstream.to(total))[0]))
    return found


def agree(found: list[tuple[Tensor, Tensor, Tensor]], rtol: float = 1e-12) -> None:
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize(("link", "kind"), CASES)
def test_counts_and_gradient(link: str, kind: str, weighed: bool, masked: bool, squared: bool, block: int) -> None:
    z, target, weight, keep = draw(link, kind, weighed, masked)
    agree(both(z, target, link, weight, keep, squared, block))


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_are_what_these_tests_say(block: int) -> None:
    z = torch.zeros(SAMPLES, CLASSES, PIXELS)
    blocks = overlap._cut(z, overlap._size(z, block))
    assert [(len(x), x.shape[2]) for x in blocks] == BLOCKS[block]


@pytest.mark.parametrize("link", overlap.LINKS)
def test_any_layout(link: str) -> None:
    """Channels last, a transposed picture, a slice; and volumes."""
    z, target, weight, keep = draw(link, "index", True, True, (4, 3, 5, 6))
    for turned in (
        z.contiguous(memory_format=torch.channels_last),
        z.mT.contiguous().mT,
        torch.stack([z, z], -1)[..., 0],
    ):
        assert not turned.is_contiguous()
        agree(both(turned, target, link, weight, keep, False, 40))
    agree(
        both(
            *((x.unsqueeze(-2) if x is not None else x) for x in (z, target)), link, None, keep.unsqueeze(-2), True, 40
        )
    )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.bool])
def test_narrow_targets(dtype: torch.dtype) -> None:
    z, target, weight, keep = draw("sigmoid", "index", False, False)
    agree(both(z, target.to(dtype), "sigmoid", weight, keep, False, 9))
    if dtype != torch.bool:
        z, target, weight, keep = draw("softmax", "index", False, False)
        agree(both(z, target.to(dtype), "softmax", weight, keep, False, 9))


@pytest.mark.parametrize("classes", [255, 256, 300])
def test_many_classes(classes: int) -> None:
    z, target, weight, keep = draw("softmax", "index", True, True, (3, classes, 40))
    assert target.max() > 250
    agree(both(z, target, "softmax", weight, keep, False, 4 * classes))


@pytest.mark.parametrize("link", overlap.LINKS)
def test_half_precision_is_widened_and_rounded_once(link: str) -> None:
    z, target, weight, keep = draw(link, "index", True, True)
    weight = weight.float()
    half = z.bfloat16()
    (total, seen, gradient), _ = both(half, target, link, weight, keep, False, 9)
    (wide, wide_seen, slopes), _ = both(half.float(), target, link, weight, keep, False, 9)
    assert total.dtype == torch.float32
    assert gradient.dtype == torch.bfloat16
    assert torch.equal(total, wide)
    assert torch.equal(seen, wide_seen)
    assert torch.equal(gradient, slopes.bfloat16())


# Edges ---------------------------------------------------------------------------------------------------------------
def slopes(z: list[float], g: list[Any]) -> list[tuple[Any, Any]]:
    """The gradient of ``sum_k g_k p_k`` in each logit of a pixel, and the size of what it is the sum of."""
    powers = [mp.exp(mp.mpf(x) - max(z)) for x in z]
    p, places = [x / mp.fsum(powers) for x in powers], range(len(z))
    each = [
        [(p[k] * p[j] * (g[k] - g[j]), p[k] * p[j] * (abs(g[k]) + abs(g[j]))) for j in places if j != k] for k in places
    ]
    return [(mp.fsum(a for a, _ in row), mp.fsum(b for _, b in row)) for row in each]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("block", [6, overlap.BLOCK])
def test_digits_remain_where_p_rounds_to_1_or_0(block: int, dtype: torch.dtype) -> None:
    """Confident pixels, right and wrong, logits far off 0 and beyond the range of exp, one picture for each."""
    pixels = [[0.0, 40.0, 0.0], [60.0, 0.0, 59.0], [-100.0, -140.0, -99.0], [30.0, -30.0, 5.0], [1e4, 0.0, -1e4]]
    pixels += [[-1e4, -1e4 + 20, -1e4], [88.0, 89.0, 100.0], [-70.0, -71.0, -74.0], [-84.0, -101.0, -86.0]]
    pixels += [[17.0, -17.0, 0.0], [0.0, -84.0, 1.0]]
    z = torch.tensor(pixels, dtype=dtype)[..., None].requires_grad_()
    upstream = [[3.0, -2.0, 0.5], [1.0, 5.0, -0.25], [-4.0, 0.75, 2.0]]
    grads = torch.tensor(upstream, dtype=dtype)[:, None].expand(3, len(pixels), 3)
    for y in range(3):
        target = torch.full((len(pixels), 1), y)
        total, _ = overlap.counts(
            z, target, "softmax", written_out(z, target, "softmax", False, None, None), block=block
        )
        (gradient,) = torch.autograd.grad(total, z, grads)
        g = [mp.mpf(upstream[0][k] - upstream[2][k] if k == y else upstream[1][k]) for k in range(3)]
        for row, pixel in zip(gradient[..., 0].tolist(), pixels, strict=True):
            for got, (want, size) in zip(row, slopes(pixel, g), strict=True):
                assert abs(got - want) <= RTOL[dtype] * size + FLOOR, (pixel, y)


@pytest.mark.parametrize("size", [20.0, 40.0, 80.0, 1e4])
def test_digits_of_labels(size: float) -> None:
    z = torch.tensor([size, -size]).view(1, 1, 2).requires_grad_()
    target = torch.tensor([0.0, 1.0]).view(1, 1, 2)
    total, _ = overlap.counts(z, target, "sigmoid", written_out(z, target, "sigmoid", False, None, None))
    (gradient,) = torch.autograd.grad(total, z, torch.tensor([1.0, 2.0, 4.0]).view(3, 1, 1))
    p = mp.exp(-size) / (1 + mp.exp(-size)) ** 2  # p (1 - p), at either end
    assert gradient.flatten().tolist() == pytest.approx([float(2 * p), float(-3 * p)], rel=1e-5, abs=1e-37)


def test_powers_whose_sum_has_no_reciprocal() -> None:
    """Above 8e37 it is below the normal numbers, which some programs flush to 0."""
    z = torch.tensor([87.5, 87.0, 86.0]).view(1, 3, 1)
    y = torch.zeros(1, 1).long()
    plain = written_out(z, y, "softmax", False, None, None)
    try:
        assert torch.set_flush_denormal(True)
        total, _ = overlap.counts(z, y, "softmax", plain)
    finally:
        torch.set_flush_denormal(False)
    torch.testing.assert_close(total, plain(z)[0])


def test_rounding_leaves_no_negative_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """More was found than is there, by the last digit of a sum."""
    z, y = torch.zeros(1, 2, 4), torch.zeros(1, 4).long()
    there = torch.full((1, 2), 2.0)
    monkeypatch.setattr(overlap._Pictures, "counted", lambda *_: (torch.nextafter(there, there + 1), there, there))
    total, _ = overlap.counts(z, y, "softmax", written_out(z, y, "softmax", False, None, None))
    assert (total[1:] == 0).all()


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 3, 0), (0, 3, 0), (2, 0, 4)])
@pytest.mark.parametrize("link", overlap.LINKS)
def test_nothing_is_a_zero(link: str, shape: tuple[int, ...]) -> None:
    if link == "softmax" and shape[1] == 0:
        return
    z, target, _, _ = draw(link, "index", False, False, (*shape[:1], max(shape[1], 1), *shape[2:]))
    z, target = z[:, : shape[1]].requires_grad_(), target if link == "softmax" else target[:, : shape[1]]
    total, seen = overlap.counts(z, target, link, written_out(z, target, link, False, None, None))
    assert total.shape == (3, *shape[:2])
    assert seen.shape == shape[:2]
    assert torch.autograd.grad(total.sum(), z)[0].shape == z.shape


@pytest.mark.parametrize("link", overlap.LINKS)
def test_what_is_hidden_is_never_seen(link: str) -> None:
    z, target, _, _ = draw(link, "index", False, False)
    for spoilt in (torch.nan, torch.inf, -torch.inf, 1e300):
        leaf = torch.full_like(z, spoilt).requires_grad_()
        keep = torch.zeros(target.shape).bool()
        reference = written_out(z, target, link, False, None, keep)
        total, seen = overlap.counts(leaf, target, link, reference, keep=keep, block=9)
        assert (total == 0).all()
        assert (seen == 0).all()
        assert (torch.autograd.grad(total.sum(), leaf)[0] == 0).all()


# Autograd ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize(("link", "kind"), CASES)
def test_first_and_second_derivatives(link: str, kind: str, squared: bool) -> None:
    z, target, weight, keep = draw(link, kind, True, False, (2, 3, 4))
    reference = written_out(z, target, link, squared, weight, keep)

    def total(z: Tensor) -> Tensor:
        return overlap.counts(z, target, link, reference, squared=squared, weight=weight, keep=keep, block=9)[0]

    leaf = z.clone().requires_grad_()
    assert torch.autograd.gradcheck(total, (leaf,))
    assert torch.autograd.gradgradcheck(total, (leaf,))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("link", overlap.LINKS)
def test_a_second_backward_gives_the_same(link: str, dtype: torch.dtype) -> None:
    z, target, weight, keep = draw(link, "index", True, True)
    given = [z.to(dtype).requires_grad_(), target, weight, keep]
    before = [(x.clone(), x._version) for x in given]
    total, _ = overlap.counts(
        *given[:2], link, written_out(*given[:2], link, False, weight, keep), weight=weight, keep=keep
    )
    upstream = torch.rand(total.shape, generator=torch.Generator().manual_seed(1)).to(total)
    (first,) = torch.autograd.grad(total, given[0], upstream, retain_graph=True)
    kept = first.clone()
    (doubled,) = torch.autograd.grad(total, given[0], 2 * upstream, retain_graph=True)
    (again,) = torch.autograd.grad(total, given[0], upstream)
    assert torch.equal(first, kept)
    torch.testing.assert_close(doubled, 2 * first)
    torch.testing.assert_close(again, first)
    for x, (copy, version) in zip(given, before, strict=True):
        assert torch.equal(x.nan_to_num(), copy.nan_to_num())
        assert x._version == version


class _Largest(TorchDispatchMode):
    """The sizes of what operations allocate, views left out."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, tuple | list) else [result]:
            if isinstance(x, Tensor):
                storage = x.untyped_storage()
                self.sizes[storage.data_ptr()] = max(storage.nbytes(), self.sizes.get(storage.data_ptr(), 0))
        return result


@pytest.mark.parametrize("gradient", ["none", "not now", "yes"])
@pytest.mark.parametrize("link", overlap.LINKS)
def test_nothing_but_the_gradient_is_as_large_as_the_logits(link: str, gradient: str) -> None:
    """No one-hot target, no probabilities beside the gradient: all else is of the size of a block."""
    z, target, *_ = draw(link, "index", False, False, (4, 3, 64, 64))
    z.requires_grad_(gradient != "none")
    given = {x.untyped_storage().data_ptr() for x in (z, target)}
    with _Largest() as largest, torch.set_grad_enabled(gradient == "yes"):
        total, _ = overlap.counts(z, target, link, written_out(z, target, link, False, None, None), block=300)
        if gradient == "yes":
            torch.autograd.grad(total.sum(), z)
    large = [size for pointer, size in largest.sizes.items() if pointer not in given and size > 2 * z.numel()]
    assert large == [8 * z.numel()] * (gradient == "yes")


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own
@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_batches_of_gradients_and_forward_mode(link: str) -> None:
    loss, z = lossmith.DiceLoss(link=link, reduction="none"), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    target = torch.randint(0, 3, (2, 4, 5)) if link == "softmax" else torch.rand(2, 3, 4, 5).round().double()
    slopes = torch.autograd.functional.jacobian(lambda z: loss(z, target), z)
    both = torch.autograd.functional.jacobian(lambda z: loss(z, target), z, vectorize=True)
    torch.testing.assert_close(both, slopes)
    change = torch.randn_like(z)
    _, along = torch.func.jvp(lambda z: loss(z, target), (z,), (change,))
    torch.testing.assert_close(along, (slopes * change).flatten(along.dim()).sum(-1))
