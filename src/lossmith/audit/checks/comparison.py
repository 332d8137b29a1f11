"""Comparison: pairs, triplets and groups of vectors, and the distances that are 0."""

import torch

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, LossRaisedError, finite, near
from lossmith.audit.check import MistakeError, NotApplicableError, check


def healthy(case: Case, batch: Batch) -> None:
    """Finite value, finite gradient."""
    if not finite(case.value(batch)):
        raise MistakeError("the value is NaN or infinite")
    if case.differentiable and not finite(*case.slopes(batch)[1]):
        raise MistakeError("the value is finite, its gradient is NaN or infinite")


@check(
    "triplets",
    "pairs",
    expects="vectors that are equal: a finite value and gradient",
    why="The square root of a distance has an infinite slope at 0: one duplicate makes NaN.",
    link="adambielski/siamese-triplet#18",
)
def equal_vectors_have_a_gradient(case: Case) -> None:
    batch = case.batch()
    same = batch.put(batch.inputs[0], batch.inputs[0].clone(), *batch.inputs[2:])
    healthy(case, same)


@check(
    "triplets",
    "pairs",
    "embeddings",
    expects="vectors of zeros: a finite value and gradient",
    why="Normalising divides by their length; dead units at the start of training are all zeros.",
    link="google-deepmind/optax#946",
)
def zero_vectors_have_a_gradient(case: Case) -> None:
    batch = case.batch()
    healthy(case, batch.put(*(torch.zeros_like(x) if x.is_floating_point() else x for x in batch.inputs)))


@check(
    "triplets",
    "pairs",
    "embeddings",
    expects="vectors of length 1e4: a finite value and gradient",
    why="Unnormalised features are large; exponentials of their products overflow.",
    link="KevinMusgrave/pytorch-metric-learning#233",
)
def long_vectors_are_finite(case: Case) -> None:
    batch = case.batch()
    healthy(case, batch.put(*(x * 1e4 if x.is_floating_point() else x for x in batch.inputs)))


@check(
    "triplets",
    expects="a near positive and a far negative cost less than the reverse",
    why="Anchor, positive and negative in another order train the opposite.",
    link="https://docs.pytorch.org/docs/stable/generated/torch.nn.TripletMarginLoss.html",
)
def the_positive_is_the_near_one(case: Case) -> None:
    a = torch.eye(4, 5)
    right, wrong = case.number(Batch((a, a + 0.01, -a), None)), case.number(Batch((a, -a, a + 0.01), None))
    if not right < wrong:
        raise MistakeError(f"near positive {right:.4g}, near negative {wrong:.4g}")


@check(
    "pairs",
    "score_pairs",
    expects="target 1 wants the pair close (the first score higher), target -1 the reverse",
    why="The sign of the target is the whole label.",
    link="https://docs.pytorch.org/docs/stable/generated/torch.nn.CosineEmbeddingLoss.html",
)
def the_sign_of_a_pair_counts(case: Case) -> None:
    one = torch.eye(4, 5) if case.kind.name == "pairs" else torch.full((4,), 2.0)
    other = -one if case.kind.name == "pairs" else torch.zeros(4)
    liked = (one, one.clone()) if case.kind.name == "pairs" else (one, other)
    disliked = (one, other) if case.kind.name == "pairs" else (other, one)
    sign = torch.ones(4)
    for target, words in ((sign, "1"), (-sign, "-1")):
        good, bad = (liked, disliked) if words == "1" else (disliked, liked)
        if not case.number(Batch(good, target)) < case.number(Batch(bad, target)):
            raise MistakeError(f"for target {words} the wrong pair costs no more than the right one")


@check(
    "embeddings",
    expects="the names of the labels do not matter",
    why="Labels of groups are names, not numbers.",
    link="KevinMusgrave/pytorch-metric-learning#107",
)
def label_names_do_not_matter(case: Case) -> None:
    batch = case.batch()
    one, two = case.number(batch), case.number(batch.put(batch.input, target=17 - 3 * batch.labels))
    if not near(one, two, 1e-4):
        raise MistakeError(f"{one:.6g} becomes {two:.6g}")


@check(
    "embeddings",
    expects="groups that are apart cost less than groups that are mixed",
    why="It is what the loss is for.",
    link="arXiv 2004.11362",
)
def groups_apart_cost_less(case: Case) -> None:
    labels = torch.arange(8) // 2
    apart = torch.eye(8, 6)[[0, 0, 1, 1, 2, 2, 3, 3]]
    mixed = apart[[0, 2, 4, 6, 1, 3, 5, 7]]
    one, two = case.number(Batch((apart,), labels)), case.number(Batch((mixed,), labels))
    if not one < two:
        raise MistakeError(f"apart {one:.5g}, mixed {two:.5g}")


@check(
    "embeddings",
    expects="a batch without a single pair: finite, or a clear error",
    why="A mean over no pairs is NaN; small batches of many classes have none.",
    link="KevinMusgrave/pytorch-metric-learning#107",
)
def no_pair_is_not_nan(case: Case) -> str:
    batch = case.batch()
    try:
        healthy(case, batch.put(batch.input, target=torch.arange(8)))
    except LossRaisedError as raised:
        if case.own is None and raised.clear:
            return f"refused with a clear error: {raised}"
        raise
    return ""


@check(
    "adversarial",
    expects="scores of 200 and of -200: a finite value and gradient",
    why="log(1 - sigmoid) is -inf as soon as the critic is sure.",
    link="pytorch/pytorch#2221",
)
def a_sure_critic_is_finite(case: Case) -> None:
    batch = case.batch()
    for size in (200.0, -200.0):
        scores = [torch.full_like(x, size) for x in batch.inputs[:2]]
        healthy(case, batch.put(*scores, *batch.inputs[2:]))


@check(
    "sampling",
    expects="a higher logit of the target costs less",
    why="Target and noise exchanged train the opposite.",
    link="pytorch/pytorch#38185",
    gradient=True,
)
def the_target_is_preferred(case: Case) -> None:
    batch = case.batch()
    if batch.input.dim() != 1:
        raise NotApplicableError("its first input is not the target's logit")
    grad = case.slope(batch)
    if bool((grad > 1e-7).any()):
        raise MistakeError("the gradient lowers the logit of the target")
