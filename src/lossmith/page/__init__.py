"""What all HTML pages share: names are escaped, nothing is fetched, and what a template lacks is an error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

HERE = Path(__file__).parent


def template(path: Path, **filters: Callable[..., Any]) -> Template:
    """The template of a page, which sets its ``title`` and begins with the shared ``head.html``.

    The head lets a browser run no script but those whose ``hashes`` the page is rendered with, and load nothing.
    """
    environment = Environment(
        loader=FileSystemLoader([path.parent, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(path.name)
