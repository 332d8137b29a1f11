"""The arms of a comparison: a loss, how its classes are weighted, and a grid for the loss's own parameters.

Every arm gets the same number of tries, ``TRIES``. Try k starts from initial weights and sees batches that depend on
(seed, repeat, k) alone, so all arms are paired, and it takes the k-th point of the arm's own grid; an arm without a
parameter has that many starts. The best try on validation is kept, so nobody gets more chances there than another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lossmith.compare.remedies.calibrators import CALIBRATORS, NoCalibrator
from lossmith.compare.remedies.resampling import RESAMPLINGS

TRIES = 3
BASELINE = "cross_entropy"
FURTHER = ("adasyn", "balanced_ensemble")  # only when asked for: one takes numbers alone, one trains five networks

Point = Mapping[str, float]
NO_GRID: tuple[Point, ...] = ({},) * TRIES


@dataclass(frozen=True)
class Arm:
    """One way to train: ``template`` is the loss's spec with the grid's names in braces.

    ``{counts}`` in a template stands for the training rows of every class.

    ``weighting`` is "none", "balanced" or "effective number" (which takes ``beta`` from the grid);
    ``adjust`` adds ``tau * log prior`` to the logits in training only (Menon et al. 2020). ``resampling`` changes which
    training rows are seen (see ``resampling``), ``calibration`` the probabilities after training (see ``calibrators``).
    ``also`` are the losses of further outputs, such as the quantiles of an interval.
    """

    name: str
    title: str
    about: str
    template: str
    weighting: str = "none"
    adjust: bool = False
    resampling: str = "none"
    calibration: str = "none"
    also: tuple[str, ...] = ()
    grid: tuple[Point, ...] = NO_GRID

    def __post_init__(self) -> None:
        if len(self.grid) != TRIES:
            raise ValueError(f"arm {self.name} has {len(self.grid)} grid points; every arm has {TRIES}")
        if self.resampling not in ("none", *RESAMPLINGS) or self.calibration not in CALIBRATORS:
            raise ValueError(f"arm {self.name} has a resampling or a calibration that there is not")

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
    """Every sensible loss and imbalance remedy: the baseline, then calibrated, then other losses, then other rows."""
    baseline = Arm(BASELINE, "Cross-entropy", "The usual loss, and what the others are compared with.", BASELINE)
    calibrated = [
        Arm(name, made.title, made.about, BASELINE, calibration=name)
        for name, made in CALIBRATORS.items()
        if made is not NoCalibrator
    ]
    return [baseline, *calibrated, *loss_arms(), *(arm for arm in resampling_arms() if arm.name not in FURTHER)]


def resampling_arms() -> list[Arm]:
    """Cross-entropy on other training rows, one arm for each way to choose them."""
    return [Arm(name, made.title, made.about, BASELINE, resampling=name) for name, made in RESAMPLINGS.items()]


def known_arms() -> list[Arm]:
    """The default arms and the further ones that have a name."""
    return [*default_arms(), *(arm for arm in resampling_arms() if arm.name in FURTHER)]


def loss_arms() -> list[Arm]:
    """Cross-entropy weighted or adjusted, and other losses."""
    return [
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


def source_text(arm: Arm) -> str:
    """The text of the user's files behind an arm, so that an edited loss is trained anew."""
    from lossmith.spec import own_files

    found = own_files(arm.template)
    return "".join(path.read_text(encoding="utf-8", errors="replace") for path in found if path.is_file())
