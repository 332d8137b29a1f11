"""The kernel for rows of logits against the plain expressions of `link.py`, which it stands in for, and mpmath.

Blocks are so small here that every tensor takes at least three, the last of them ragged.
"""

import math
import weakref
from contextlib import contextmanager
from itertools import product
from unittest import mock

import mpmath
import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

import lossmith
from lossmith.errors import ParameterError
from lossmith.kernels import eager, rows
from lossmith.losses import link
from lossmith.losses.likelihood import LikelihoodLoss
from lossmith.losses.likelihood.partition import PartitionLoss
from tests.laws.cases import SHIPPED

C, INF, NAN = 5, math.inf, math.nan
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
ROUNDED = dict(zip(DTYPES, (1e-12, 2e-6, 1.01 * 2**-11, 1.01 * 2**-8), strict=True))  # once
FLOOR = dict(zip(DTYPES, (1e-12, 1e-6, 2**-25, 1e-6), strict=True))
WEIGHT = {"weight": [0.5, 2.0, 1.0, 0.0, 3.0]}
OPTIONS = {  # smoothing as torch has it reads more of a row than this statistic
    "plain": {},
    "weighted": WEIGHT,
    "uniform": {"label_smoothing": 0.1, "smoothing": "uniform", **WEIGHT},
    "others": {"label_smoothing": 0.1, "smoothing": "others", **WEIGHT},
}


def readers():
    """Every loss that reads rows of logits, with and without class weights and smoothing, one value per row."""
    seen = set()
    for (name, cls), (word, options) in product(SHIPPED.items(), OPTIONS.items()):
        labelled = issubclass(cls, LikelihoodLoss)
        try:
            loss = cls(**cls.example, **options, **({"link": "softmax"} if labelled else {}), reduction="none")
        except ParameterError:  # a loss without that option
            continue
        reads = loss.reads_rows if isinstance(loss, LikelihoodLoss) else issubclass(cls, PartitionLoss)
        known = (getattr(cls, "formula", None), loss.scope, word)
        if reads and known not in seen:  # else another name of one that is here
            seen.add(known)
            yield pytest.param(loss, id=f"{name}-{word}")


READERS = list(readers())
assert {"cross_entropy", "focal", "poly", "dsc", "ghmc", "z"} <= {one.id.split("-")[0] for one in READERS}
SOME = [  # of each statistic one: log p, log p with the mean, logsumexp
    pytest.param(lossmith.FocalLoss(reduction="none", **WEIGHT), id="logp"),
    pytest.param(lossmith.CrossEntropyLoss(reduction="none", label_smoothing=0.2), id="mean"),
    pytest.param(lossmith.ZLoss(reduction="none"), id="lse"),
]
PAIRS = [  # the bin that a row falls into, where there are bins, may be another one after rounding
    pytest.param(*one.values, dtype, id=f"{one.id}-{str(dtype)[6:]}")
    for one in READERS
    for dtype in (DTYPES if one.values[0].scope == "unit" else DTYPES[:1])
]
every = pytest.mark.parametrize(("loss", "dtype"), PAIRS)
some = pytest.mark.parametrize("loss", SOME)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)
LAYOUTS = {  # of logits [22, C]
    "vector": lambda z: z[0],
    "table": lambda z: z[:11],
    "transposed": lambda z: z[:11].t().contiguous().t(),
    "of longer rows": lambda z: z.reshape(11, 2 * C)[:, 1 : C + 1],
    "the same for all": lambda z: z[:1].expand(11, C),
    "sites": lambda z: z.reshape(2, 11, C).movedim(2, 1).contiguous(),
    "few sites": lambda z: z.reshape(11, 2, C).movedim(2, 1).contiguous(),
    "classes last": lambda z: z.reshape(2, 11, C).movedim(2, 1),
    "image": lambda z: z[:18].reshape(2, 3, 3, C).movedim(3, 1).contiguous(),
    "channels last": lambda z: z[:18].reshape(2, 3, 3, C).movedim(3, 1),
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(rows, "BLOCK", 4 * C)


def draw(seed=0, dtype=torch.float64, layout="table"):
    """Logits and targets, [N, C, *] and [N, *]."""
    generator = torch.Generator().manual_seed(seed)
    z = LAYOUTS[layout](3 * torch.randn(22, C, generator=generator, dtype=torch.float64).to(dtype))
    axis = min(z.dim() - 1, 1)
    return z, torch.randint(C, z.shape[:axis] + z.shape[axis + 1 :], generator=generator)


def taken(f, z, *rest, **call):
    """The values of a function of logits, and their gradient."""
    x = z.detach().requires_grad_()
    value = f(x, *rest, **call)
    return value.detach(), torch.autograd.grad(value, x, weighing(value))[0]


def weighing(value):
    """A number for each value, of either sign, 0 among them, the same in every dtype."""
    return (torch.arange(value.numel(), dtype=value.dtype).reshape(value.shape) * 7 % 11 - 5) / 4


def by_kernel(f, z, *rest, **call):
    with mock.patch.object(link, "rows", wraps=rows.rows) as kernel:
        found = taken(f, z, *rest, **call)
    assert kernel.called
    return found


def never(*given, **call):
    raise AssertionError("it is another way that is asked for here")


@contextmanager
def no_kernel():
    with mock.patch.object(eager, "fits", return_value=False), mock.patch.object(link, "rows", side_effect=never):
        yield


def plainly(f, z, *rest, **call):
    with no_kernel():
        return taken(f, z, *rest, **call)


def same(found, wanted, dtype):
    """Values as good as float32, a gradient rounded once, to the dtype of the logits."""
    assert (found[1].dtype, found[1].shape) == (dtype, wanted[1].shape)
    wide = torch.promote_types(dtype, torch.float32)
    assert found[0].dtype == wide
    for got, want, kind in zip(found, wanted, (wide, dtype), strict=True):
        near = {"rtol": ROUNDED[kind], "atol": FLOOR[kind], "equal_nan": True}
        torch.testing.assert_close(got.double(), want.double(), **near)


# The same numbers -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("layout", ["table", "transposed", "sites", "few sites", "classes last", "image"])
def test_there_are_blocks_here(layout):
    z, _ = draw(layout=layout)
    flat = z.flatten(2) if z.dim() > 2 else z
    sizes = [flat[at].numel() for at in rows._places(flat, None)]
    assert len(sizes) >= 3
    assert sizes[-1] < sizes[0]
    assert sum(sizes) == z.numel()


@every
def test_value_and_gradient_are_those_of_the_plain_expression(loss, dtype):
    for seed, layout in enumerate(LAYOUTS):
        z, y = draw(seed, dtype, layout)
        same(by_kernel(loss, z, y), plainly(loss, z.double(), y), dtype)


HIDDEN = {  # of 11 or more rows
    "runs": lambda i: i // 3 % 2 == 0,
    "a run inside": lambda i: (i > 3) & (i < 8),
    "alternating": lambda i: i % 2 == 0,
    "all but one": lambda i: i != 6,
    "all": lambda i: i >= 0,
    "none": lambda i: i < 0,
}


@dtypes
@some
def test_hidden_rows(loss, dtype):
    """By mask, by `ignore_index` and by a weight of 0, all three at once; behind them NaN and infinities."""
    for layout, pattern in ((a, b) for a in LAYOUTS for b in HIDDEN.values()):
        z, y = draw(3, dtype, layout)
        z, place = z.clone(), torch.arange(y.numel()).reshape(y.shape)
        hidden = pattern(place)
        weight = torch.where(hidden & (place % 3 == 2), 0.0, 0.5 + place % 4)
        call = {"mask": ~(hidden & (place % 3 == 0)), "sample_weight": weight}
        seen = torch.where(hidden & (place % 3 == 1), -100, y)
        wanted = plainly(loss, z.double(), seen, **call)
        spoilt = torch.tensor([NAN, INF, -INF], dtype=dtype)[place % 3]
        z = torch.where(hidden.unsqueeze(z.dim() - 1 and 1), spoilt.unsqueeze(z.dim() - 1 and 1), z)
        found = by_kernel(loss, z, seen, **call)
        same(found, wanted, dtype)
        assert not found[0][hidden].any()
        assert not found[1].movedim(min(z.dim() - 1, 1), -1)[hidden].any()


@pytest.mark.parametrize("statistic", ["logp", "mean_logp", "lse"])
def test_a_gradient_from_above_to_hidden_rows_goes_nowhere(statistic):
    z, y = draw()
    keep = torch.arange(11) % 4 > 0
    x = z.requires_grad_()
    found = rows.rows(x, None if statistic == "lse" else y, 1, never, keep=keep, mean=statistic == "mean_logp")
    (dz,) = torch.autograd.grad(getattr(found, statistic), x, torch.where(keep, 1.0, NAN).double())
    assert dz[keep].all()
    assert not dz[~keep].any()


@every
def test_classes_that_are_ruled_out(loss, dtype):
    z, y = draw(5, dtype)
    z[0, (y[0] + 1) % C] = z[3, y[3] - 1] = -INF
    z[1, y[1]] = -INF  # the target too
    z[2] = torch.where(torch.arange(C) == y[2], z[2], -INF)  # all but the target
    same(by_kernel(loss, z, y), plainly(loss, z.double(), y), dtype)


@dtypes
@some
def test_nan_stays_in_its_row(loss, dtype):
    z, y = draw(6, dtype)
    z[4, 2] = NAN
    for found in by_kernel(loss, z, y):
        assert found[4].isnan().all()
        assert found[torch.arange(11) != 4].isfinite().all()


# Digits -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("scale", "offset"), [(3, 2.0**24), (3, -(2.0**24)), (1e4, 0.0)])
@pytest.mark.parametrize("loss", READERS)
def test_large_logits_cost_no_digits(loss, scale, offset):
    """In float32, whose numbers of the size of these offsets are 2 apart."""
    z, y = draw(7)
    z = ((z * scale / 2).round() * 2 + offset).float()
    found, wanted = by_kernel(loss, z, y), plainly(loss, z.double(), y)
    torch.testing.assert_close(found[0].double(), wanted[0], rtol=1e-6, atol=1e-30)
    torch.testing.assert_close(found[1].double(), wanted[1], rtol=3e-6, atol=1e-30)


def exactly(row, k):
    """Log p of class k, its gradient, and the mean log p, by mpmath with 50 digits."""
    with mpmath.workdps(50):
        powers = [mpmath.exp(mpmath.mpf(x)) for x in row]
        whole, rest = mpmath.fsum(powers), mpmath.fsum(powers[:k] + powers[k + 1 :])
        logp = mpmath.log1p(-rest / whole) if rest < whole / 2 else mpmath.log(powers[k] / whole)
        gradient = [float((rest if j == k else -x) / whole) for j, x in enumerate(powers)]
        return float(logp), gradient, float(mpmath.fsum(row) / len(row) - mpmath.log(whole))


@dtypes
@pytest.mark.parametrize("wrong", [False, True], ids=["sure", "surely wrong"])
def test_both_ends_of_log_p_keep_their_digits(wrong, dtype):
    """p within 1e-12 of 1, where 1 - p is all there is to know, and p so faint that float32 has none such."""
    leads = (28, 30, 33.5, 40, 60, 66, 68.5, 69, 69.5, 75, 80, 87, 89, 103, 104, 200, 1e4)
    z, y = torch.tensor([[0.0, -1.5, 0.25, 0.0, 0.0]] * len(leads)), torch.full((len(leads),), 4)
    z[:, 4] = torch.tensor(leads) * (-1 if wrong else 1)
    z = z.to(dtype)
    wanted = [torch.tensor(x, dtype=torch.float64) for x in zip(*map(exactly, z.tolist(), y.tolist()), strict=True)]
    logp, mean, _ = rows.rows(z.requires_grad_(), y, 1, never, mean=True)
    (dz,) = torch.autograd.grad(logp.sum(), z)
    digits = 1e-13 if dtype == torch.float64 else 1e-6
    for found, want, room in zip((logp, dz, mean), wanted, (0, ROUNDED[dtype] * (dtype in DTYPES[2:]), 0), strict=True):
        torch.testing.assert_close(found.double(), want, rtol=digits + room, atol=torch.finfo(found.dtype).tiny)


# What else autograd asks for --------------------------------------------------------------------------------------
@dtypes
@some
def test_inputs_stay_and_a_second_backward_is_the_first(loss, dtype):
    for layout in LAYOUTS:
        z, y = draw(9, dtype, layout)
        if y.dim():
            y[0] = -100
        before, target = z.clone(), y.clone()
        x = z.requires_grad_()
        value = loss(x, y)
        first, second = (torch.autograd.grad(value, x, weighing(value), retain_graph=True)[0] for _ in range(2))
        kept = first.clone()
        (third,) = torch.autograd.grad(value, x, weighing(value), create_graph=True)
        (twice,) = torch.autograd.grad(value, x, 2 * weighing(value))
        assert torch.equal(first, kept)
        assert torch.equal(first, second)
        torch.testing.assert_close(third, first)
        torch.testing.assert_close(twice, 2 * first)
        assert torch.equal(z.detach(), before)
        assert torch.equal(y, target)


@pytest.mark.parametrize("loss", READERS)
def test_derivatives_of_the_gradient(loss):
    z, y = draw(10)
    y[4] = -100
    x = z.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, y), x, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: loss(x, y), x, fast_mode=True)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own
@some
def test_transforms_give_what_the_plain_expression_gives(loss):
    z, y = draw(11)
    up = weighing(y.double())

    def f(x):
        return loss(x, y)

    def ways(compiled):
        batch = torch.stack([z, -z, z + 1])
        return [
            *taken(compiled, z),
            *taken(lambda x: checkpoint(f, x, use_reentrant=False), z),
            torch.vmap(f)(batch),
            torch.vmap(torch.func.grad(lambda x: f(x) @ up))(batch),
            *torch.func.jvp(f, (z,), (z.flip(0),)),
            torch.func.hessian(lambda x: f(x) @ up)(z),
            torch.func.jacrev(f)(z),
        ]

    found = ways(torch.compile(f, fullgraph=True, backend="aot_eager"))
    with no_kernel():
        wanted = ways(f)
    for got, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", READERS)
def test_a_compiled_loss_does_not_look_at_hidden_rows(loss):
    """Nor is its second tail lost: 50 logits above the others 1 - p is 1e-21."""
    z, y = draw(13)
    y[4], z[4] = -100, math.nan
    z[2, y[2]] += 50
    torch._dynamo.reset()
    found = taken(torch.compile(lambda x: loss(x, y), fullgraph=True, backend="aot_eager"), z)
    with no_kernel():
        wanted = taken(lambda x: loss(x, y), z)
    for got, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-30)


@some
def test_a_batch_of_gradients_from_above(loss):
    """As `torch.autograd.functional.jacobian(vectorize=True)` sends it, and `is_grads_batched=True`."""
    z, y = draw(12)
    x = z.requires_grad_()
    value, above = loss(x, y), torch.eye(11, dtype=torch.float64)
    (together,) = torch.autograd.grad(value, x, above, retain_graph=True, is_grads_batched=True)
    one_by_one = [torch.autograd.grad(value, x, g, retain_graph=True)[0] for g in above]
    torch.testing.assert_close(together, torch.stack(one_by_one))


# Memory -----------------------------------------------------------------------------------------------------------
def large(run, size):
    """How many pieces of memory of more than half of `size` bytes a call asks for."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True, acc_events=True) as seen:
        run()
    events = [e.nbytes() for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    assert events
    return sum(size < 2 * nbytes for nbytes in events)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("statistic", ["logp", "mean_logp", "lse"])
def test_nothing_is_as_large_as_the_logits_but_their_gradient(statistic, dtype, monkeypatch):
    monkeypatch.setattr(rows, "BLOCK", 100 * 60)
    z, y = draw(14, dtype)[0].repeat(47, 12), None if statistic == "lse" else torch.arange(517) % 60

    def forward(z):
        return getattr(rows.rows(z, y, 1, never, mean=statistic == "mean_logp"), statistic)

    assert large(lambda: taken(forward, z), z.nbytes) == 1
    assert large(lambda: forward(z), z.nbytes) == 0
    with torch.no_grad():
        assert large(lambda: forward(z.requires_grad_()), z.nbytes) == 0


def test_hidden_rows_of_a_table_cost_nothing():
    z, y = draw(15, torch.bfloat16)
    for keep in (pattern(torch.arange(11)) for pattern in HIDDEN.values()):
        with mock.patch.object(torch, "softmax", wraps=torch.softmax) as softmax:
            taken(lambda z: link.target_rows(z, y, 1, keep=keep).logp, z)  # noqa: B023
        assert sum(len(call.args[0]) for call in softmax.call_args_list) == 2 * keep.sum()  # forward and backward


def test_a_row_that_is_no_number_changes_no_other():
    z = torch.tensor([[NAN, 0.0], [0.0, 200.0], [0.0, 0.0]], requires_grad=True)
    value = lossmith.CrossEntropyLoss(reduction="none")(z, torch.tensor([0, 0, 0]))
    torch.testing.assert_close(value, F.cross_entropy(z, torch.tensor([0, 0, 0]), reduction="none"), equal_nan=True)
    assert value[1] == 200


@pytest.mark.parametrize("shape", [(7, 3), (2, 3, 4)])
@pytest.mark.parametrize("loss", ["cross_entropy", "z", "dice(per=batch)", "cross_entropy(label_smoothing=0.1)"])
def test_a_loss_that_is_kept_keeps_no_logits(loss, shape):
    leaf, target = torch.randn(shape, requires_grad=True), torch.zeros(shape[:1] + shape[2:], dtype=torch.long)
    logits = leaf * 1
    seen, value = weakref.ref(logits), lossmith.create(loss)(logits, target)
    value.backward()
    del logits
    assert seen() is None
