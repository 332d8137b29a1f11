"""The pictures, the page and the Markdown: whole, closed to everything outside, and deaf to hostile names."""

import json
import re
import xml.etree.ElementTree as ET  # the text is our own

import pytest
from invented import findings, results
from markupsafe import escape

from lossmith.compare.many import diagram, report

ROWS = [(0.7, 0.6 - 0.01 * k, 0.7 + 0.01 * (-1) ** k * (k + 1), 0.65 - 0.01 * k) for k in range(8)]
HOSTILE = "<script>alert(1)</script> | \u202e \"' [x](http://evil.example) `"


def ordinary(rows=ROWS, **more):
    return results(findings(rows), **more)


def hostile():
    found = findings(ROWS)
    for one in found.values():
        one.titles["focal"] = HOSTILE
    shown = results(found, failed={HOSTILE: HOSTILE})
    shown["datasets"].append({"name": "x", "data": "x", "status": "failed", "said": HOSTILE, "target": HOSTILE})
    return shown


def question(shown, name="decide"):
    return next(one for one in shown["verdict"]["questions"] if one["name"] == name)


def test_places_of_the_diagram_are_to_scale():
    """Four entrants whose ranks are known: dots lie at 196 + (rank - 1) * 64 of 388."""
    asked = question(ordinary())
    drawn = ET.fromstring(diagram.ranks(asked))
    xs = [float(dot.get("cx")) for dot in drawn.iter("{http://www.w3.org/2000/svg}circle")]
    assert xs == pytest.approx([196 + (rank - 1) * 64 for rank in sorted(asked["ranks"]["average"])], abs=0.06)


def test_bars_join_what_is_not_told_apart():
    asked = question(ordinary())
    drawn = ET.fromstring(diagram.ranks(asked))
    bars = [line for line in drawn.iter("{http://www.w3.org/2000/svg}line") if line.get("stroke-width") == "4"]
    ordered = sorted(asked["ranks"]["average"])
    assert len(bars) == len(asked["ranks"]["groups"]) > 0
    for bar, (first, last) in zip(bars, asked["ranks"]["groups"], strict=True):
        assert float(bar.get("x1")) == pytest.approx(196 + (ordered[first] - 1) * 64 - 3, abs=0.06)
        assert float(bar.get("x2")) == pytest.approx(196 + (ordered[last] - 1) * 64 + 3, abs=0.06)


@pytest.mark.parametrize("draw", [diagram.ranks, diagram.differences])
def test_nothing_leaves_the_picture(draw):
    drawn = ET.fromstring(draw(question(hostile())))
    width, height = (float(end) for end in drawn.get("viewBox").split()[2:])
    for part in drawn.iter():
        for key in ("x", "x1", "x2", "cx"):
            assert 0 <= float(part.get(key, 0)) <= width
        for key in ("y", "y1", "y2", "cy"):
            assert 0 <= float(part.get(key, 0)) <= height


def test_the_right_is_better_where_less_is_better():
    """Poly-1 has the smaller log-loss, so its dots lie to the right of those of Focal."""
    asked = question(ordinary(), "trust")
    drawn = ET.fromstring(diagram.differences(asked))
    big = [float(dot.get("cx")) for dot in drawn.iter("{http://www.w3.org/2000/svg}circle") if dot.get("r") == "4"]
    assert big == sorted(big, reverse=True)
    assert [c["title"] for c in report.rows(asked)] == ["Poly-1", "Focal"]


def test_one_data_set_and_no_comparison_are_drawn_too():
    assert diagram.ranks(question(ordinary(ROWS[:1]))).count("<circle") == 4
    empty = results({}, planned=1)
    assert "No verdict" in report.page(empty)
    assert "No verdict" in report.markdown(empty)


def test_the_page_is_closed_and_has_no_script():
    text = report.page(hostile())
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert "alert(1)" in text  # as text
    assert "\u202e" not in text
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text.replace("http://www.w3.org/2000/svg", ""))


def test_the_page_shows_headline_sentences_and_every_figure():
    shown = ordinary()
    text = report.page(shown)
    for sentence in shown["verdict"]["sentences"]:
        assert str(escape(sentence)) in text
    for entry in question(shown)["comparisons"]:
        assert f">{entry['signs']['better']} {entry['signs']['equal']} {entry['signs']['worse']}<" in text
    assert text.count("<svg") == 2 * len(shown["verdict"]["questions"])


def test_markdown_tables_keep_their_cells():
    lines = report.markdown(hostile()).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {7, 9}
    assert not any(re.search(r"(?<!\\)<script", line) for line in lines)
    assert not any(re.search(r"(?<!\\)\[x", line) for line in lines)


def test_all_three_files_are_written(tmp_path):
    shown = ordinary()
    report.write(tmp_path / "new", shown)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["bench.html", "bench.json", "bench.md"]
    assert json.loads((tmp_path / "new" / "bench.json").read_text()) == json.loads(json.dumps(shown))
