"""`lossmith fit` from outside: what it prints and writes, exit codes, and that names stay harmless."""

import json
import os
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import statsmodels.api as sm

from lossmith.cli.fit import split

ENGEL = ("engel.csv", "--x", "income", "--y", "foodexp", "--model", "poly:1")
BAND = ("--loss", "mse,huber,quantile(q=0.05)", "--loss", "quantile(q=0.95)")
SMALL = ("small.csv", "--x", "t", "--y", "v")


@pytest.fixture
def call(tmp_path, monkeypatch, command):
    """The command in this process and an own folder: its exit code, and what it said on both outputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    sm.datasets.engel.load_pandas().data.to_csv(tmp_path / "engel.csv", index=False)
    lines = "".join(f"{k},{2 * k + 1 if k != 4 else ''},{k % 2},w,0\n" for k in range(8))
    (tmp_path / "small.csv").write_text("t,v,w,word,zero\n" + lines)

    return partial(command, "fit")


def test_a_comma_inside_brackets_does_not_split():
    assert split("mse, quantile(q=0.05),a(b=[1,2], c=3)") == ["mse", "quantile(q=0.05)", "a(b=[1,2], c=3)"]


def test_engel_is_printed_with_its_band_and_its_outliers(call):
    code, out, err = call(*ENGEL, *BAND)
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["c0", "147.475", "81.7743", "124.88", "64.104"] in lines
    assert ["c1", "0.485178", "0.559723", "0.343361", "0.709069"] in lines
    assert ["mse", "12909.8", "77.3475", "113.621", "59.15"] in lines
    flat = " ".join(out.split())
    assert "Between the 0.05 and 0.95 quantiles: 91.1% of the rows, 90.0% expected; no curves cross" in flat
    assert "Outliers: 5 rows are more than 3 robust standard deviations (of 81.8) from Huber's curve" in flat
    assert max(map(len, out.splitlines())) <= 80


def test_json_is_one_document(call):
    code, out, _ = call(*ENGEL, *BAND, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["rows"] == 235
    assert document["losses"]["mse"]["parameters"]["c1"] == pytest.approx(0.4851784, rel=1e-6)
    assert document["losses"]["mse"]["converged"] is True
    assert document["band"]["coverage"] == pytest.approx(214 / 235)
    assert document["outliers"]["rows"] == 5
    assert document["failures"] == {}


def test_quiet_prints_the_parameters_alone(call):
    code, out, err = call(*SMALL, "--model", "poly:1", "--loss", "mae", "--quiet")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"mae: c0 = 1, c1 = 2\n", out)


def test_rows_with_gaps_are_counted_and_intervals_shown(call):
    code, out, _ = call(*SMALL, "--model", "a + b*t", "--loss", "mse", "--bootstrap", "20")
    assert code == 0
    assert "7 rows, x t, y v" in out
    assert "Left out: 1 row with missing values" in out
    assert "2 to 2" in out
    assert "95% intervals from 20 bootstrap draws, seed 0" in out


def test_a_weight_column_counts(call, tmp_path):
    (tmp_path / "small.csv").write_text("t,v,w\n0,0,1\n1,1,1\n2,2,1\n3,99,0\n")
    assert call(*SMALL, "--model", "poly:1", "--loss", "mse", "--weight", "w", "--quiet")[1].endswith("c1 = 1\n")
    assert not call(*SMALL, "--model", "poly:1", "--loss", "mse", "--quiet")[1].endswith("c1 = 1\n")


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("html", b"<!doctype html>")])
def test_a_picture_is_written_whole_and_the_same_again(call, tmp_path, ending, start):
    os.symlink(tmp_path / "engel.csv", tmp_path / f"fit.{ending}")
    (tmp_path / f"fit.{ending}").unlink()
    (tmp_path / "other").write_text("mine")
    os.symlink(tmp_path / "other", tmp_path / f"fit.{ending}")
    found = []
    for _ in range(2):
        assert (
            call(*ENGEL, "--loss", "mse,quantile(q=0.1),quantile(q=0.9)", "--quiet", "--out", f"fit.{ending}")[0] == 0
        )
        found.append((tmp_path / f"fit.{ending}").read_bytes())
    assert found[0].startswith(start)
    assert found[0] == found[1]
    assert (tmp_path / "other").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["engel.csv", f"fit.{ending}", "other", "small.csv"]


def test_the_page_fetches_nothing_and_names_are_text(call, tmp_path):
    evil = "<script>alert(1)</script>$\\frac$\x1b[31m_x"
    x = np.linspace(0, 1, 20)
    (tmp_path / "evil.csv").write_text(f"{evil},_y\n" + "".join(f"{a},{2 * a}\n" for a in x))
    code, out, err = call(
        "evil.csv", "--x", evil, "--y", "_y", "--model", "poly:1", "--loss", "mse", "--out", "page.html"
    )
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("smal.csv", "--x", "t", "--y", "v"), 'did you mean "small.csv"?'),
        (("small.csv", "--x", "tt", "--y", "v"), 'no column "tt"; did you mean "t"?'),
        (("small.csv", "--x", "t", "--y", "t"), "must be different columns"),
        (("small.csv", "--x", "word", "--y", "v"), '"w", which is no number, in 8 rows'),
        (("small.csv", "--x", "zero", "--y", "v"), '"zero" is 0 in all rows'),
        ((*SMALL, "--model", "poly:9"), "10 parameters, and there are only 7 rows"),
        ((*SMALL, "--model", "a*log(t - 3) + b"), '"log(t - 3)" has no finite value in 4 rows, first row 1 (t = 0)'),
        ((*SMALL, "--model", "__import__('os').system('true')*x"), "has no place in an expression"),
        ((*SMALL, "--loss", "mse,focal"), "focal is a likelihood loss"),
        ((*SMALL, "--loss", "mse,hubber"), 'did you mean "huber"?'),
        ((*SMALL, "--loss", "mse,"), "a loss is a specification"),
        ((*SMALL, "--start", "a"), "write it like a=1,b=0.5"),
        ((*SMALL, "--bootstrap", "5"), "from 20 to 100,000"),
        ((*SMALL, "--out", "fit.pdf"), "must end in .html, .png or .svg"),
        ((*SMALL, "--out", "no/such/fit.png"), "there is no such folder"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(call, tmp_path, words, said):
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_exit_code_1_where_no_loss_could_be_fitted_and_a_line_where_one_could_not(call, tmp_path):
    (tmp_path / "small.csv").write_text("t,v\n0,0\n1,1\n2,2\n3,3.5\n4,4\n")
    code, out, err = call(*SMALL, "--model", "poly:1", "--loss", "mape", "--out", "fit.svg")
    assert (code, out) == (1, "")
    assert "no loss could be fitted: MAPELoss: target must be finite and not 0" in err
    assert not (tmp_path / "fit.svg").exists()
    code, out, _ = call(*SMALL, "--model", "poly:1", "--loss", "mape,mse")
    assert code == 0
    assert "No curve: mape: MAPELoss: target must be" in out


def test_help_needs_nothing_heavy():
    program = (
        "import sys; sys.argv = ['lossmith', 'fit', '--help']\n"
        "from lossmith.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.exit(str({'torch', 'pandas', 'scipy', 'sklearn', 'matplotlib', 'numpy'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() in ("", "set()")
    assert "--bootstrap" in done.stdout


def test_plot_draws_on_given_axes():
    from matplotlib.figure import Figure

    from lossmith.curves import curve_fit

    ax = Figure().add_subplot()
    curves = curve_fit([0.0, 1, 2, 3, 4], [0.0, 1, 3, 2, 4], "poly:1", ["mse", "quantile(q=0.2)", "quantile(q=0.8)"])
    assert curves.plot(ax) is ax.figure
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["0.2 to 0.8 quantile", "mse", "quantile(q=0.2)", "quantile(q=0.8)"]
    assert ax.get_xlabel() == "x"
    assert ax.lines[0].get_ydata()[-1] == pytest.approx(curves["mse"].predict([4.0])[0])
