"""What loaders and a model ask for: the task, read off one pass over each loader."""

import hashlib
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lossmith.compare.data.target import MAX_CLASSES, Goal
from lossmith.compare.data.task import Task
from lossmith.compare.models.fitted import PARTS, Prepared
from lossmith.compare.runs.loaders import Own, plain
from lossmith.compare.runs.prepare import spread
from lossmith.errors import InputError
from lossmith.text import as_clause, listing

SAME_ROWS = (
    "Every repeat trains, validates and tests on the rows of your loaders; repeats differ in initial weights and order "
    "alone, so intervals tell what chance in training does, not what other rows would."
)
KINDS = ("classification", "segmentation", "regression", "multilabel")
EXPECTED = (
    "whole numbers [N] with logits [N, C], whole numbers [N, H, W] with logits [N, C, H, W], floats [N] with outputs "
    "[N] or [N, 1], or zeros and ones [N, L] with logits [N, L]"
)


@dataclass(frozen=True)
class LoaderTask(Task):
    """What loaders ask for; ``arrays`` has the targets to be judged on."""

    sizes: dict[str, int] = field(default_factory=dict)
    batch: int = 1
    fingerprint: str = ""

    @property
    def inputs(self) -> str:
        """What a model sees."""
        return "loaders"

    def describe(self) -> dict[str, Any]:
        """With the rows of all loaders."""
        return {**super().describe(), "rows": sum(self.sizes.values())}

    @cached_property
    def digest(self) -> str:
        """A hash of the targets, the first training batch, the model and its optimizer."""
        return hashlib.sha256((super().digest + self.fingerprint).encode()).hexdigest()


def optimizer_of(own: Own, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a model, or one sentence."""
    try:
        found = own.optimizer(model.parameters())
    except Exception as error:
        raise InputError(f"no optimizer can be made for this model: {as_clause(error)}.") from error
    if not isinstance(found, torch.optim.Optimizer):
        raise InputError(f"optimizer must return a torch optimizer, not {type(found).__name__}.")
    return found


def fresh_model(own: Own, seed: int) -> nn.Module:
    """A model, after it is seen that another call gives other layers with the same initial weights."""
    one, other = own.model(seed), own.model(seed)
    if any(nn.parameter.is_lazy(value) for value in one.parameters()):
        raise InputError("model() has lazy layers, whose weights would depend on the first batch; give their sizes.")
    if holders(one) & holders(other):
        raise InputError("two calls of model() return the same layers; build all of them anew in each call.")
    twin = other.state_dict()
    if any(not torch.equal(value, twin[name]) for name, value in one.state_dict().items()):
        raise InputError(
            "model() gives other initial weights for the same seed, so arms cannot be paired; use torch's."
        )
    return one


def holders(model: nn.Module) -> set[int]:
    """The identities of all that training changes."""
    return {id(value) for value in (*model.parameters(), *model.buffers())}


def read(own: Own, seed: int, asked: str, names: Sequence[Any] | None) -> tuple[LoaderTask, Prepared]:
    """The task that the loaders and the model pose, and the rows of a repeat, from one pass over each loader."""
    model = fresh_model(own, seed)
    with own.seeded(seed, "validation"):
        inputs, targets = next(own.batches("validation"), (None, None))
    if targets is None:
        raise InputError("the validation loader is empty.")
    outputs = tried(own, model, inputs)
    kind = kind_of(targets, outputs, asked)
    width = outputs.shape[1] if kind != "regression" else 0
    problem = kind if kind != "classification" else "binary" if width == 2 else "multiclass"
    if width > MAX_CLASSES:
        raise InputError(f"the model has {width:,} classes; at most {MAX_CLASSES} are accepted.")
    first, counts, kept = passed(own, seed, problem, width, tuple(targets.shape[1:]))
    goal = goal_of(problem, width, names, kept, counts)
    scale = spread(kept["train"])[1] if kind == "regression" else 1.0
    task = LoaderTask(
        source=type(model).__name__,
        target="own-loaders",
        goal=goal,
        arrays={"targets": kept["validation"], "test targets": kept["test"]},
        features=features(inputs),
        notes=[SAME_ROWS, *absent(goal, counts)],
        sizes={part: len(rows) for part, rows in kept.items()},
        batch=len(first[1]),
        fingerprint=fingerprint(own, model, first),
    )
    given = {"train": torch.empty(0, sum(per_row(value) for value in tensors(inputs).values()))}
    return task, Prepared(0, given, kept, counts["train"], scale=scale)


def tried(own: Own, model: nn.Module, inputs: Any) -> Tensor:
    """The outputs for the first validation batch."""
    try:
        with torch.no_grad():
            outputs = own.outputs(model.eval(), inputs)
    except Exception as error:
        reason = f"{type(error).__name__}: {as_clause(' '.join(str(error).strip().splitlines()[:1]))}"
        raise InputError(f"the model fails on the first validation batch: {reason}.") from error
    if not isinstance(outputs, Tensor):
        raise InputError(f"the model must give one tensor of outputs, not {type(outputs).__name__}.")
    return outputs.cpu()


def kind_of(targets: Tensor, outputs: Tensor, asked: str) -> str:
    """The kind of task that targets and outputs fit together in, or one sentence."""
    t, o, whole = tuple(targets.shape[1:]), tuple(outputs.shape[1:]), not targets.is_floating_point()
    marks = bool(((targets == 0) | (targets == 1)).all())
    fits = {
        "classification": t == () and len(o) == 1 and o[0] > 1 and (whole or asked != "auto"),
        "segmentation": whole and len(t) == 2 and len(o) == 3 and o[0] > 1 and o[1:] == t,
        "regression": t in ((), (1,)) and o in ((), (1,)) and (not whole or asked != "auto"),
        "multilabel": len(t) == 1 and t[0] > 1 and o == t and marks,
    }
    kinds = [kind for kind, fit in fits.items() if fit and asked in ("auto", kind)]
    if kinds and len(outputs) == len(targets):
        return kinds[0]
    given = f"targets {list(targets.shape)} of {str(targets.dtype)[6:]} and outputs {list(outputs.shape)}"
    of = "" if asked == "auto" else f" of a {asked}"
    two = "; for two classes give two logits" if whole and t == () and o in ((), (1,)) else ""
    raise InputError(f"{given} do not fit together{of}{two}; expected {EXPECTED}.")


def passed(
    own: Own, seed: int, problem: str, width: int, shape: tuple[int, ...]
) -> tuple[tuple[Any, Tensor], dict[str, NDArray[np.int64]], dict[str, NDArray[Any]]]:
    """One pass over each loader: the first training batch, the rows of every class, and the targets.

    Of masks to train on only their number is kept.
    """
    counts: dict[str, NDArray[np.int64]] = {}
    kept: dict[str, NDArray[Any]] = {}
    first: list[tuple[Any, Tensor]] = []
    for part in PARTS:
        rows, counts[part] = [], np.zeros(width, dtype=np.int64)
        with own.seeded(seed, part):
            for inputs, targets in own.batches(part):
                if part == "train" and not first:
                    first.append((inputs, targets))
                values = checked(part, problem, width, shape, targets)
                if problem == "multilabel":
                    counts[part] += values.sum(axis=0, dtype=np.int64)
                elif problem != "regression":
                    counts[part] += np.bincount(values.ravel(), minlength=width)
                rows.append(values[:, :0, :0] if (part, problem) == ("train", "segmentation") else values)
        if not rows:
            raise InputError(f"the {part} loader is empty.")
        kept[part] = np.concatenate(rows)
    return first[0], counts, kept


def checked(part: str, problem: str, width: int, shape: tuple[int, ...], targets: Tensor) -> NDArray[Any]:
    """The targets of a batch, or one sentence why they are none."""
    if targets.dim() != len(shape) + 1 or (problem != "segmentation" and tuple(targets.shape[1:]) != shape):
        found, known = list(targets.shape), ["N", *shape]
        raise InputError(f"the {part} loader has targets of shape {found}, the first ones of validation {known}.")
    values = plain(problem, targets)
    if problem == "regression":
        if not np.isfinite(values).all():
            raise InputError(f"the {part} loader has targets that are not finite; leave these rows out.")
        return values
    last = 1 if problem == "multilabel" else width - 1
    wrong = (values < 0) | (values > last) | (values != targets.detach().cpu().numpy())
    if wrong.any():
        bad = targets.detach().cpu().numpy()[wrong].flat[0]
        raise InputError(f"the {part} loader has the target {bad:g}; the model's outputs are for 0 to {last}.")
    return values


def goal_of(
    problem: str,
    width: int,
    names: Sequence[Any] | None,
    kept: dict[str, NDArray[Any]],
    counts: dict[str, NDArray[np.int64]],
) -> Goal:
    """What is predicted; every class has to be there in training, and two of them wherever rows are judged."""
    targets = kept["validation"]
    if problem == "regression":
        if names is not None:
            raise InputError("classes are named, but the targets are numbers; leave classes out.")
        return Goal(problem, targets, [], [])
    classes = [str(name) for name in (range(width) if names is None else names)]
    if len(classes) != width or len(set(classes)) != width:
        raise InputError(f"classes must be {width} different names, one for each output, not {listing(classes)}.")
    total = np.sum(list(counts.values()), axis=0)
    for part, found in counts.items():
        there = (found > 0) & (found < len(kept[part])) if problem == "multilabel" else found > 0
        if there.sum() < (width if part == "train" else 1 if problem == "multilabel" else 2):
            missing = listing(name for name, here in zip(classes, there, strict=True) if not here)
            need = "both absence and presence" if problem == "multilabel" else "rows"
            raise InputError(f"the {part} loader has not {need} of {missing}; without, nothing can be compared.")
    positive = int(total[1] <= total[0]) if problem == "binary" else None
    return Goal(problem, targets, classes, total.tolist(), positive)


def absent(goal: Goal, counts: dict[str, NDArray[np.int64]]) -> list[str]:
    """The classes that judging cannot see."""
    told = []
    for part in PARTS[1:]:
        missing = [name for name, count in zip(goal.classes, counts[part], strict=True) if not count]
        if missing:
            told.append(f"The {part} loader has no row of {listing(missing)}.")
    return told


def tensors(inputs: Any) -> dict[str, Tensor]:
    """The tensors of a batch by name."""
    if isinstance(inputs, Tensor):
        return {"input": inputs}
    if isinstance(inputs, Mapping):
        return dict(inputs)
    return {f"input {k}": value for k, value in enumerate(inputs, start=1)}


def per_row(values: Tensor) -> int:
    """How many numbers a row has."""
    return values[:1].numel()


def features(inputs: Any) -> list[dict[str, Any]]:
    """The inputs as the report lists columns."""
    return [
        {"name": name, "kind": f"{str(value.dtype)[6:]} {list(value.shape[1:])}", "missing": 0}
        for name, value in tensors(inputs).items()
    ]


def fingerprint(own: Own, model: nn.Module, first: tuple[Any, Tensor]) -> str:
    """A hash of the model's layers, code and initial weights, of its optimizer and of the first training batch."""
    groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer_of(own, model).param_groups]
    try:
        code = inspect.getsource(type(model))
    except (OSError, TypeError):  # typed in, or built in
        code = ""
    words = re.sub(r" at 0x[0-9a-fA-F]+", "", repr((model, code, groups)))
    content = hashlib.sha256(words.encode())
    for name, value in {**model.state_dict(), **tensors(first[0]), "targets": first[1]}.items():
        content.update(repr((name, tuple(value.shape), value.dtype)).encode())
        content.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return content.hexdigest()
