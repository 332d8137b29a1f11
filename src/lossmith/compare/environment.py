"""What a comparison finds around it: the packages that it needs, their versions, and the cores that it may use."""

import os
from importlib.metadata import version
from importlib.util import find_spec

from lossmith.errors import InputError

EXTRA = ("numpy", "scipy", "pandas", "pyarrow", "sklearn", "imblearn", "jinja2", "plotly", "rich")
LIBRARIES = ("torch", "numpy", "scikit-learn", "scipy", "pandas", "imbalanced-learn")


def check_extra() -> None:
    """Say at once that the extra is not installed, and not after an hour of training."""
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise InputError(f'{", ".join(missing)} not installed; a comparison needs: pip install "lossmith[compare]"')


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """What the figures may depend on beside the data: this package and the libraries that compute."""
    from lossmith import __version__

    return {"lossmith": __version__, **{name: version(name) for name in LIBRARIES}}
