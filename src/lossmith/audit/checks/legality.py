"""Legality: what cannot be right is refused, not computed."""

import functools
from collections.abc import Callable

import torch

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, LossRaisedError, near
from lossmith.audit.check import MistakeError, NotApplicableError, check
from lossmith.audit.checks.focus import per_class
from lossmith.audit.kinds import ELEMENTS, OVERLAP, ROWS

IMPOSSIBLE = {
    "gamma": -1.0,
    "delta": -1.0,
    "beta": -1.0,
    "q": 1.5,
    "quantile": 1.5,
    "label_smoothing": 1.5,
    "temperature": -1.0,
    "p": -1.0,
}


def refused(what: str, call: Callable[[], object]) -> str:
    """What an error said; `MistakeError` if there was none."""
    try:
        seen = call()
    except LossRaisedError as raised:
        return str(raised)
    raise MistakeError(f"{what}: no error, the value is {seen:.6g}" if isinstance(seen, float) else f"{what}: no error")


@check(
    *ELEMENTS,
    expects="inputs [N, 1] with targets [N] are refused, or treated element by element",
    why="Broadcasting makes N x N pairs of them: every prediction is compared with every target.",
    link="pytorch/pytorch#16045",
)
def broadcast_refused(case: Case) -> None:
    if case.kind.name == "multilabel":
        batch = case.batch(4)
        wide, narrow = batch.put(batch.input[:, :1]), batch.put(batch.input, target=batch.labels[:, :1])
        refused("inputs [4, 1] with targets [4, 4]", lambda: case.number(wide))
        refused("inputs [4, 4] with targets [4, 1]", lambda: case.number(narrow))
        return
    batch = case.batch()
    plain = case.number(batch)
    for words, bad in (
        (
            "inputs [8, 1] with targets [8]",
            batch.map(lambda x: x.unsqueeze(1)).put(batch.input.unsqueeze(1), target=batch.labels),
        ),
        ("inputs [8] with targets [8, 1]", batch.put(batch.input, target=batch.labels.unsqueeze(1))),
    ):
        try:
            seen = case.number(bad)
        except LossRaisedError:
            continue
        if not near(seen, plain, 1e-5):
            raise MistakeError(f"{words}: no error, the value is {seen:.6g} instead of {plain:.6g}: 8 x 8 pairs")


@check(
    *ROWS,
    "overlap",
    expects="a target of another number of units than the input is refused",
    why="Targets that are broadcast or cut off train on labels of other examples.",
    link="pytorch/pytorch#12670",
)
def target_of_another_length_refused(case: Case) -> None:
    batch = case.batch(4)
    refused("4 rows with 3 targets", lambda: case.number(batch.put(batch.input, target=batch.labels[:3])))
    refused("4 rows with 1 target", lambda: case.number(batch.put(batch.input, target=batch.labels[:1])))


@check(
    *ROWS,
    *OVERLAP,
    "sigmoid",
    "multilabel",
    "binary_prob",
    expects="a target outside its range (class C, class -1, a label of 255) is refused",
    why="BCE with a target of 255 is minus 250: the model is paid for a label that does not exist.",
    link="pytorch/pytorch#1944",
)
def target_range_is_checked(case: Case) -> None:
    batch = case.batch(4)
    bad = (batch.input.shape[1], -1) if not batch.labels.is_floating_point() else (255.0, -1.0)
    for value in bad:
        target = batch.labels.clone()
        target.view(-1)[0] = value
        refused(f"a target of {value}", functools.partial(case.number, batch.put(batch.input, target=target)))


@check(
    "margin",
    expects="labels 0 and 1 are refused, or read as -1 and 1",
    why="A label 0 makes every margin 0: its examples cost a constant and teach nothing.",
    link="bermanmaxim/LovaszSoftmax#10",
)
def label_0_refused(case: Case) -> None:
    z = torch.tensor([5.0, 3.0])
    try:
        seen = case.number(Batch((z,), torch.tensor([0.0, 1.0])))
    except LossRaisedError:
        return
    want = case.number(Batch((z,), torch.tensor([-1.0, 1.0])))
    if not near(seen, want, 1e-4):
        raise MistakeError(f"no error, and the label 0 costs {seen:.6g} instead of {want:.6g}")


@check(
    *ROWS,
    expects="class indices given as floats are refused, or read as the same indices",
    why="A table read by pandas has float labels; taken for probabilities they mean something else.",
    link="pytorch/pytorch#72824",
)
def float_indices_are_not_guessed(case: Case) -> None:
    batch = case.batch()
    try:
        seen = case.number(batch.put(batch.input, target=batch.labels.float()))
    except LossRaisedError:
        return
    if not near(seen, case.number(batch), 1e-5):
        raise MistakeError(f"no error, {seen:.6g} instead of {case.number(batch):.6g}")


@check(
    "prob",
    "binary_prob",
    expects="an input outside [0, 1] is refused",
    why="A logit given for a probability is clipped to 1 in silence, and has no gradient.",
    link="qubvel-org/segmentation_models.pytorch#1263",
)
def a_logit_is_no_probability(case: Case) -> None:
    batch = case.batch()
    z = batch.input.clone()
    z.view(-1)[0] = 3.0
    refused("a probability of 3.0", lambda: case.number(batch.put(z)))


@check(
    *ROWS,
    expects="a class weight of the wrong length is refused",
    why="A vector that is broadcast or indexed out of step weighs other classes than its author meant.",
    link="open-mmlab/mmaction2#2112",
)
def weight_length_is_checked(case: Case) -> None:
    name = per_class(case)
    batch = case.batch()
    classes = batch.input.shape[1]
    for count in (classes - 1, classes + 1):
        for vector in (torch.arange(1.0, count + 1), [1.0] * count):
            try:
                refused(
                    f"{count} weights for {classes} classes", functools.partial(case.number, batch, **{name: vector})
                )
            except NotApplicableError:
                continue  # refused when it was made


@check(
    expects='a reduction that does not exist, "average", is refused',
    why='An else-branch takes a misspelt "mean" for "none" or "sum".',
    link="https://docs.pytorch.org/docs/stable/nn.html#loss-functions",
)
def an_unknown_reduction_is_refused(case: Case) -> None:
    case.need("reduction")
    _impossible(case, "reduction", "average")


@check(
    expects="impossible parameters (gamma, delta or beta below 0, a quantile of 1.5, ...) are refused",
    why="A sign lost in a configuration file turns the loss around, and nothing else shows it.",
    link="pytorch/pytorch#194501",
)
def impossible_parameters_are_refused(case: Case) -> None:
    names = [name for name in IMPOSSIBLE if case.accepts(name)]
    if not names:
        raise NotApplicableError(f"it has no parameter of {', '.join(IMPOSSIBLE)}")
    for name in names:
        _impossible(case, name, IMPOSSIBLE[name])


def _impossible(case: Case, name: str, value: object) -> None:
    try:
        refused(f"{name}={value!r}", lambda: case.number(case.batch(), **{name: value}))
    except NotApplicableError:
        return  # refused when it was made
