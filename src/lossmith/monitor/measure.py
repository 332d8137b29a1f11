"""The numbers of a record, from what was heard of a call: sums, read from the device at once, and their ratios."""

import itertools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lossmith.monitor.classes import Membership, membership
from lossmith.monitor.listen import Heard, Part
from lossmith.text import clean

Numbers = dict[str, float]
EDGES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)  # half decades: they fit any loss, and do not move


def bin_names(edges: Sequence[float]) -> list[str]:
    """What the bins of difficulty are called.

    >>> bin_names([0.1, 1.0])
    ['0 to 0.1', '0.1 to 1', '1 and more']
    """
    return [f"{low:g} to {high:g}" for low, high in itertools.pairwise([0.0, *edges])] + [f"{edges[-1]:g} and more"]


def measure(heard: Heard, groups: dict[str, list[int]] | None, edges: Sequence[float]) -> Numbers:
    """All numbers of a record but the loss; what has no meaning here (a class without units) is not in it."""
    if not heard.parts:
        return {}
    part, length = heard.first, heard.length()
    shown, member = counted_units(part), membership(part, groups)
    counted = shown.to(_wide(shown))
    sums = {"counted": counted.sum()[None]}
    each = counted[None]
    if length is not None:
        length = length.detach().flatten().to(counted)
        fine = torch.isfinite(length)
        g = torch.where(fine & shown, length, 0.0)
        each = torch.stack([counted, g])
        sums["nonfinite"] = (shown & ~fine).sum()[None]
        sums["zero"] = (shown & (length == 0)).sum()[None]
        sums["bins"] = _by_bin(each, edges).flatten()
    if member is not None:
        sums |= _by_class(heard, member, each)
    terms = [one for one in heard.parts if one.term and one.result is not None]
    for one in terms:
        sums[f"term_loss/{heard.parts.index(one) + 1} {clean(one.loss)}"] = _mean(one)[None]
    return _ratios(_read(sums), len(shown), None if member is None else member.names, bin_names(edges))


def counted_units(part: Part) -> Tensor:
    """True for the units that are neither masked nor ignored nor of sample weight 0, [units]."""
    assert part.units is not None
    shown = part.units.shown
    if shown is None:
        return torch.ones(part.units.shape, dtype=torch.bool, device=part.inputs[0].device).flatten()
    return shown.expand(part.units.shape).flatten()


def _wide(like: Tensor) -> torch.dtype:
    """What adds up a million lengths without loss, where the device has it."""
    return torch.float32 if like.device.type == "mps" else torch.float64


def _mean(part: Part) -> Tensor:
    """The loss of a term."""
    assert part.result is not None
    mean = part.result if part.result.dim() == 0 else part.mean()
    assert mean is not None
    return mean


def _by_bin(each: Tensor, edges: Sequence[float]) -> Tensor:
    """How many units have a gradient of this length, and how much of it comes from them, [2, bins]."""
    place = torch.bucketize(each[1], each.new_tensor(edges), right=True)
    return each.new_zeros(2, len(edges) + 1).index_add_(1, place, each)


def _by_class(heard: Heard, member: Membership, each: Tensor) -> dict[str, Tensor]:
    """Of each class the units and their gradient, and the loss; with several labels, those of the present ones."""
    found = {"classes": member.sums(each).flatten()}
    losses = [_class_loss(part, member, each[0]) for part in heard.parts]
    if heard.complete and all(x is not None for x in losses):
        scaled = [part.factor * x for part, x in zip(heard.parts, losses, strict=True) if x is not None]
        found["class_loss"] = torch.stack(scaled).sum(0)
    if member.positive is not None:
        found["positive"] = each @ member.positive.to(each)
    return found


def _class_loss(part: Part, member: Membership, number: Tensor) -> Tensor | None:
    """The mean value of each class; None where a value is neither of a unit nor of a class."""
    value, share = part.value, part.share if part.loss.normalizer == "weight" else None
    if value is None:
        return None
    if part.unitwise:
        each = number if share is None else share.flatten().to(number)
        sums = member.sums(torch.stack([value.flatten().to(number), each]))
    elif part.loss.family == "overlap" and value.dim() and value.shape[-1] == member.count:
        value, share = value.to(number), torch.ones_like(value) if share is None else share  # [N, C] or [C]
        each = torch.stack([value, share.to(number)]).reshape(2, -1, value.shape[-1]).sum(1)
        sums = member.grouped(each, member.group[: member.count])
    else:
        return None
    return sums[0] / sums[1]


def _read(sums: dict[str, Tensor]) -> dict[str, list[float]]:
    """Numbers of Python by way of one copy from the device."""
    wide = _wide(sums["counted"])
    numbers = iter(torch.cat([x.detach().to(wide) for x in sums.values()]).tolist())
    return {name: list(itertools.islice(numbers, len(x))) for name, x in sums.items()}


def _ratios(sums: dict[str, list[float]], units: int, classes: list[str] | None, bins: list[str]) -> Numbers:
    """Shares and means of the sums, by name."""
    (counted,) = sums.pop("counted")
    found = {"ignored": 1 - counted / units} if units else {}
    found |= {name: xs[0] for name, xs in sums.items() if name.startswith("term_loss/") or name == "nonfinite"}
    total = 0.0
    if "bins" in sums:
        numbers, lengths = _halves(sums["bins"])
        total = sum(lengths)
        if counted:
            found |= {"zero_gradient": sums["zero"][0] / counted, "gradient": total / counted}
        found |= _shares("bin_share", bins, numbers, counted) | _shares("bin_gradient", bins, lengths, total)
    if classes is not None:
        numbers, lengths = _halves(sums["classes"]) if "bins" in sums else (sums["classes"], [])
        found |= _shares("class_share", classes, numbers, counted) | _shares("class_gradient", classes, lengths, total)
        losses = zip(classes, sums.get("class_loss", []), strict=False)
        found |= {f"class_loss/{name}": x for name, x in losses if x == x}  # 0 / 0: none of this class in the batch
        both = zip(("positive_share", "positive_gradient"), sums.get("positive", []), (counted, total), strict=False)
        found |= {name: x / all_ for name, x, all_ in both if all_}
    return found


def _halves(xs: list[float]) -> tuple[list[float], list[float]]:
    return xs[: len(xs) // 2], xs[len(xs) // 2 :]


def _shares(what: str, names: Iterable[str], parts: list[float], total: float) -> Numbers:
    """The share of each in the total, by name; none of nothing."""
    return {f"{what}/{name}": x / total for name, x in zip(names, parts, strict=False)} if total else {}
