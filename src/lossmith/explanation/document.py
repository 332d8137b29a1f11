"""What is known of a loss, as data: from its docstring, its parameters, its claims; `report` shows it."""

import doctest
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lossmith.errors import InputError
from lossmith.explanation import properties
from lossmith.explanation.axes import axis_of, single
from lossmith.explanation.picture import draw
from lossmith.explanation.subjects import Subject, Subjects, subjects
from lossmith.flow.loss import Loss
from lossmith.flow.parameter import spell
from lossmith.flow.sum import WeightedSum
from lossmith.losses.overlap import OverlapLoss

ADVICE = re.compile(r"Use\s+it\s+(?P<use>.+?)\.\s+Not\s+(?P<avoid>.+)\.", re.DOTALL)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a loss, as it is here; `own` ones are declared by the loss or change its formula."""

    name: str
    value: str
    default: str
    rule: str
    about: str
    own: bool


@dataclass(frozen=True)
class Entry:
    """What the docstring and the parameters of one loss say."""

    name: str
    family: str
    class_name: str
    factor: float
    summary: str
    notes: tuple[str, ...]
    use: str
    avoid: str
    source: str
    shapes: str
    parameters: tuple[Parameter, ...]
    anchors: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """One property, and what is known of it for each of the variants."""

    title: str
    answers: tuple[str, ...]
    sentence: str
    definition: str


@dataclass(frozen=True)
class Explanation:
    """Everything about a loss: of a sum each of its terms, of several values of a parameter the properties of each."""

    spec: str
    variants: tuple[str, ...]
    entries: tuple[Entry, ...]
    rows: tuple[Row, ...]
    picture: str  # empty, or why there is none
    subjects: tuple[Subject, ...]

    def figure(self) -> Any:
        """The picture, as `lossmith.plot` draws it."""
        return draw(self.subjects)

    def data(self) -> dict[str, Any]:
        """All of it but the losses themselves, for JSON."""
        return {k: v for k, v in asdict(self._bare()).items() if k != "subjects"}

    def _bare(self) -> "Explanation":
        return Explanation(self.spec, self.variants, self.entries, self.rows, self.picture, ())


def explain(loss: Subjects, values: Mapping[str, Any] | None = None) -> Explanation:
    """What is known of a loss, and of its variants with these values of parameters.

    >>> from lossmith.explanation.document import explain
    >>> found = explain("focal", {"gamma": [0, 2]})
    >>> [(row.title, row.answers) for row in found.rows][0]
    ('convex', ('yes', 'no'))
    """
    given = subjects([loss], values or {})
    first = given[0].loss
    terms = first.terms if isinstance(first, WeightedSum) else [(1.0, first)]
    variants = [one.loss for one in given] if isinstance(first, Loss) else []
    entries = {str(term): entry(term, factor, variants) for factor, term in terms}
    return Explanation(
        given[0].label if len(given) == 1 else entries[str(terms[0][1])].name,
        tuple(one.label for one in given),
        tuple(entries.values()),
        _rows(given),
        _lacking(given),
        tuple(given),
    )


def _rows(given: Sequence[Subject]) -> tuple[Row, ...]:
    found = [properties.of(one.loss) for one in given]
    return tuple(
        Row(each[0].what.title, tuple(map(str, each)), each[0].what.sentence, each[0].what.definition)
        for each in zip(*found, strict=True)
    )


def _lacking(given: Sequence[Subject]) -> str:
    if all(isinstance(term, OverlapLoss) for one in given for term in single(one.loss)):
        return ""
    try:
        axis_of([one.loss for one in given])
    except InputError as reason:
        return str(reason)
    return ""


def entry(loss: Loss, factor: float = 1.0, variants: Sequence[Any] = ()) -> Entry:
    """What the docstring and the parameters of a loss say, the values being those of all its variants."""
    text = type(loss).__doc__ or ""
    parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    prose = [part for part in parts if not re.match(r">>>|Source:|Shapes:|Parameters:", part)]
    advice = next((found for part in prose[1:] if (found := ADVICE.fullmatch(part))), None)
    notes = [plain(part) for part in prose[1:] if ADVICE.fullmatch(part) is None]
    return Entry(
        name=loss.spec_name,
        family=loss.family,
        class_name=type(loss).__name__,
        factor=factor,
        summary=plain(prose[0]) if prose else "",
        notes=tuple(notes),
        use=plain(advice["use"]) if advice else "",
        avoid=plain(advice["avoid"]) if advice else "",
        source=_part(parts, "Source:"),
        shapes=_part(parts, "Shapes:"),
        parameters=tuple(_parameters(loss, variants or [loss])),
        anchors=_anchors(text),
    )


def plain(text: str) -> str:
    """Prose of a docstring on one line, without its marks."""
    return " ".join(text.replace("`", "").split())


def _part(parts: list[str], title: str) -> str:
    found = next((part for part in parts if part.startswith(title)), title)
    return plain(found.removeprefix(title))


def _parameters(loss: Loss, variants: Sequence[Any]) -> list[Parameter]:
    shared = {name for name, parameter in Loss.parameters_.items() if loss.parameters_.get(name) is parameter}
    mine = [name for name in loss.parameters_ if name in loss.own_parameters]
    rest = [name for name in loss.parameters_ if name not in loss.own_parameters and name not in shared]
    return [_parameter(variants, name, name in mine) for name in (*mine, *rest)]


def _parameter(variants: Sequence[Any], name: str, own: bool) -> Parameter:
    found = variants[0].parameters_[name]
    value = ", ".join(dict.fromkeys(spell(getattr(one, name)) for one in variants))
    return Parameter(name, value, spell(found.default), found.rule, plain(found.about), own)


def _anchors(text: str) -> tuple[tuple[str, str], ...]:
    """The examples of the docstring that have a result: code, with the lines that it needs, and what it gives."""
    try:
        found = doctest.DocTestParser().get_examples(text)
    except ValueError:  # a user's own docstring
        return ()
    anchors, code = [], ""
    for one in found:
        code += one.source
        if one.want.strip():
            anchors.append((code.strip(), one.want.strip()))
            code = ""
    return tuple(anchors)
