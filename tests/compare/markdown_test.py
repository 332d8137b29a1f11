"""The verdict as Markdown, read back by a parser of its own: whole, and deaf to hostile names."""

import copy
import re

import pytest
import sample_results
from hostile_names import HOSTILE
from markdown_it import MarkdownIt

from lossmith.compare.report.markdown import escaped, markdown
from lossmith.compare.verdict.judge import judge
from lossmith.text import clean

FEW = [arm for arm in sample_results.ARMS if arm[0] in ("cross_entropy", "focal")]
PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
MARKUP = {"html_inline", "html_block", "link_open", "image"}


def tokens(text):
    """All tokens, those inside of lines too."""
    return [one for block in PARSER.parse(text) for one in (block, *(block.children or []))]


def words(text):
    return " ".join("".join(t.content if t.type == "text" else " " for t in tokens(text)).split())


def sample(**more):
    return sample_results.make(**{"repeats": 6, "arms": FEW, "test_rows": 60, **more})


def test_the_verdict_the_leaderboard_the_questions_and_the_settings():
    found = sample(failed=[("focal", 1)])
    verdict = judge(found)
    text = markdown(found)
    shown = words(text)
    assert " ".join(verdict["headline"].split()) in shown
    for sentence in verdict["sentences"]:
        assert " ".join(sentence.split()) in shown
    for question in verdict["questions"]:
        assert " ".join(question["answer"].split()) in shown
    heads = [t for t in PARSER.parse(text) if t.type == "heading_open"]
    assert [t.tag for t in heads] == ["h1", *["h2"] * 6]
    assert sum(t.type == "table_open" for t in PARSER.parse(text)) == 7
    assert "the training loss is not finite in epoch 3" in shown
    assert "early stopping average precision on validation" in shown
    assert text.index("Leaderboard") > text.index(escaped(verdict["headline"][:20]))


def test_a_table_has_the_means_of_the_verdict():
    found = sample()
    row = judge(found)["table"][0]["ranking"]["average_precision"]
    cell = f"{row['mean']:.3f}"
    assert cell in markdown(found)


def test_numbers():
    shown = words(markdown(sample_results.regression(gains={"huber": 0.4})))
    assert "Does any arm have a smaller mean error than squared error?" in shown
    assert "Difference in MAE, less is better" in shown


def test_nothing_finished():
    shown = words(markdown(sample() | {"records": [], "status": "partial"}))
    assert "No verdict" in shown
    assert "Leaderboard" not in shown


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_text_in_a_sentence_in_a_heading_and_in_a_cell(name):
    seen = " ".join(clean(name, 200).split())
    for text in (
        f"So: {escaped(name)} it is.",
        f"# So: {escaped(name)}",
        f"| a | b |\n|---|---|\n| {escaped(name)} | 1 |",
    ):
        kinds = {t.type for t in tokens(text)}
        assert not kinds & {*MARKUP, "em_open", "strong_open", "s_open", "code_inline"}
        assert seen in words(text)
        assert not re.search(r"://|www\.", text)  # GitHub makes links of these where they stand alone
    assert sum(t.type == "td_open" for t in tokens(text)) == 2


def test_hostile_names_everywhere_make_the_same_document():
    calm = sample()
    found = copy.deepcopy(calm)
    found["task"]["classes"] = HOSTILE[:5]
    found["task"]["target"], found["task"]["source"] = HOSTILE[3], HOSTILE[8]
    found["arms"][1]["title"] = HOSTILE[3]
    found["settings"] = {**found["settings"], "losses": [HOSTILE[9]]}
    calm["settings"] = {**calm["settings"], "losses": ["x"]}
    kinds, expected = ([t.type for t in PARSER.parse(markdown(r))] for r in (found, calm))
    assert kinds == expected
    assert not {t.type for t in tokens(markdown(found))} & MARKUP


def test_results_are_not_changed():
    found = sample()
    before = copy.deepcopy(found)
    markdown(found)
    assert found == before
