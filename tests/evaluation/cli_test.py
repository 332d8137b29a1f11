"""`lossmith evaluate` from outside: what it prints, what it writes, and exit code 2 with one sentence."""

import json
import os
import subprocess
import sys
from functools import partial

import pytest

CLASSES = "y,yhat,p_a,p_b\na,a,.9,.1\nb,a,.6,.4\nb,b,.2,.8\na,a,.7,.3\n"
NUMBERS = "y,yhat,lo,hi\n1.5,1,0,2\n2.5,3,2,4\n3.5,3,4,5\n0,1,0,1\n"
TEXTS = "ref,hyp\n你好，我有一个帽衫,我有一个帽衫\n帽子大大的,大大的帽子\n"
BOTH = ("--target", "y", "--prediction", "yhat")


@pytest.fixture
def call(tmp_path, monkeypatch, command):
    """The command in this process and an own folder: its exit code, and what it said on both outputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name, text in (("classes", CLASSES), ("numbers", NUMBERS), ("texts", TEXTS)):
        (tmp_path / f"{name}.csv").write_text(text)

    return partial(command, "evaluate")


def rows(out):
    """The printed lines as words."""
    return [line.split() for line in out.splitlines()]


def test_classes_are_printed_with_their_table_and_matrix(call):
    code, out, err = call("classes.csv", *BOTH, "--score", "p_a", "--score", "p_b")
    assert (code, err) == (0, "")
    lines = rows(out)
    assert ["accuracy", "0.7500", "0", "to", "1"] in lines
    assert ["ROC-AUC,", "macro", "1.0000", "0", "to", "1,", "0.5", "is", "chance"] in lines
    assert ["a", "2", "3", "0.6667", "1.0000", "0.8000", "1.0000", "1.0000"] in lines
    assert ["b", "2", "1", "1.0000", "0.5000", "0.6667", "1.0000", "1.0000"] in lines
    assert ["macro", "0.8333", "0.7500", "0.7333"] in lines
    assert ["a", "2", "0"] in lines
    assert ["b", "1", "1"] in lines
    assert "Scores: p_a is a, p_b is b" in out


def test_a_positive_class_is_named(call):
    code, out, _ = call("classes.csv", *BOTH, "--score", "p_b")
    assert code == 0
    assert "Positive class: b" in out
    assert ["recall", "of", "b", "0.5000", "0", "to", "1"] in rows(out)


def test_numbers_and_what_is_undefined(call):
    code, out, _ = call("numbers.csv", *BOTH, "--lower", "lo", "--upper", "hi")
    assert code == 0
    assert ["coverage", "of", "the", "interval", "0.75", "share", "of", "the", "rows,", "0", "to", "1"] in rows(out)
    (mape,) = [line for line in out.splitlines() if "MAPE" in line and "SMAPE" not in line]
    assert "undefined: the target is 0 in 1 of 4 rows" in mape
    assert mape.split()[1] == "-"


def test_texts_come_with_signatures(call):
    code, out, _ = call("texts.csv", "--target", "ref", "--prediction", "hyp", "--tokenize", "zh")
    assert code == 0
    assert ["BLEU", "59.81", "0", "to", "100"] in rows(out)
    assert "BLEU signature: nrefs:1|case:mixed|eff:no|tok:zh|smooth:exp|version:" in out
    assert "TER signature: nrefs:1|case:lc|tok:tercom|norm:yes|punct:yes|asian:yes|version:" in out


def test_json_is_one_document_and_out_the_same_file(call, tmp_path):
    code, out, err = call("classes.csv", *BOTH, "--json", "--out", "result.json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document == json.loads((tmp_path / "result.json").read_text())
    assert document["figures"]["accuracy"] == 0.75
    assert document["source"] == "classes.csv"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("classes.csv", *BOTH), "F1, macro: 0.7333\n"),
        (("numbers.csv", *BOTH), "RMSE: 0.661438\n"),
        (("texts.csv", "--target", "ref", "--prediction", "hyp", "--tokenize", "zh"), "BLEU: 59.81\n"),
        (("texts.csv", "--target", "ref", "--prediction", "hyp"), "BLEU: undefined, no prediction has four tokens"),
    ],
)
def test_quiet_prints_the_headline_alone(call, words, said):
    code, out, _ = call(*words, "--quiet")
    assert code == 0
    assert out.startswith(said)
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("clases.csv", *BOTH), 'did you mean "classes.csv"?'),
        (("empty.csv", *BOTH), "empty.csv is empty"),
        (("header.csv", *BOTH), "has a header but no rows"),
        (("classes.csv", "--target", "y", "--prediction", "yhatt"), 'did you mean "yhat"?'),
        (("classes.csv", *BOTH, "--score", "pa"), 'no column "pa"; did you mean "p_a"?'),
        (("classes.csv", *BOTH, "--labels", "a,c"), 'column "y" holds "b", not one of the labels "a", "c"'),
        (("classes.csv", *BOTH, "--task", "regression"), '"a", which is no number, in 4 rows, first in row 1'),
        (("classes.csv", *BOTH, "--positive", "c"), 'positive "c" is not among the classes'),
        (("gap.csv", *BOTH), 'column "yhat" has no value in row 2'),
        (("numbers.csv", *BOTH, "--quantile", "5"), "between 0 and 1, not 5"),
        (("numbers.csv", *BOTH, "--lower", "lo"), "both lower and upper"),
        (("texts.csv", "--target", "ref", "--prediction", "hyp", "--tokenize", "zn"), '"zn" is no tokenizer'),
        (("classes.csv", *BOTH, "--out", "classes.csv"), "is the table itself"),
        (("classes.csv", *BOTH, "--out", "no/such/folder.json"), "cannot be written"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(call, tmp_path, words, said):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("y,yhat\n")
    (tmp_path / "gap.csv").write_text("y,yhat\n1.5,1\n2.5,nan\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_labels_with_commas_are_quoted(call, tmp_path):
    (tmp_path / "commas.csv").write_text('y,yhat\n"a,b",c\nc,c\n"a,b","a,b"\n')
    code, out, _ = call("commas.csv", *BOTH, "--labels", '"a,b", c, d', "--json")
    assert code == 0
    assert json.loads(out)["labels"] == ["a,b", "c", "d"]


def test_out_replaces_a_symlink_and_never_follows_it(call, tmp_path):
    (tmp_path / "other").write_text("mine")
    os.symlink(tmp_path / "other", tmp_path / "result.json")
    assert call("classes.csv", *BOTH, "--quiet", "--out", "result.json")[0] == 0
    assert (tmp_path / "other").read_text() == "mine"
    assert not (tmp_path / "result.json").is_symlink()


def test_nothing_of_a_table_reaches_the_terminal_as_a_command(call, tmp_path):
    evil = "\x1b[31m[bold]x\u202e"
    (tmp_path / "evil.csv").write_text(f"y,yhat\n{evil},b\nb,b\n{evil},{evil}\nb,{evil}2\n")
    for words in ((), ("--quiet",), ("--json",), ("--labels", "b,c")):
        _, out, err = call("evil.csv", *BOTH, *words)
        assert "\x1b" not in out + err
        assert "\u202e" not in out + err
    assert "[bold]x" in call("evil.csv", *BOTH)[1]


def test_many_classes_stay_within_a_screen_or_two(call, tmp_path):
    lines = "".join(f"w{number},w{number}\n" for number in range(60)) * 2
    (tmp_path / "many.csv").write_text("y,yhat\n" + lines)
    _, out, _ = call("many.csv", *BOTH)
    assert "and 20 more classes, in --json" in out
    assert "The confusion matrix has 60 rows; --json prints it." in out
    assert out.count("\n") < 70


def test_help_needs_nothing_heavy():
    program = (
        "import sys; sys.argv = ['lossmith', 'evaluate', '--help']\n"
        "from lossmith.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.exit(str({'torch', 'pandas', 'sklearn', 'sacrebleu', 'numpy', 'rich.table'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() in ("", "set()")
    assert "--tokenize" in done.stdout


def test_an_evaluation_does_not_wait_for_torch(tmp_path):
    (tmp_path / "classes.csv").write_text(CLASSES)
    program = (
        "import sys; from lossmith.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules)"
    )
    words = [sys.executable, "-c", program, "evaluate", "classes.csv", *BOTH, "--quiet"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "F1, macro: 0.7333\nFalse\n"
