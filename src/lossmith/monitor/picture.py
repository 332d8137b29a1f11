"""The history of a run as one matplotlib figure, without pyplot and its state."""

from typing import Any

from lossmith.errors import ParameterError
from lossmith.extras import extra
from lossmith.monitor.history import Record, group
from lossmith.text import clean

INK, GREY = "#1f2933", "#8a94a0"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a51a3", "#8c6d00")
MOST = 8  # classes with a colour of their own; the others are one, drawn grey


def draw(records: list[Record]) -> Any:
    """Four panels: loss by class, gradient by class, difficulty now and at the start, share of zero gradients."""
    if not records:
        raise ParameterError(
            "LossMonitor: nothing was recorded: a call counts in training mode, with gradients enabled, outside "
            "torch.compile"
        )
    extra("matplotlib", "plot")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.4), layout="constrained")
    (losses, gradients), (difficulty, zeros) = figure.subplots(2, 2)
    colours = _colours(records)
    _losses(losses, records, colours)
    _gradients(gradients, records, colours)
    _difficulty(difficulty, records)
    _zeros(zeros, records)
    for axes in (losses, gradients, difficulty, zeros):
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(11)
    return figure


def _colours(records: list[Record]) -> dict[str, str]:
    """The classes that supply most gradient over the run, in the order of the target, each with its colour."""
    total: dict[str, float] = {}
    for record in records:
        for name, x in group(record, "class_gradient").items():
            total[name] = total.get(name, 0.0) + x
    most = sorted(total, key=lambda name: -total[name])[:MOST]
    return {name: COLOURS[k] for k, name in enumerate(name for name in total if name in most)}


def _series(records: list[Record], name: str) -> tuple[list[float], list[float]]:
    """Steps and numbers, of the records that have it."""
    points = [(record["step"], record[name]) for record in records if name in record]
    return [x for x, _ in points], [y for _, y in points]


def _line(axes: Any, records: list[Record], name: str, **style: Any) -> None:
    steps, numbers = _series(records, name)
    if not numbers:
        return
    few = {"marker": "o", "markersize": 3} if len(numbers) < 3 else {}
    axes.plot(steps, numbers, **few, **style)


def _losses(axes: Any, records: list[Record], colours: dict[str, str]) -> None:
    axes.set_title("Loss" + " by class" * bool(colours), loc="left")
    for name, colour in colours.items():
        _line(axes, records, f"class_loss/{name}", color=colour, label=_label(name), linewidth=1)
    _line(axes, records, "loss", color=INK, label="all", linewidth=1.8)
    positive = [x for record in records for x in [record["loss"], *group(record, "class_loss").values()] if x == x]
    if positive and min(positive) > 0 and max(positive) > 30 * min(positive):
        axes.set_yscale("log")
    axes.set_xlabel("call")
    if colours:
        axes.legend(fontsize=8, framealpha=0.85)


def _label(name: str) -> str:
    return clean(name, 24).replace("$", r"\$")  # matplotlib reads mathematics between dollars


def _gradients(axes: Any, records: list[Record], colours: dict[str, str]) -> None:
    axes.set_title("Who supplies the gradient", loc="left")
    shown = [record for record in records if group(record, "class_gradient")]
    if not shown:
        _nothing(axes, "no classes")
        return
    steps = [record["step"] for record in shown]
    shares = [group(record, "class_gradient") for record in shown]
    stack = [[share.get(name, 0.0) for share in shares] for name in colours]
    names = [*colours]
    rest = [1 - sum(column) for column in zip(*stack, strict=True)]
    if max(rest) > 0.001:
        stack, names = [*stack, rest], [*names, "the others"]
    paint = [colours.get(name, GREY) for name in names]
    if len(steps) == 1:
        steps, stack = [steps[0], steps[0] + 1], [[*row, *row] for row in stack]
    axes.stackplot(steps, stack, colors=paint, labels=[_label(name) for name in names], alpha=0.85, linewidth=0)
    low = 0.0
    for name, colour in colours.items():  # where each would end if all units supplied the same
        mine = [group(record, "class_share").get(name, 0.0) for record in shown]
        low += sum(mine) / len(mine)
        if name != names[-1]:
            axes.axhline(low, color="white", linestyle="--", linewidth=1.2)
            axes.axhline(low, color=colour, linestyle=(0, (1, 3)), linewidth=0.8)
    axes.set(xlim=(steps[0], steps[-1]), ylim=(0, 1), xlabel="call  (dashed: shares of the units)")
    _in_percent(axes)
    axes.legend(fontsize=8, loc="lower right", framealpha=0.85, reverse=True)


def _difficulty(axes: Any, records: list[Record]) -> None:
    axes.set_title("Gradient by difficulty, now and at the start", loc="left")
    shown = [record for record in records if group(record, "bin_gradient")]
    if not shown:
        _nothing(axes, "no gradient")
        return
    tail = shown[-max(1, len(shown) // 10) :]
    head = shown[: max(1, len(shown) // 10)]
    names = [*group(shown[-1], "bin_gradient")]
    places = range(len(names))
    for what, colour, title, side in (
        ("bin_share", GREY, "units", -0.2),
        ("bin_gradient", COLOURS[0], "gradient", 0.2),
    ):
        now, start = (_mean(part, what, names) for part in (tail, head))
        axes.bar([k + side for k in places], now, 0.4, color=colour, label=f"{title}, now")
        axes.bar([k + side for k in places], start, 0.4, fill=False, edgecolor=INK, linewidth=0.9,
                 label="at the start" if side > 0 else None)  # fmt: skip
    edges = [name.split(" ")[0] for name in names[1:]]
    axes.set_xticks([k + 0.5 for k in range(len(edges))], map(_short, edges), fontsize=8)
    axes.set_xlabel("length of a unit's gradient: easy on the left, hard on the right")
    axes.set_ylim(0, 1)
    _in_percent(axes)
    axes.legend(fontsize=8, frameon=False)


def _short(number: str) -> str:
    """An edge that leaves room for its neighbours.

    >>> _short("0.0003"), _short("0.03")
    ('3e-4', '0.03')
    """
    if not 0 < float(number) < 0.001:
        return number
    digits, power = f"{float(number):e}".split("e")
    return f"{float(digits):g}e{int(power)}"


def _mean(records: list[Record], what: str, names: list[str]) -> list[float]:
    shares = [group(record, what) for record in records]
    return [sum(share.get(name, 0.0) for share in shares) / len(shares) for name in names]


def _zeros(axes: Any, records: list[Record]) -> None:
    axes.set_title("Units that teach nothing", loc="left")
    _line(axes, records, "zero_gradient", color=COLOURS[1], label="gradient exactly 0")
    _line(axes, records, "ignored", color=GREY, label="masked or ignored", linestyle="--")
    axes.set(ylim=(-0.02, 1.02), xlabel="call")
    _in_percent(axes)
    axes.legend(fontsize=8, frameon=False)


def _nothing(axes: Any, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", color=GREY, transform=axes.transAxes)
    axes.set(xticks=[], yticks=[])


def _in_percent(axes: Any) -> None:
    axes.yaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f} %")
