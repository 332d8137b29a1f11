"""Numbers: half and double precision, and the derivative."""

import torch

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, agree, finite, near
from lossmith.audit.check import MistakeError, NotApplicableError, check
from lossmith.audit.kinds import LABELS, OVERLAP

HALF = {torch.float16: 0.02, torch.bfloat16: 0.04}  # the rounding that one may expect


def half(case: Case, dtype: torch.dtype, batch: Batch) -> None:
    """Value and gradient in half precision are those of the same numbers in float32, within its rounding."""
    rounded = batch.to(dtype)
    exact = rounded.to(torch.float32)
    value, want = case.value(rounded), case.value(exact)
    if not finite(value):
        raise MistakeError(f"the value is {value.flatten()[0].item()}, {float(want.flatten()[0]):.4g} in float32")
    if not agree(value, want, HALF[dtype], 1e-3):
        raise MistakeError(f"{float(value.double().sum()):.5g}, {float(want.double().sum()):.5g} in float32")
    if not case.differentiable:
        return
    for a, b in zip(case.slopes(rounded)[1], case.slopes(exact)[1], strict=True):
        if not finite(b.to(dtype)):
            continue  # no number of this dtype holds it
        if not finite(a):
            raise MistakeError("the gradient is NaN or infinite")
        if not agree(a, b, 2.5 * HALF[dtype], 1e-4):
            raise MistakeError("the gradient is not that of float32")


@check(
    expects="float16: finite, and what float32 says of the same numbers, within 2 %",
    why="Mixed precision is how models are trained; eps = 1e-8 is 0 in float16, and sums overflow at 65,504.",
    link="qubvel-org/segmentation_models.pytorch#463",
)
def float16(case: Case) -> None:
    half(case, torch.float16, case.batch())


@check(
    expects="bfloat16: finite, and what float32 says of the same numbers, within 4 %",
    why="bfloat16 has 8 bits of precision: 1 - p of a good example is 0 unless it is computed in float32.",
    link="linkedin/Liger-Kernel#968",
)
def bfloat16(case: Case) -> None:
    half(case, torch.bfloat16, case.batch())


@check(
    *LABELS,
    *OVERLAP,
    "regression",
    expects="float16 over 70,000 units: finite and right",
    why="A sum of more than 65,504 ones overflows float16: the loss of a large image is infinite or NaN.",
    link="qubvel-org/segmentation_models.pytorch#463",
)
def float16_over_many_units(case: Case) -> None:
    if case.kind.name not in OVERLAP:
        half(case, torch.float16, case.batch(70_000))
        return
    channels = case.batch(1).input.shape[1]
    shape = (1, channels, 300, 300) if case.kind.name == "overlap" else (1, 1, 300, 300)
    target = torch.ones(shape) if case.kind.name != "overlap" else torch.ones(1, 300, 300, dtype=torch.int64)
    z = torch.full(shape, 2.0)
    if case.kind.name == "overlap":
        z[:, 0] = -1.0
    half(case, torch.float16, Batch((z,), target))


@check(
    *LABELS,
    "margin",
    expects="float16 logits of 40: finite and right",
    why="exp(12) is more than float16 holds; whatever leaves logit space there is infinite.",
    link="Alibaba-MIIL/ASL#53",
)
def float16_at_logit_40(case: Case) -> None:
    for size in (40.0, -40.0):
        batch = case.answer(size)
        if case.kind.name in ("prob", "binary_prob"):
            raise NotApplicableError("it takes probabilities")
        half(case, torch.float16, batch)


@check(
    expects="float64 in, float64 out",
    why="Gradient checks need it: a loss that rounds to float32 hides errors below 1e-7, and its own.",
    link="pytorch/pytorch#36553",
)
def float64_is_kept(case: Case) -> None:
    dtype = case.value(case.batch(dtype=torch.float64)).dtype
    if dtype != torch.float64:
        raise MistakeError(f"the value of float64 inputs is {str(dtype).removeprefix('torch.')}")


@check(
    expects="float32 agrees with float64 to 4 digits",
    why="Where it does not, the formula cancels, and training sees the rounding.",
    link="davisking/dlib#2552",
)
def float32_has_four_digits(case: Case) -> None:
    one = case.batch(dtype=torch.float64).to(torch.float32)
    batches = [one]
    if case.kind.name in (*LABELS, "margin"):
        batches += [case.answer(size, one) for size in (-12.0, 8.0)]
    for batch in batches:
        low, high = case.value(batch), case.value(batch.to(torch.float64))
        if not agree(low, high, 1e-4, 1e-6):
            a, b = float(low.double().sum()), float(high.double().sum())
            raise MistakeError(f"{a:.7g} in float32, {b:.7g} in float64")
        if case.differentiable and not agree(case.slope(batch), case.slope(batch.to(torch.float64)), 5e-3, 1e-6):
            raise MistakeError("the gradient in float32 is more than 0.5 % off")


def directions(case: Case, batch: Batch, count: int = 3) -> list[Batch]:
    """Random directions in the space of the floating point inputs."""
    generator = torch.Generator().manual_seed(3)
    drawn = [
        batch.put(*(torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in batch.inputs))
        for _ in range(count)
    ]
    if case.kind.name != "sequence":
        return drawn
    # CTC may take its log-probabilities to be normalised: stay among those, along which both gradients agree
    p = batch.input.exp()
    return [d.put(d.input - (p * d.input).sum(-1, keepdim=True), *d.inputs[1:]) for d in drawn]


def moved(batch: Batch, direction: Batch, step: float) -> Batch:
    """The batch a small step along a direction; integers stay."""
    pairs = zip(batch.inputs, direction.inputs, strict=True)
    return batch.put(*(x + step * d if x.is_floating_point() else x for x, d in pairs))


@check(
    expects="the gradient is the derivative of the value, by finite differences in float64",
    why="A backward written by hand, or a detach in the wrong place, trains another loss than the one that is shown.",
    link="https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html",
    gradient=True,
)
def the_gradient_is_the_derivative(case: Case) -> None:
    batch = inside(case, case.batch(6, dtype=torch.float64))
    value, grads = case.slopes(batch)
    if value.dtype != torch.float64:
        raise NotApplicableError("it computes float64 inputs in float32, where a difference shows nothing")
    floats = [k for k, x in enumerate(batch.inputs) if x.is_floating_point()]
    wrong = 0
    for d in directions(case, batch):
        h = 1e-6
        up, down = (case.number(moved(batch, d, s * h)) for s in (1, -1))
        got = sum(float((g * d.inputs[k]).sum()) for g, k in zip(grads, floats, strict=True))
        wrong += not near((up - down) / (2 * h), got, 1e-3, 1e-6)
        seen = f"{got:.6g} along a direction, where the value changes by {(up - down) / (2 * h):.6g}"
    if wrong > 1:  # one direction may have crossed a kink
        raise MistakeError(f"the gradient is {seen}")


def inside(case: Case, batch: Batch) -> Batch:
    """Away from the borders of probability, so that a small step stays legal."""
    if case.kind.name in ("prob", "binary_prob"):
        return batch.put(batch.input.clamp(0.05, 0.95))
    return batch


@check(
    expects="the second gradient exists and is the derivative of the first, or an error says that it does not",
    why="Gradient penalties, meta-learning and Hessians need it; a wrong one is silent.",
    link="pytorch/pytorch#2505",
    gradient=True,
)
def the_second_gradient_is_right(case: Case) -> str:
    case.has("double_backward")
    batch = inside(case, case.batch(6, dtype=torch.float64))
    if case.value(batch).dtype != torch.float64:
        raise NotApplicableError("it computes float64 inputs in float32, where a difference shows nothing")
    wrong, seen = 0, ""
    for d in directions(case, batch):
        try:
            got = curvature(case, batch, d)
        except RuntimeError as error:
            return f"refused: {' '.join(str(error).split())[:120]}"
        h = 1e-7  # small, for sorted losses have many kinks
        up, down = (along(case.slopes(moved(batch, d, s * h))[1], batch, d) for s in (1, -1))
        want = (up - down) / (2 * h)
        wrong += not near(got, want, 2e-3, 1e-5)
        seen = f"{got:.6g} along a direction, where the gradient changes by {want:.6g}"
    if wrong > 1:
        raise MistakeError(f"the second gradient is {seen}")
    return ""


def along(grads: tuple[torch.Tensor, ...], batch: Batch, direction: Batch) -> float:
    """The gradient along a direction."""
    floats = [k for k, x in enumerate(batch.inputs) if x.is_floating_point()]
    return sum(float((g * direction.inputs[k]).sum()) for g, k in zip(grads, floats, strict=True))


def curvature(case: Case, batch: Batch, direction: Batch) -> float:
    """The second derivative along a direction, by differentiating twice."""
    fresh, leaves = batch.leaves()
    value = case.call(case.loss(), fresh).sum()
    grads = torch.autograd.grad(value, leaves, create_graph=True, allow_unused=True)
    floats = [k for k, x in enumerate(batch.inputs) if x.is_floating_point()]
    terms = [(g * direction.inputs[k]).sum() for g, k in zip(grads, floats, strict=True) if g is not None]
    total = torch.stack(terms).sum()
    if not total.requires_grad:
        return 0.0  # the gradient is a constant
    second = torch.autograd.grad(total, leaves, allow_unused=True)
    return sum(float((g * direction.inputs[k]).sum()) for g, k in zip(second, floats, strict=True) if g is not None)
