"""A fit as one HTML page that opens offline and fetches nothing; everything that comes from the data is escaped."""

import base64
from pathlib import Path

from lossmith.curves import terminal
from lossmith.curves.picture import rendered
from lossmith.curves.table import Fitting
from lossmith.page import template
from lossmith.text import clean

PAGE = Path(__file__).parent / "page" / "fit.html"


def page(fitting: Fitting) -> str:
    """The text of the page; the picture is inside it, as data."""
    picture = base64.b64encode(rendered(fitting.curves, "svg")).decode("ascii")
    first = next(iter(fitting.results["losses"].values()))
    return template(PAGE, number=terminal.number, clean=clean).render(
        results=fitting.results,
        about=terminal.about(fitting.results),
        remarks=terminal.remarks(fitting.results),
        figures=terminal.FIGURES,
        parameters=list(first["parameters"]),
        picture=f"data:image/svg+xml;base64,{picture}",
    )


def written(fitting: Fitting, path: Path) -> str | bytes:
    """What a file of this ending holds."""
    ending = path.suffix.lower().removeprefix(".")
    return page(fitting) if ending in ("html", "htm") else rendered(fitting.curves, ending)
