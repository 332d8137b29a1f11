"""The rows that are to blame for a loss or a gradient that is not finite."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lossmith.monitor.classes import membership
from lossmith.monitor.listen import Heard, Part
from lossmith.monitor.measure import counted_units
from lossmith.text import clean

SHOWN, KEPT = 5, 100  # rows in the message, and in the finding


@dataclass(frozen=True)
class Finding:
    """A call whose loss or gradient was not finite, and the units to blame; `str` says it in a sentence.

    `rows` has the place of each in the batch (an index per axis of the units), its class (None without), the first
    number of its input that is not finite (None if all are), and its loss (None where a unit has none of its own).
    """

    step: int
    loss: float
    count: int  # of the units to blame, of which `rows` has the first hundred
    units: int
    rows: tuple[dict[str, Any], ...]

    def __str__(self) -> str:
        what = f"the loss is {self.loss:g}" if self.loss - self.loss != 0 else "the gradient is not finite"
        head = f"LossMonitor: {what} at step {self.step}"
        if not self.count:
            return f"{head}; every unit of the batch is finite, so it is their sum that overflows"
        which = ", ".join(map(_describe, self.rows[:SHOWN])) + f" and {self.count - SHOWN} more" * (self.count > SHOWN)
        if self.count == self.units and self.units > 1:
            return f"{head}; all {self.units} units are to blame, so look at the model before the data: {which}"
        return f"{head}; {self.count} of {self.units} units {'is' if self.count == 1 else 'are'} to blame: {which}"


def _describe(row: dict[str, Any]) -> str:
    of = [] if row["class"] is None else [f"class {row['class']}"]
    of += [] if row["input"] is None else [f"input {row['input']:g}"]
    of += [] if row["loss"] is None else [f"loss {row['loss']:g}"]
    place = "row " + (str(row["index"][0]) if len(row["index"]) == 1 else str(list(row["index"])))
    return f"{place} ({', '.join(of)})" if of else place


def find(heard: Heard, groups: dict[str, list[int]] | None, step: int, loss: float) -> Finding:
    """Name the units of a call that are not finite: by value and gradient where units are apart, else by input."""
    if not heard.parts:
        return Finding(step, loss, 0, 0, ())
    part, length = heard.first, heard.length()
    assert part.units is not None
    counted = counted_units(part)
    wrong = torch.zeros_like(counted) if length is None else ~torch.isfinite(length.detach().flatten())
    by_input = torch.zeros_like(counted)
    for one in heard.parts:
        for x in one.inputs[: one.loss.inputs_per_unit]:
            by_input |= _odd(x, part).flatten()
        if one.loss.scope == "unit" and one.unitwise and one.value is not None:
            wrong |= ~torch.isfinite(one.value.flatten())
    apart = all(one.loss.scope == "unit" and one.loss.family != "overlap" for one in heard.parts)
    if not apart and bool((by_input & counted).any()):
        wrong = by_input
    places = (wrong & counted).nonzero()[:, 0]
    rows = tuple(_row(k, part, groups) for k in places[:KEPT].tolist())
    return Finding(step, loss, len(places), int(counted.sum()), rows)


def _odd(x: Tensor, part: Part) -> Tensor:
    """True where a unit's input has a number that is not finite; -inf on a class that is ruled out is legal."""
    assert part.units is not None
    odd = ~torch.isfinite(x.detach())
    behind = x.dim() - len(part.units.shape)
    if not behind:
        return odd
    if part.units.axis is not None:
        return odd.any(part.units.axis)
    return odd.flatten(len(part.units.shape)).any(-1) if len(part.units.shape) else odd.any()


def _row(k: int, part: Part, groups: dict[str, list[int]] | None) -> dict[str, Any]:
    assert part.units is not None
    index = tuple(int(i) for i in torch.unravel_index(torch.tensor(k), part.units.shape)) if part.units.shape else (0,)
    row: dict[str, Any] = {"index": index, "class": _class(k, part, groups), "input": None, "loss": None}
    for x in part.inputs[: part.loss.inputs_per_unit]:
        rows = x.detach()
        if part.units.axis is not None and x.dim() > len(part.units.shape):
            rows = rows.movedim(part.units.axis, -1)
        numbers = rows[index].flatten() if part.units.shape else rows.flatten()
        odd = numbers[~torch.isfinite(numbers)]
        if len(odd) and row["input"] is None:
            row["input"] = float(odd[0])
    if part.unitwise and part.value is not None:
        row["loss"] = float(part.value.flatten()[k])
    return row


def _class(k: int, part: Part, groups: dict[str, list[int]] | None) -> str | None:
    """The class of one unit in words; of a mixture the largest."""
    member = membership(part, groups)
    if member is None:
        return None
    own = member.index[k] if member.index is not None else member.soft[k].argmax() if member.soft is not None else None
    place = len(member.names) if own is None else int(member.group[own])
    return clean(member.names[place]) if place < len(member.names) else None
