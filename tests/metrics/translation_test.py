"""Figures of texts: published and hand-made numbers, sacrebleu's own command as the oracle, and the one sentence."""

import json
import subprocess
import sys

import pytest

from lossmith import metrics
from lossmith.errors import DomainError, DtypeError, InputError, ParameterError, ShapeError

HYPOTHESES = ["the cat sat on the mat .", "there is a dog", "no more than this , I am afraid"]
REFERENCES = ["the cat is on the mat .", "there is a big dog here", "I am afraid there is no more than this"]


def command(tmp_path, *options):
    """What sacrebleu's command line says, with the score at full width."""
    for name, texts in (("hyp", HYPOTHESES), ("ref", REFERENCES)):
        (tmp_path / name).write_text("\n".join(texts) + "\n")
    words = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-w", "12", *options]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_check_value_of_chinese():
    found = metrics.bleu(["我有一个帽衫", "大大的帽子"], ["你好,我有一个帽衫", "帽子大大的"], tokenize="zh")
    assert found.score == pytest.approx(59.809989126151606, abs=1e-12)
    assert "tok:zh" in found.signature
    assert found.statistics["precisions"] == pytest.approx([100, 800 / 9, 500 / 7, 60])
    assert (found.statistics["hypothesis_length"], found.statistics["reference_length"]) == (11, 14)


def test_bleu_by_hand():
    """3 of 4 words, 2 of 3 pairs, 1 of 2 triples, and no sequence of four: smoothed to 1/2 of one, exponentially."""
    found = metrics.bleu(["a b c x"], ["a b c d"])
    assert found.score == pytest.approx(100 * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25)
    short = metrics.bleu(["a b c d"], ["a b c d e"])
    assert short.score == pytest.approx(100 * 2.718281828459045 ** (1 - 5 / 4))


def test_short_sentences_are_not_zero():
    """torchmetrics says 0.0 here."""
    assert metrics.bleu(["the cat sat on the mat"], ["the cat is on the mat"]).score == pytest.approx(37.99, abs=0.005)


@pytest.mark.parametrize(
    ("options", "score"),
    [
        (("-m", "bleu"), lambda: metrics.bleu(HYPOTHESES, REFERENCES)),
        (("-m", "bleu", "-tok", "intl"), lambda: metrics.bleu(HYPOTHESES, REFERENCES, tokenize="intl")),
        (("-m", "bleu", "-tok", "char"), lambda: metrics.bleu(HYPOTHESES, REFERENCES, tokenize="char")),
        (("-m", "bleu", "-lc"), lambda: metrics.bleu(HYPOTHESES, REFERENCES, lowercase=True)),
        (("-m", "chrf"), lambda: metrics.chrf(HYPOTHESES, REFERENCES)),
        (("-m", "chrf", "--chrf-word-order", "2"), lambda: metrics.chrf(HYPOTHESES, REFERENCES, word_order=2)),
        (("-m", "ter"), lambda: metrics.ter(HYPOTHESES, REFERENCES)),
        (("-m", "ter", "--ter-case-sensitive"), lambda: metrics.ter(HYPOTHESES, REFERENCES, case_sensitive=True)),
    ],
)
def test_the_same_as_sacrebleus_command(tmp_path, options, score):
    theirs, ours = command(tmp_path, *options), score()
    assert ours.score == pytest.approx(theirs["score"], abs=1e-9)
    assert set(ours.signature.split("|")) == set(theirs["signature"].split("|"))


def test_ter_by_hand():
    """One word changed of four, and two words moved at the cost of one shift."""
    assert metrics.ter(["a b x d"], ["a b c d"]).score == 25
    assert metrics.ter(["c d a b"], ["a b c d"]).score == 25
    assert metrics.ter(["c d a b"], ["a b c d"]).statistics == {"edits": 1, "reference_length": 4}
    asian = metrics.ter(["大的帽子"], ["大的帽衫"], normalized=True, asian_support=True)
    assert asian.score == 25
    assert metrics.ter(["大的帽子"], ["大的帽衫"]).score == 100


def test_several_references_per_hypothesis():
    """Each hypothesis is one of its own references; the other way round nothing would fit."""
    hypotheses = ["a b c d e", "f g h i j"]
    assert metrics.bleu(hypotheses, [["a b c d e", "x"], ["y", "f g h i j"]]).score == pytest.approx(100)
    assert "nrefs:2" in metrics.bleu(hypotheses, [["a b c d e", "x"], ["y", "f g h i j"]]).signature
    assert metrics.bleu(hypotheses, [["a b c d e", "x"], ["f g h i j"]]).score == pytest.approx(100)


def test_what_is_undefined_is_none():
    found = metrics.bleu(["a b c"], ["a b c"])
    assert found.score is None
    assert found.statistics["precisions"] == [100, 100, 100, None]
    assert metrics.bleu([""], ["a b c d"]).score == 0
    assert metrics.chrf([""], ["a"]).score == 0
    assert metrics.ter([""], ["a b"]).score == 100


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: metrics.bleu([], []), ShapeError, "hypotheses is empty"),
        (lambda: metrics.bleu(["a"], ["a", "b"]), ShapeError, "hypotheses has length 1 and references 2"),
        (lambda: metrics.chrf("a", "a"), DtypeError, "lists of texts, not one text"),
        (lambda: metrics.ter([1], ["a"]), DtypeError, "some are not"),
        (lambda: metrics.ter(["a"], [None]), DtypeError, "some are not"),
        (lambda: metrics.ter(["a", "b"], ["a", " "]), DomainError, "1 of 2 have none with text"),
        (lambda: metrics.bleu(["a"], [[]]), DomainError, "1 of 1 have none with text"),
        (lambda: metrics.bleu(["a"], ["a"], tokenize="zn"), ParameterError, "zn"),
        (lambda: metrics.bleu(["a"], ["a"], tokenize="flores200"), ParameterError, "nothing is downloaded"),
        (lambda: metrics.chrf(["a"], ["a"], word_order=-1), ParameterError, "word_order"),
    ],
)
def test_misuse_is_one_sentence(call, kind, said):
    with pytest.raises(kind, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_without_sacrebleu_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(InputError, match=r'pip install "lossmith\[translation\]"'):
        metrics.bleu(["a"], ["a"])


def test_a_tokenizer_without_its_packages_is_one_sentence(monkeypatch):
    from sacrebleu.metrics import BLEU

    def missing(*words, **options):
        raise RuntimeError("\nJapanese needs more.\n\n  pip install sacrebleu[ja]\n")

    monkeypatch.setattr(BLEU, "__init__", missing)
    with pytest.raises(
        InputError, match=r'tokenizer "ja-mecab": Japanese needs more. pip install sacrebleu\[ja\].'
    ) as e:
        metrics.bleu(["a"], ["a"], tokenize="ja-mecab")
    assert "\n" not in str(e.value)
