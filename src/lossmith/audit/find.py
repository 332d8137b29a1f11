"""Find the kind of a loss: a loss of lossmith's make says it, any other is tried on each layout and watched."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lossmith.audit.batch import Batch
from lossmith.audit.kinds import KINDS, Kind, kind_of, one_hot
from lossmith.audit.target import Subject
from lossmith.errors import SpecError
from lossmith.flow.loss import Loss
from lossmith.flow.parameter import nearest

Ask = Callable[[Batch], float]  # NaN where the loss raises
BIG = 30.0  # a confidence that leaves no doubt


@dataclass(frozen=True)
class Found:
    """The kind, and how it was found."""

    kind: Kind
    how: str


def find_kind(subject: Subject, name: str | None = None) -> Found:
    """The kind that was named, or that the loss declares, or the first whose data it treats as that kind would."""
    if name is not None and name not in KINDS:
        raise SpecError(f"no kind is named {name!r}{nearest(name, KINDS)} (all: {', '.join(KINDS)})")
    loss = subject.make()
    if isinstance(loss, Loss):
        own = kind_of(loss)
        named = own if name in (None, own.name) else replace(KINDS[str(name)], call=own.call)
        return Found(named, "named" if name is not None else f"declared: family {loss.family}")
    if name is not None:
        return Found(KINDS[name], "named")
    for tried, recognise in RECOGNISE.items():
        if recognise(_asker(subject, KINDS[tried])):
            return Found(KINDS[tried], f"found by trying; say --kind if it is not {tried}")
    raise SpecError(
        f"{subject.title}: no layout fits (tried {', '.join(RECOGNISE)}); name one with --kind, "
        f"or audit a function of your own that calls it with (input, target)"
    )


def _asker(subject: Subject, kind: Kind) -> Ask:
    def ask(batch: Batch) -> float:
        try:
            out = kind.call(subject.make(), batch.to(torch.float32))
            return float(out.detach().double().sum()) if isinstance(out, Tensor) else math.nan
        except SpecError:
            raise
        except Exception:
            return math.nan

    return ask


def _answers(ask: Ask, name: str, size: float) -> tuple[float, float]:
    """The value of right and of wrong answers of this confidence."""
    kind = KINDS[name]
    assert kind.answer is not None
    batch = kind.draw(torch.Generator().manual_seed(1), 8)
    right, wrong = kind.answer(batch, size), kind.answer(batch, -size)
    return ask(right), ask(wrong)


def _prefers_right(name: str) -> Callable[[Ask], bool]:
    def recognise(ask: Ask) -> bool:
        right, wrong = _answers(ask, name, 4.0)
        return right < wrong - 1e-6

    return recognise


def _is_overlap(name: str) -> Callable[[Ask], bool]:
    """Bounded, and a small object that is missed costs more than its share of the image."""

    def recognise(ask: Ask) -> bool:
        right, wrong = _answers(ask, name, BIG)
        target = torch.zeros(1, 1, 8, 10) if name == "overlap_sigmoid" else torch.zeros(1, 8, 10, dtype=torch.int64)
        target[..., 3, 4:6] = 1
        nothing = -BIG * torch.ones(1, 1, 8, 10) if target.is_floating_point() else BIG * one_hot(0 * target)
        missed = ask(Batch((nothing,), target))
        return right < 0.1 and right < wrong <= 1.1 and missed > 4 * 2 / 80

    return recognise


def _is_softmax(ask: Ask) -> bool:
    """Right answers cost less, and a wrong one is not just another name for the classes."""
    if not _prefers_right("softmax")(ask):
        return False
    return not _is_log_prob(ask)


def _is_log_prob(ask: Ask) -> bool:
    """It is linear in the score of the target, and the other scores do not matter."""
    z, y = torch.tensor([[0.5, -1.0, 2.0]]), torch.tensor([1])
    other = torch.tensor([[3.0, -1.0, 1.0]])
    a, b, c = ask(Batch((z,), y)), ask(Batch((other,), y)), ask(Batch((z - 2,), y))
    return a == b and abs(c - a - 2) < 1e-4


def _is_prob(ask: Ask) -> bool:
    """It takes probabilities of classes and refuses logits."""
    return _prefers_right("prob")(ask) and math.isnan(ask(Batch((torch.tensor([[3.0, -1, 2]]),), torch.tensor([1]))))


def _one(value: float, target: float) -> Batch:
    return Batch((torch.full((2,), value),), torch.full((2,), target))


def _is_binary_prob(ask: Ask) -> bool:
    refuses = math.isnan(ask(_one(3.0, 1.0))) and math.isnan(ask(_one(-3.0, 1.0)))
    return refuses and _prefers_right("binary_prob")(ask)


def _is_regression(ask: Ask) -> bool:
    """The least value is where the prediction is the target, whatever it is."""
    return all(ask(_one(y, y)) < min(ask(_one(y + d, y)) for d in (-0.75, 0.75)) for y in (0.25, 1.0, 2.5))


def _is_margin(ask: Ask) -> bool:
    """Targets -1 and 1; 0 says nothing."""
    right = ask(_one(-2.0, -1.0)) < ask(_one(2.0, -1.0)) and ask(_one(2.0, 1.0)) < ask(_one(-2.0, 1.0))
    zero = abs(ask(_one(2.0, 0.0)) - ask(_one(-2.0, 0.0)))
    return right and not zero > 1e-6  # or it refuses 0, which is NaN


def _is_sigmoid(name: str) -> Callable[[Ask], bool]:
    def recognise(ask: Ask) -> bool:
        return _prefers_right(name)(ask) and not _is_regression(ask)

    return recognise


def _is_count(ask: Ask) -> bool:
    """The least value is where the prediction is the logarithm of the target."""
    least = math.log(3.0)
    return ask(_one(least, 3.0)) < min(ask(_one(least + d, 3.0)) for d in (-0.5, 0.5))


def _is_divergence(ask: Ask) -> bool:
    q = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    same, other = ask(Batch((q.log(),), q)), ask(Batch((q.flip(1).log(),), q))
    return abs(same) < 1e-5 < other


def _is_gaussian(ask: Ask) -> bool:
    def at(r: float, variance: float) -> float:
        return ask(Batch((torch.full((2,), r), torch.full((2,), variance)), torch.zeros(2)))

    return at(0.0, 1.0) < at(0.0, 9.0) and at(3.0, 9.0) < at(3.0, 1.0)


def _is_pairs(ask: Ask) -> bool:
    a, together = torch.eye(4), torch.ones(4)
    near, far = Batch((a, a), together), Batch((a, -a), together)
    return ask(near) < ask(far) and ask(far.put(a, -a, target=-together)) < ask(near.put(a, a, target=-together))


def _is_ranking(ask: Ask) -> bool:
    high, low, sign = torch.full((4,), 2.0), torch.zeros(4), torch.ones(4)
    right, wrong = Batch((high, low), sign), Batch((low, high), sign)
    return ask(right) < ask(wrong) and ask(wrong.put(low, high, target=-sign)) < ask(right.put(high, low, target=-sign))


def _is_triplets(ask: Ask) -> bool:
    a = torch.eye(4)
    return ask(Batch((a, a, -a), None)) < ask(Batch((a, -a, a), None))


def _is_embeddings(ask: Ask) -> bool:
    """Labels group the vectors: apart costs less than mixed, and the names of the labels do not matter."""
    one, two = torch.eye(4)[[0, 0, 1, 1]], torch.eye(4)[[0, 1, 0, 1]]
    y = torch.tensor([0, 0, 1, 1])
    return (
        ask(Batch((one,), y)) < ask(Batch((two,), y)) and abs(ask(Batch((one,), y)) - ask(Batch((one,), 1 - y))) < 1e-5
    )


def _is_sequence(ask: Ask) -> bool:
    kind = KINDS["sequence"]
    value = ask(kind.draw(torch.Generator().manual_seed(1), 4))
    return math.isfinite(value) and value > 0


RECOGNISE: dict[str, Callable[[Ask], bool]] = {
    "overlap": _is_overlap("overlap"),
    "overlap_sigmoid": _is_overlap("overlap_sigmoid"),
    "embeddings": _is_embeddings,
    "prob": _is_prob,
    "softmax": _is_softmax,
    "log_prob": _is_log_prob,
    "sequence": _is_sequence,
    "gaussian": _is_gaussian,
    "pairs": _is_pairs,
    "score_pairs": _is_ranking,
    "triplets": _is_triplets,
    "binary_prob": _is_binary_prob,
    "regression": _is_regression,
    "divergence": _is_divergence,
    "count": _is_count,
    "margin": _is_margin,
    "sigmoid": _is_sigmoid("sigmoid"),
    "multilabel": _is_sigmoid("multilabel"),
}
