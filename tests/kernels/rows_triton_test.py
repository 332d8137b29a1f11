"""The Triton kernels for rows of logits, against float64 torch and mpmath.

On a GPU they run as they are. Elsewhere Triton's interpreter runs them on CPU tensors, in a process of its own: it has
to be asked for before Triton is imported.
"""

import os
import subprocess
import sys
from pathlib import Path

import mpmath
import pytest
import torch

from lossmith.kernels.rows_triton import backward, forward

triton = pytest.importorskip("triton", reason="Triton is not installed")

OLD = tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 7)  # triton#9171
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
HALF = (torch.bfloat16, torch.float16)
SHAPES = {
    "two classes": (5, 2, 1),
    "a small table": (70, 7, 1),
    "few classes in two tiles of rows": (300, 10, 1),
    "one row of lanes that are classes": (3, 257, 1),
    "a ragged tile": (3, 1000, 1),
    "tiles, the last of them ragged": (2, 20_001, 1),
    "whole tiles": (2, 16_384, 1),
    "one class": (4, 1, 1),
    "pixels": (2, 3, 230),
    "pixels of many classes": (1, 300, 65),
    "a sequence with the classes before it": (2, 5000, 3),
}


@pytest.fixture
def runs():
    if not INTERPRETED and not torch.cuda.is_available():
        pytest.skip("no GPU: test_in_the_interpreter runs it in a process of its own")


def logits(*shape, dtype=torch.float32, spread=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(shape, generator=generator) * spread
    return z.to(DEVICE, dtype), torch.randint(shape[1], (shape[0], shape[2]), generator=generator).to(DEVICE)


def expected(z, index):
    """Log p of the targets, the mean log p and logsumexp, by torch in float64."""
    z = z.double()
    logp = z.log_softmax(1)
    return logp.gather(1, index.unsqueeze(1)).squeeze(1), logp.mean(1), z.logsumexp(1)


def gradient(z, index, upstream):
    z = z.double().detach().requires_grad_()
    terms = [(x * g.double()).sum() for x, g in zip(expected(z, index), upstream, strict=True) if g is not None]
    return torch.autograd.grad(sum(terms), z)[0]


def random_like(x, seed=1):
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x)


def assert_statistic(saved, z, index):
    tiny = 1e-12 if z.dtype == torch.float64 else 3e-6
    logp, mean_logp, lse = expected(z, index)
    for found, wanted in [
        (saved.logp, logp), (saved.rest, -logp.expm1()), (saved.mean_logp, mean_logp), (saved.lse, lse),
        (saved.top + saved.log_sum, lse),
    ]:  # fmt: skip
        assert found.dtype == torch.promote_types(z.dtype, torch.float32)
        torch.testing.assert_close(found.double(), wanted, rtol=tiny, atol=tiny)


def assert_gradient(dz, z, wanted):
    """Right to the last digit of the dtype of z; the interpreter cuts bfloat16 off instead of rounding it."""
    assert (dz.shape, dz.dtype) == (z.shape, z.dtype)
    tiny = 1e-12 if z.dtype == torch.float64 else 3e-6
    cut = INTERPRETED and z.dtype == torch.bfloat16
    rounded = torch.finfo(z.dtype).eps * (1 if cut else 0.51) if z.dtype in HALF else 0
    torch.testing.assert_close(dz.double(), wanted, rtol=rounded + tiny, atol=tiny)


def assert_right(z, index):
    before = z.clone()
    saved = forward(z, index, None, True)
    assert_statistic(saved, z, index)
    upstream = [random_like(saved.logp, seed) for seed in (1, 2, 3)]
    assert_gradient(backward(z, index, None, saved, *upstream), z, gradient(z, index, upstream))
    assert torch.equal(z, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_value_and_gradient(runs, shape, dtype):
    assert_right(*logits(*shape, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(70, 7, 1), (2, 20_001, 1), (1, 300, 65)])
def test_in_other_precisions(runs, shape, dtype):
    assert_right(*logits(*shape, dtype=dtype))


@pytest.mark.parametrize("chosen", [(), (0,), (2,), (0, 1), (1, 2)], ids=str)
@pytest.mark.parametrize("shape", [(3, 7, 5), (2, 5000, 1)])
def test_some_of_the_gradients(runs, shape, chosen):
    z, index = logits(*shape)
    saved = forward(z, index, None, True)
    some = [random_like(saved.logp, i) if i in chosen else None for i in range(3)]
    wanted = gradient(z, index, some) if chosen else torch.zeros_like(z).double()
    assert_gradient(backward(z, index, None, saved, *some), z, wanted)


LAYOUTS = {
    "classes last": lambda z: z.permute(0, 2, 1).contiguous().permute(0, 2, 1),
    "rows last of all": lambda z: z.permute(1, 2, 0).contiguous().permute(2, 0, 1),
    "batch in the middle": lambda z: z.permute(1, 0, 2).contiguous().permute(1, 0, 2),
    "some of the classes of a longer row": lambda z: torch.cat([z, z], 1)[:, : z.shape[1]],
    "every other class": lambda z: z.repeat_interleave(2, 1)[:, ::2],
    "the same logits for all": lambda z: z[:1, :, :1].expand(z.shape),
}


@pytest.mark.parametrize("shape", [(2, 5, 70), (3, 300, 4), (3, 9000, 1)])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout(runs, layout, shape):
    z, index = logits(*shape)
    assert_right(layout(z), index)


@pytest.mark.parametrize("shape", [(4, 7, 150), (5, 9000, 1), (70, 3, 1)])
def test_hidden_rows_are_not_looked_at(runs, shape):
    z, index = logits(*shape)
    saved = forward(z, index, None, True)
    upstream = [random_like(saved.logp, seed) for seed in (1, 2, 3)]
    dz = backward(z, index, None, saved, *upstream)
    keep = random_like(saved.logp) > 0
    keep[0], keep[1] = False, True
    hidden = ~keep.unsqueeze(1).expand(shape)
    z[hidden], index[~keep] = float("nan"), -100
    for g in upstream:
        g[~keep] = float("nan")
    some = forward(z, index, keep, True)
    equal = expected(torch.zeros(1, shape[1], 1), torch.zeros(1, 1, dtype=torch.int64))
    for found, all_, hid in zip(some[:4], saved[:4], (equal[0], -equal[0].expm1(), equal[1], equal[2]), strict=True):
        assert torch.equal(found[keep], all_[keep])
        torch.testing.assert_close(found[~keep], hid.to(found).flatten().expand(int((~keep).sum())))
    masked = backward(z, index, keep, some, *upstream)
    assert torch.equal(masked[~hidden], dz[~hidden])
    assert (masked[hidden] == 0).all()


def test_where_all_is_hidden(runs):
    z, index = logits(3, 9000, 1)
    z[:] = float("nan")
    keep = torch.zeros_like(index, dtype=torch.bool)
    saved = forward(z, index, keep, True)
    assert all(x.isfinite().all() for x in saved)
    assert (backward(z, index, keep, saved, *[random_like(saved.logp)] * 3) == 0).all()


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # numpy's, on the way to -inf
@pytest.mark.parametrize("shape", [(3, 6, 5), (3, 9000, 1), (9, 6, 1)])
def test_classes_that_are_ruled_out(runs, shape):
    z, index = logits(*shape)
    rows = shape[1] // 2
    index[:] = shape[1] - 1
    z[:, :rows] = -torch.inf
    z[1, -1] = -torch.inf  # a target, too
    z[2, :-1] = -torch.inf  # all but the target
    saved = forward(z, index, None, True)
    logp, _, lse = expected(z, index)
    torch.testing.assert_close(saved.logp.double(), logp, rtol=3e-6, atol=3e-6)
    torch.testing.assert_close(saved.lse.double(), lse, rtol=3e-6, atol=3e-6)
    assert (saved.mean_logp == -torch.inf).all()
    upstream = [random_like(saved.logp, seed) for seed in (1, 2, 3)]
    a, b, c = (g.double().unsqueeze(1) for g in upstream)
    p, one = z.double().softmax(1), torch.zeros_like(z, dtype=torch.float64).scatter(1, index.unsqueeze(1), 1.0)
    dz = backward(z, index, None, saved, *upstream)
    assert_gradient(dz, z, a * (one - p) + b * (1 / shape[1] - p) + c * p)  # autograd's own has NaN


def test_targets_outside_the_classes_are_impossible(runs):
    z, _ = logits(3, 6, 5)
    saved = forward(z, torch.full((3, 5), 6, device=DEVICE), None, False)
    assert (saved.logp == -torch.inf).all()
    assert (saved.rest == 1).all()


def test_all_classes_ruled_out_is_no_nan(runs):
    z, index = logits(2, 300, 1)
    z[:] = -torch.inf
    saved = forward(z, index, None, False)
    assert (saved.logp == -torch.inf).all()
    assert backward(z, index, None, saved, torch.ones_like(saved.logp), None, None).isfinite().all()


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")  # numpy's
@pytest.mark.parametrize("where", [0, 1, 8999])
@pytest.mark.parametrize("shape", [(2, 9000, 1), (2, 9000, 3)])
def test_nan_goes_through(runs, shape, where):
    z, index = logits(*shape)
    index[:] = 1
    z[0, where] = float("nan")
    saved = forward(z, index, None, True)
    for x in (saved.logp, saved.mean_logp, saved.lse):
        assert x[0].isnan().all()
        assert x[1].isfinite().all()


EDGES = [0.0, -0.0, 1e-45, 1e-7, 1.0, -1.0, 5.0, 17.0, -17.0, 40.0, -89.0, 89.0, 200.0, 1e4, -1e4]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("shape", [(64, 3, 1), (8, 9000, 1), (2, 5, 40), (2, 700, 20)])
def test_the_edge_table(runs, shape, seed):
    generator = torch.Generator().manual_seed(seed)
    _, index = logits(*shape, seed=seed)
    picks = torch.randint(len(EDGES), shape, generator=generator)
    assert_right(torch.tensor(EDGES)[picks].to(DEVICE), index)


@pytest.mark.parametrize("shape", [(4, 5, 1), (4, 9001, 1), (2, 300, 65)])
@pytest.mark.parametrize("offset", [2.0**24, -(2.0**24)])
def test_an_offset_changes_nothing(runs, shape, offset):
    z, index = logits(*shape)
    z = (z / 2).round() * 2  # what a float32 of 2**24 can be moved by
    saved, moved = forward(z, index, None, True), forward(z + offset, index, None, True)
    torch.testing.assert_close(moved[:3], saved[:3], rtol=1e-6, atol=0)
    upstream = [random_like(saved.logp, seed) for seed in (1, 2, 3)]
    dz = [backward(x, index, None, s, *upstream) for x, s in ((z, saved), (z + offset, moved))]
    torch.testing.assert_close(*dz, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("classes", [2, 10, 9000])
@pytest.mark.parametrize("lead", [10.0, 17.0, 18.0, 40.0, 80.0])
def test_certainty_keeps_its_digits(runs, classes, lead):
    """Of a target that leads all others: 1 - p, log p, and the gradient, which float32's p = 1 knows nothing of."""
    with mpmath.workdps(60):
        others = (classes - 1) * mpmath.exp(-mpmath.mpf(lead))
        rest, logp = float(others / (1 + others)), float(-mpmath.log1p(others))
    for dtype in (torch.float32, *HALF):
        z = torch.zeros(1, classes, 1, dtype=dtype, device=DEVICE)
        index = torch.tensor([[classes - 1]], device=DEVICE)
        z[0, -1] = lead
        saved = forward(z, index, None, False)
        assert saved.rest.item() == pytest.approx(rest, rel=1e-5)
        assert saved.logp.item() == pytest.approx(logp, rel=1e-5)
        dz = backward(z, index, None, saved, torch.full_like(saved.logp, 2.0), None, None).flatten().double()
        near = {"rel": 2 * torch.finfo(dtype).eps + 1e-5, "abs": torch.finfo(dtype).tiny}  # below it digits are lost
        assert dz[-1].item() == pytest.approx(2 * rest, **near)
        assert dz[0].item() == pytest.approx(-2 * rest / (classes - 1), **near)


@pytest.mark.parametrize("shape", [(3, 7, 5), (3, 9000, 1)])
def test_logsumexp_alone(runs, shape):
    z, index = logits(*shape)
    saved = forward(z, None, None, False)
    assert saved.logp is saved.rest is saved.mean_logp is None
    torch.testing.assert_close(saved.lse.double(), z.double().logsumexp(1), rtol=3e-6, atol=3e-6)
    g = random_like(saved.lse)
    dz = backward(z, None, None, saved, None, None, g)
    assert_gradient(dz, z, gradient(z, index, (None, None, g)))
    mean = forward(z, None, None, True).mean_logp
    torch.testing.assert_close(mean.double(), z.double().log_softmax(1).mean(1), rtol=3e-6, atol=3e-6)


def test_a_second_backward_is_the_first(runs):
    z, index = logits(3, 9000, 1)
    saved = forward(z, index, None, False)
    before = [None if x is None else x.clone() for x in saved]
    one = torch.ones(()).to(DEVICE).expand(3, 1)  # as sum() sends it
    first, second = (backward(z, index, None, saved, one, None, None) for _ in range(2))
    assert torch.equal(first, second)
    assert all(x is y is None or torch.equal(x, y) for x, y in zip(before, saved, strict=True))


@pytest.mark.parametrize("shape", [(0, 5, 1), (0, 9000, 1), (2, 5, 0)])
def test_no_rows(runs, shape):
    z = torch.zeros(shape, device=DEVICE)
    index = torch.zeros(shape[0], shape[2], dtype=torch.int64, device=DEVICE)
    saved = forward(z, index, None, True)
    assert saved.logp.shape == index.shape
    assert backward(z, index, None, saved, saved.logp, None, None).shape == shape


@pytest.mark.parametrize("strides", [(2**30 + 64, 1, 1), (1, 2**30 + 64, 1), (1, 1, 2**30 + 64)])
def test_tensors_of_more_than_2_to_the_31_numbers(runs, strides):
    memory = torch.empty(2**31 + 1000, dtype=torch.bfloat16, device=DEVICE)  # on a CPU pages come as they are touched
    z = memory.as_strided((3, 3, 3), tuple(s * 3**i if s == 1 else s for i, s in enumerate(strides)))
    values, index = logits(3, 3, 3, dtype=torch.bfloat16)
    z.copy_(values)
    assert_statistic(forward(z, index, None, True), values, index)
    dz = backward(z, index, None, forward(z, index, None, True), *[torch.ones_like(index).float()] * 3)
    assert_gradient(dz, values, gradient(values, index, [torch.ones_like(index)] * 3))


@pytest.mark.skipif(INTERPRETED, reason="this is the interpreter")
@pytest.mark.skipif(OLD, reason="Triton's interpreter before 3.7 needs numpy before 2.4, and warns even then")
def test_in_the_interpreter():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
