"""`lossmith show` from outside: text, page, JSON, mistakes; and what it picks out of a docstring."""

import json
import re
from html.parser import HTMLParser

import pytest

from lossmith import create
from lossmith.explanation.document import entry, explain
from lossmith.explanation.report import page
from tests.laws.cases import SHIPPED


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "110")


def test_the_text_says_everything(command):
    code, out, err = command("show", "huber")
    assert (code, err) == (0, "")
    for words in (
        "huber   residual, HuberLoss",
        "r^2 / 2 if |r| < delta",
        "Use it for regression",
        "Not where an exact",
    ):
        assert words in out
    assert re.search(r"Lipschitz +yes, L = 1 ", out)
    assert re.search(r"bounded +no ", out)
    assert re.search(r"delta +a number, greater than 0, default 1", out)
    assert "Source: Huber (1964)" in out
    assert "8.0" in out
    assert "\u2809" in out or "\u28c0" in out  # dots of the curve
    assert "`" not in out


def test_values_of_a_parameter_stand_side_by_side(command):
    code, out, _ = command("show", "focal", "--gamma", "0,2")
    assert code == 0
    assert re.search(r"gamma +0 +2", out)
    assert re.search(r"convex +yes +no", out)
    assert re.search(r"proper +yes +no", out)
    code, out, _ = command("show", "asymmetric", "--gamma-neg=1,2", "--clip", "0", "--quiet")
    assert (code, out.count("\n")) == (0, 1)
    code, out, _ = command("show", "poly", "--epsilon", "-1,2", "--json")
    assert json.loads(out)["rows"][0]["answers"] == ["yes", "no"]


def test_json_is_one_document(command):
    code, out, _ = command("show", "0.7*focal + 0.3*poly", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["spec"] == "0.7*focal + 0.3*poly"
    assert [(one["name"], one["factor"]) for one in found["entries"]] == [("focal", 0.7), ("poly", 0.3)]
    assert found["entries"][0]["parameters"][0]["rule"] == "a number, at least 0"
    assert found["entries"][0]["anchors"][0][1] == "0.00105..."
    assert found["picture"] == ""


def test_every_loss_can_be_shown(capsys):
    for name in SHIPPED:
        found = explain(name)
        (one,) = found.entries
        assert one.use, name
        assert one.avoid, name
        assert one.source, name
        assert one.anchors, name
        json.dumps(found.data())


HOSTILE = '''
from lossmith import ResidualLoss

class Mine_(ResidualLoss):
    """<script>alert(1)</script> & [bold]r[/bold]: ``r^2``.

    Use it for <b>nothing</b>. Not for "anything" & all.

    >>> 1 +
    """
    name_ = "x"

    def formula(self, r, xp):
        return r * r
'''


class Links(HTMLParser):
    """What a page could fetch: every address in an attribute, and every script."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "xlink:href", "srcset") and value]
        self.found += [tag] * (tag in ("script", "iframe", "object", "embed", "base"))


def test_a_page_fetches_nothing_and_escapes_a_hostile_loss(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    name = "_<b>$x_1$ & y.py"
    (tmp_path / name).write_text(HOSTILE)
    code, out, err = command("show", f"{name}:Mine_", "--html", "page.html")
    assert (code, err) == (0, "")
    assert "[bold]r[/bold]" in out
    text = (tmp_path / "page.html").read_text()
    assert [path.name for path in sorted(tmp_path.iterdir()) if path.is_file()] == sorted([name, "page.html"])
    assert "<script" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "Content-Security-Policy" in text
    assert "http:" not in text
    assert "https:" not in text
    assert "<svg" in text
    links = Links()
    links.feed(text)
    assert all(link.startswith(("#", "data:,")) for link in links.found)
    assert "not claimed" in text


def test_a_page_of_every_kind(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    for words in (("dice",), ("info_nce",), ("focal", "--gamma", "0,2"), ("ldam",), ("0.5*mse + mae",)):
        code, _, err = command("show", *words, "--html", "page.html", "--quiet")
        assert (code, err) == (0, ""), words
        text = (tmp_path / "page.html").read_text()
        assert ("<svg" in text) == (words != ("info_nce",))
        assert "</html>" in text
    assert "cannot be drawn" in explain("info_nce").picture


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("focl",), 'did you mean "focal"'),
        (("focal", "--gama", "1"), 'did you mean "gamma"'),
        (("focal", "--gamma"), "--gamma needs a value"),
        (("focal", "--gamma", "-1"), "gamma must be a number, at least 0"),
        (("focal", "--gamma", "0;1"), "cannot read the values"),
        (("focal", "--gamma", "__import__('os')"), "cannot read the values"),
        (("focal", "poly"), '"poly" is one word too many'),
        (("--gamma", "1", "focal"), "the loss comes first"),
        (("focal", "--gamma=1", "--gamma=2"), "given twice"),
        (("focal", "--html", "nowhere/page.html"), "there is no such folder"),
        (("gone.py:Mine",), "there is no file gone.py"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, monkeypatch, words, said, command):
    monkeypatch.chdir(tmp_path)
    code, out, err = command("show", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_docstrings_are_read_as_they_are_written():
    found = entry(SHIPPED["focal"]())
    assert found.use == "for dense detection, where easy background outnumbers objects a thousandfold"
    assert found.avoid.startswith("where p is read as a probability")
    assert found.notes[0].startswith("gamma = 0 is cross-entropy.")
    assert [(p.name, p.own) for p in found.parameters][:2] == [("gamma", True), ("link", False)]


def test_five_values_of_a_parameter_fit_a_narrow_terminal(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = command("show", "focal", "--gamma", "0,0.5,1,2,5")
    assert re.search(r"gamma +0 +0\.5 +1 +2 +5 ", out)
    assert re.search(r"Lipschitz +yes +yes +yes +yes +yes +\n +L=1 +L=1\.009 +L=1\.045 +L=1\.129 +L=1\.315", out)
    assert "\u2026" not in out  # nothing is cut off


def test_a_swept_parameter_shows_all_its_values():
    (one,) = explain("focal", {"gamma": [0, 0.5, 2]}).entries
    assert (one.parameters[0].value, one.parameters[0].default) == ("0, 0.5, 2", "2")


def test_anchors_bring_the_lines_that_they_need():
    (code, result), *_ = entry(create("dice")).anchors
    assert code.splitlines()[0] == "tp, fp, fn = torch.tensor([2.0, 1.0, 2.0]).split(1)"
    assert result == "0.4285..."


def test_a_surface_is_pointed_to(command):
    _, out, _ = command("show", "dice")
    assert "--html FILE" in out
    assert "--html FILE" not in command("show", "mse")[1]


def test_quiet_names_each_term_of_a_sum(command):
    _, out, _ = command("show", "mse + mae", "--quiet")
    assert out.startswith("mse + mae: mse: Squared error: r^2. It estimates the conditional mean.; mae: Absolute error")


def test_the_page_lists_each_parameter_once():
    text = page(explain("focal"))
    assert "Every loss also takes reduction, normalizer and process_group." in text
    assert "Every loss also takes reduction, normalizer, ignore_index and process_group." in page(explain("mse"))


def test_a_formula_that_raises_is_one_sentence(tmp_path, command):
    file = tmp_path / "mine.py"
    file.write_text(
        "from lossmith import ResidualLoss\n\n\nclass BrokenToShowLoss(ResidualLoss):\n"
        "    def formula(self, r, xp):\n        return r.foo()\n"
    )
    code, _, err = command("show", f"{file}:BrokenToShowLoss")
    assert code == 2
    assert "cannot be drawn: its formula raises AttributeError: 'Tensor' object has no attribute 'foo'." in err
