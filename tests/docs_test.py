"""The Python in README and docs runs as it stands there, each page from top to bottom, then its console sessions."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT / "docs" if "docs" in page.parts else ROOT))


# Lightning asks torch's own trees in a way that torch has deprecated (lightning-utilities 0.15, torch 2.13).
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning")
# Keras 3.15 hands its variables to NumPy as NumPy 1 had it, when a model is saved.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # nothing is downloaded
    monkeypatch.setenv("COLUMNS", "80")
    namespace: dict[str, object] = {"__name__": f"docs_{page.stem}".replace("-", "_")}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), namespace)
    for block in blocks(page, "console"):
        prompt, _, shown = block.partition("\n")
        code, out, err = command(*shlex.split(prompt.removeprefix("$ lossmith ")))
        assert (code, err) == (0, "")
        printed, expected = lines(out), lines(shown)
        if not shown or expected[-1:] == ["..."]:  # shown in part
            expected = expected[:-1]
            printed = printed[: len(expected)]
        assert printed == expected


def blocks(page: Path, language: str) -> list[str]:
    """The code of a page."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def lines(text: str) -> list[str]:
    """An output without what cannot be seen of it."""
    return [line.rstrip() for line in text.strip().splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert link.startswith("https://") or (page.parent / link).exists(), link
