"""The arms of a comparison: a loss, how its classes are weighted, and a grid for the loss's own parameters.

Every arm gets the same number of tries, ``TRIES``. Try k starts from initial weights and sees batches that depend on
(seed, repeat, k) alone, so all arms are paired, and it takes the k-th point of the arm's own grid; an arm without a
parameter has that many starts. The best try on validation is kept, so nobody gets more chances there than another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lossmith.errors import InputError, LossmithError, ShapeError

TRIES = 3
BASELINE = "cross_entropy"
ALL = "all"

Point = Mapping[str, float]
NO_GRID: tuple[Point, ...] = ({},) * TRIES


@dataclass(frozen=True)
class Arm:
    """One way to train: ``template`` is the loss's spec with the grid's names in braces.

    ``{counts}`` in a template stands for the training rows of every class.

    ``weighting`` is "none", "balanced" or "effective number" (which takes ``beta`` from the grid);
    ``adjust`` adds ``tau * log prior`` to the logits in training only (Menon et al. 2020).
    """

    name: str
    title: str
    about: str
    template: str
    weighting: str = "none"
    adjust: bool = False
    grid: tuple[Point, ...] = NO_GRID

    def __post_init__(self) -> None:
        if len(self.grid) != TRIES:
            raise ValueError(f"arm {self.name} has {len(self.grid)} grid points; every arm has {TRIES}")

    def spec(self, attempt: int, counts: Sequence[int] = ()) -> str:
        """The loss of one try, as a spec; the training rows of every class matter to few."""
        words = dict(self.grid[attempt])
        text = self.template.replace("{counts}", str(list(counts))) if counts else self.template
        return text.format(**words) if words else text

    def describe(self) -> dict[str, Any]:
        """The arm as the results and the report show it."""
        grid = {name: [point[name] for point in self.grid] for name in self.grid[0]}
        return {**asdict(self), "spec": self.template, "grid": grid}


def points(**columns: Sequence[float]) -> tuple[Point, ...]:
    """A grid from its columns.

    >>> points(gamma=(0.5, 1.0))
    ({'gamma': 0.5}, {'gamma': 1.0})
    """
    return tuple(dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def default_arms() -> list[Arm]:
    """Every sensible loss and imbalance remedy; the baseline comes first."""
    return [
        Arm(BASELINE, "Cross-entropy", "The usual loss, and what the others are compared with.", BASELINE),
        Arm(
            "logit_adjusted",
            "Logit-adjusted cross-entropy",
            "Cross-entropy on logits + tau log prior in training, so that plain logits favour rare classes.",
            BASELINE,
            adjust=True,
            grid=points(tau=(0.5, 1.0, 1.5)),
        ),
        Arm(
            "label_smoothing",
            "Label smoothing",
            "Cross-entropy against targets that are a little less than certain.",
            "cross_entropy(label_smoothing={label_smoothing})",
            grid=points(label_smoothing=(0.05, 0.1, 0.2)),
        ),
        Arm(
            "balanced",
            "Balanced cross-entropy",
            "Cross-entropy with every class weighted by the inverse of its frequency.",
            BASELINE,
            weighting="balanced",
        ),
        Arm(
            "class_balanced",
            "Class-balanced cross-entropy",
            "Cross-entropy with classes weighted by their effective number of rows.",
            BASELINE,
            weighting="effective number",
            grid=points(beta=(0.99, 0.999, 0.9999)),
        ),
        Arm(
            "class_balanced_focal",
            "Class-balanced focal",
            "Focal loss with classes weighted by their effective number of rows.",
            "focal(gamma={gamma})",
            weighting="effective number",
            grid=points(beta=(0.99, 0.999, 0.9999), gamma=(0.5, 1.0, 2.0)),
        ),
        Arm(
            "focal",
            "Focal",
            "Cross-entropy that looks away from what is already easy.",
            "focal(gamma={gamma})",
            grid=points(gamma=(0.5, 1.0, 2.0)),
        ),
        Arm(
            "poly",
            "Poly-1",
            "Cross-entropy with the first term of its series in 1 - p changed.",
            "poly(epsilon={epsilon})",
            grid=points(epsilon=(-0.5, 1.0, 2.0)),
        ),
        Arm(
            "generalized_cross_entropy",
            "Generalized cross-entropy",
            "Between cross-entropy and mean absolute error: hears less of rows that may be labelled wrongly.",
            "generalized_cross_entropy(q={q})",
            grid=points(q=(0.3, 0.5, 0.7)),
        ),
    ]


def choose_arms(losses: Sequence[str] | None, classes: int) -> list[Arm]:
    """The default arms, or the baseline and one arm for each given loss; ``all`` is every loss that fits.

    The bare name of a default arm is that arm, grid included; anything else is a spec, trained as it stands.
    """
    known = {arm.name: arm for arm in default_arms()}
    if not losses:
        return list(known.values())
    chosen = {BASELINE: known[BASELINE]}
    for text in (str(loss).strip() for loss in losses):
        if text == ALL:
            from lossmith.compare.remedies.offer import every_arm

            chosen |= {arm.name: arm for arm in every_arm(classes)}
        else:
            chosen.setdefault(text, known.get(text) or own_arm(text))
    return list(chosen.values())


def own_arm(text: str) -> Arm:
    """An arm around a user's spec."""
    if not text:
        raise InputError('a loss is an empty text; give a name or a spec such as "focal(gamma=2)".')
    return Arm(text, text, "A loss given by the user.", text)


def check_arms(arms: Sequence[Arm], classes: int) -> None:
    """Build every loss once and train it on a few made-up rows, so that no run starts that cannot work."""
    for arm in arms:
        for attempt in range(TRIES):
            try:
                try_loss(arm.spec(attempt, even(classes)), classes)
            except LossmithError as error:
                raise InputError(f"loss {arm.spec(attempt)!r}: {error}") from error
            except Exception as error:  # a user's own loss may raise anything
                reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
                raise InputError(f"loss {arm.spec(attempt)!r} cannot be trained on this table: {reason}") from error


def even(classes: int) -> list[int]:
    """Made-up training rows of every class."""
    return [10] * classes


def made_up(classes: int) -> tuple[Any, Any]:
    """Logits and labels to try a loss on."""
    import torch

    logits = torch.linspace(-1.0, 1.0, 4 * classes * classes).reshape(-1, classes)
    return logits, torch.arange(len(logits)) % classes


def try_loss(text: str, classes: int) -> None:
    """One loss and its gradient on made-up logits."""
    import torch

    from lossmith import spec

    logits, labels = made_up(classes)
    logits.requires_grad_()
    loss = spec.create(text)
    try:
        value = loss(logits, labels, sample_weight=torch.ones(len(logits)))
    except ShapeError as error:
        raise InputError(wrong_kind(loss) or str(error)) from error
    if value.dim() != 0:
        raise InputError(f"it must give one number for a batch, not a tensor of shape {tuple(value.shape)}.")
    torch.autograd.backward(value)
    if logits.grad is None:
        raise InputError("it has no gradient, so nothing can be trained with it.")
    check_gradient(logits, labels)


def wrong_kind(loss: Any) -> str:
    """Why a loss does not take logits and classes, where its family or its link tells."""
    for part in getattr(loss, "losses", [loss]):
        if part.family != "likelihood":
            about = f"is a {part.family} loss"
        elif getattr(part, "link", "softmax") != "softmax":
            about = f"has the link {part.link}, which asks about every label by itself"
        else:
            continue
        return (
            f"{part.name} {about}; a table with classes takes likelihood losses over classes: "
            "lossmith list --family likelihood"
        )
    return ""


def check_gradient(logits: Any, labels: Any) -> None:
    """A loss has to pull at least roughly where cross-entropy does; an overflow is left to the runs to tell."""
    import torch

    assert logits.grad is not None
    if not bool(logits.grad.any()):
        raise InputError("its gradient is zero everywhere, so nothing can be trained with it.")
    towards = torch.softmax(logits.detach(), dim=1) - torch.nn.functional.one_hot(labels, logits.shape[1])
    if float((logits.grad * towards).sum()) < 0:
        raise InputError("minimising it makes cross-entropy larger, so it trains the model to be wrong.")


def source_text(arm: Arm) -> str:
    """The text of the user's files behind an arm, so that an edited loss is trained anew."""
    from lossmith.spec import own_files

    found = own_files(arm.template)
    return "".join(path.read_text(encoding="utf-8", errors="replace") for path in found if path.is_file())
