"""What lossmith raises: one type per kind of mistake, each message one sentence for a person.

A message names who complains, what was expected and what was given:
``FocalLoss: target must be class indices in [0, 3); 2 of 8 are not, first 7``.
"""


class LossmithError(ValueError):
    """The base of everything that lossmith raises about what it was given."""


class ShapeError(LossmithError):
    """Shapes that do not fit each other; nothing is broadcast silently."""


class DtypeError(LossmithError, TypeError):
    """A tensor of the wrong kind: floats where class indices belong, or the reverse."""


class DomainError(LossmithError):
    """Values outside the legal set of an input, a target or a weight."""


class ParameterError(LossmithError):
    """A loss parameter or option outside its range, or an unknown one."""


class SpecError(LossmithError):
    """A loss specification such as ``"focal(gamma=2)"`` that cannot be understood."""


class InputError(LossmithError):
    """A table, a column or a setting of the command line that cannot be used (exit code 2)."""


class MissingError(LossmithError, ImportError):
    """A package that an extra of lossmith brings is not installed."""
