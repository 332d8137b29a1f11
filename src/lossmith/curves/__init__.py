"""Curves through data under any residual loss: ``lossmith.curve_fit(x, y, "poly:3", loss="huber")``."""

from lossmith.extras import extra

for needed in ("numpy", "scipy", "pandas"):
    extra(needed, "compare")  # one sentence where it is missing, before anything below imports it

from lossmith.curves.result import Curve, Curves  # noqa: E402
from lossmith.curves.session import curve_fit  # noqa: E402

__all__ = ["Curve", "Curves", "curve_fit"]
