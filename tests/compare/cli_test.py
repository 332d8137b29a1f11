"""The command line and `lossmith.compare` from outside: messages, exit codes, and what is left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from tables import COMMAND, blobs, labelled, numbers, start, without_times, write

import lossmith
from lossmith import cli
from lossmith.compare.remedies.choice import own_arm
from lossmith.compare.runs import engine
from lossmith.compare.session import identity
from lossmith.errors import InputError

SMALL = ("--losses", "focal", "logit_adjusted", "--repeats", "2", "--model", "linear")


def bad_tables():
    frame = blobs()
    return {
        "one class only": frame.assign(y="x"),
        'class "rare" of target "y" has 2 rows, but every class needs at least 5': frame.assign(
            y=["rare"] * 2 + ["often"] * 118
        ),
        'column "void" has no value': frame.assign(void=np.nan),
        'column "a" holds 1 infinite value': frame.assign(a=[np.inf, *range(119)]),
        "no column": frame.rename(columns={"y": "label"}),
    }


@pytest.mark.parametrize("said", bad_tables())
def test_bad_tables_end_with_one_sentence_and_nothing_written(tmp_path, monkeypatch, said, command):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, bad_tables()[said])
    code, out, err = command("compare", "table.csv", "--target", "y", "--out", "new")
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compare", "tabel.csv", "--target", "y"), 'tabel.csv does not exist; did you mean "table.csv"?'),
        (("compare", "https://a.org/table.csv", "--target", "y"), "URLs are not read"),
        (("compare", "table.csv", "--target", "y", "--losses", "hinge"), "--family likelihood"),
        (("compare", "table.csv", "--target", "Y"), 'no column "Y"; did you mean "y"?'),
        (("compare", "table.csv"), "no target given"),
        (("compare", ".", "--target", "y"), "a folder of images brings its own classes"),
        (("compare", "table.csv", "--demo"), "or --demo"),
        (("compare",), "or --demo"),
        (("compare", "table.csv", "--target", "y", "--losses", "focall"), "focal"),
        (("compare", "table.csv", "--target", "y", "--losses", "mine.py:Loss"), "mine.py"),
        (("compare", "table.csv", "--target", "y", "--metric", "macro-f1"), 'did you mean "macro_f1"?'),
        (("compare", "table.csv", "--target", "y", "--model", "mpl"), 'did you mean "mlp"?'),
        (("compare", "table.csv", "--target", "y", "--budget", "soon"), "budget must be a time"),
        (("compare", "table.csv", "--target", "y", "--budget", "0s"), "budget must be a time"),
        (("compare", "table.csv", "--target", "y", "--repeats", "0"), "repeats must be"),
        (("compare", "table.csv", "--target", "y", "--jobs", "0"), "jobs must be"),
        (("compare", "table.csv", "--target", "y", "--seed", "-1"), "seed must be"),
        (("compare", "table.csv", "--target", "y", "--out", "table.csv/inner"), "cannot be written"),
        (("compare", "table.csv", "--target", "y", "--out", "/proc/lossmith"), "cannot be written"),
        (("list", "--family", "likelyhood"), "likelihood"),
    ],
)
def test_bad_settings_end_with_one_sentence_and_nothing_written(tmp_path, monkeypatch, words, said, command):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, blobs())
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_list_and_version_print_what_they_say(command):
    assert command("--version") == (0, f"lossmith {lossmith.__version__}\n", "")
    code, out, _ = command("list", "--family", "likelihood")
    assert code == 0
    assert "focal" in out
    assert "huber" not in out


def test_help_needs_neither_torch_nor_pandas():
    program = "import sys; sys.argv = ['lossmith', 'compare', '--help']\n" + (
        "from lossmith.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.exit(str({'torch', 'pandas', 'sklearn', 'plotly', 'numpy'} & set(sys.modules)) if "
        "{'torch', 'pandas', 'sklearn', 'plotly', 'numpy'} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--losses" in done.stdout


@pytest.mark.parametrize("missing", ["typer", "pandas", "sklearn"])
def test_without_the_extra_one_sentence_says_how_to_get_it(tmp_path, missing):
    write(tmp_path, blobs())
    program = f"import sys; sys.modules[{missing!r}] = None\nfrom lossmith.cli import main; main()"
    words = ["compare", "table.csv", "--target", "y"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert 'pip install "lossmith[compare]"' in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_comparison_from_beginning_to_end(tmp_path):
    write(tmp_path, blobs(classes=3))
    process = start(tmp_path, "compare", "table.csv", "--target", "y", *SMALL, "--out", "out")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "Cross-entropy" in out
    assert "Report: out/report.html" in out
    assert "6 of 6 runs" in err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["status"] == "complete"
    assert results["verdict"]["headline"].split()[0] in out
    assert [(record["repeat"], record["arm"]) for record in results["records"]] == [
        (repeat, arm) for repeat in (0, 1) for arm in ("cross_entropy", "focal", "logit_adjusted")
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "parts",
        "report.html",
        "report.md",
        "results.json",
    ]
    assert len(list((tmp_path / "out" / "parts").iterdir())) == 6


def test_more_repeats_keep_what_is_there_and_json_is_one_document(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, blobs())
    words = ("compare", "table.csv", "--target=y", "--losses", "focal(gamma=1)", "--model=linear", "--jobs=1", "--json")
    code, out, err = command(*words, "--repeats=1")
    assert (code, json.loads(out)["status"]) == (0, "complete")
    code, out, err = command(*words, "--repeats=2")
    assert "2 of 4 runs are there already" in err
    document = json.loads(out)
    assert "records" not in document
    assert document["files"]["report"] == "lossmith-report/table-y/report.html"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_a_valid_partial_report(tmp_path, number):
    write(tmp_path, blobs(60))
    process = start(tmp_path, "compare", "table.csv", "--target", "y", "--repeats", "500", "--out", "out")
    wait_for_parts(tmp_path / "out" / "parts", 2, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["status"] == "partial"
    assert 2 <= len(results["records"]) < 100
    assert "</html>" in (tmp_path / "out" / "report.html").read_text()
    assert "Report: " in out


def test_a_killed_comparison_goes_on_to_the_same_results(tmp_path):
    write(tmp_path, blobs(60))
    words = (
        "compare",
        "table.csv",
        "--target=y",
        "--losses=focal",
        "--model=linear",
        "--repeats=4",
        "--quiet",
        "--out",
    )
    whole = start(tmp_path, *words, "whole")
    assert whole.wait(timeout=120) == 0
    killed = start(tmp_path, *words, "killed")
    wait_for_parts(tmp_path / "killed" / "parts", 3, killed)
    killed.kill()
    killed.communicate()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed" / "parts").glob("*.json")}
    assert len(before) < 8
    assert not (tmp_path / "killed" / "results.json").exists()
    damaged = next((tmp_path / "killed" / "parts").glob("*.json"))
    damaged.write_text(damaged.read_text()[:100])
    again = start(tmp_path, *words, "killed")
    out, err = again.communicate(timeout=120)
    assert (again.returncode, err) == (0, "")
    one, other = (
        json.dumps(without_times(json.loads((tmp_path / name / "results.json").read_text())))
        for name in ("whole", "killed")
    )
    assert one == other
    assert out == json.loads(one)["verdict"]["headline"] + "\n"
    whole.communicate()
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed" / "parts").glob("*.json")}
    assert sum(before[name] == after[name] for name in before) == len(before) - 1


def wait_for_parts(folder, count, process):
    end = time.monotonic() + 60
    while len(list(folder.glob("*.json"))) < count and time.monotonic() < end and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()


def test_a_budget_is_kept(tmp_path, monkeypatch, command):
    """However slow the machine: what is there when the time is over is judged, and far from all runs are there."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, blobs(60))
    words = ("compare", "table.csv", "--target", "y", "--losses", "focal(gamma=1)", "--out", "kept", "--quiet")
    assert command(*words, "--repeats", "1")[0] == 0
    assert command(*words, "--repeats", "500", "--budget", "5s")[0] == 0
    results = json.loads((tmp_path / "kept" / "results.json").read_text())
    assert results["status"] == "partial"
    assert 2 <= len(results["records"]) < 500


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_other_targets_than_classes(tmp_path, monkeypatch, kind, command):
    """Several targets are labels, amounts are numbers; both end in a report with their own figures."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, labelled() if kind == "multilabel" else numbers())
    words = (
        ("--target", "l0", "l1", "l2", "--losses", "focal")
        if kind == "multilabel"
        else ("--target", "y", "--losses", "mae")
    )
    code, out, err = command("compare", "table.csv", *words, "--repeats", "1", "--model", "linear", "--out", "o")
    assert (code, f"({kind}" in out) == (0, True), err
    results = json.loads((tmp_path / "o" / "results.json").read_text())
    figures = {"multilabel": "ranking", "regression": "errors"}[kind]
    assert [record["status"] for record in results["records"]] == ["ok", "ok"]
    assert all(figures in record for record in results["records"])
    assert {"report.html", "report.md"} <= {path.name for path in (tmp_path / "o").iterdir()}


MY_LOSSES = """
import os, signal, time
from lossmith.losses.likelihood import LikelihoodLoss

class FineLoss(LikelihoodLoss):
    \"\"\"A loss of one's own.\"\"\"
    def formula(self, logp, xp):
        return -logp

class DeadlyLoss(LikelihoodLoss):
    \"\"\"A loss that takes its worker along.\"\"\"
    def formula(self, logp, xp):
        if os.environ.get("OMP_NUM_THREADS") == "1":  # in a worker
            os.kill(os.getpid(), signal.SIGKILL)
        return -logp

class HangingLoss(LikelihoodLoss):
    \"\"\"A loss that never comes back.\"\"\"
    def formula(self, logp, xp):
        if os.environ.get("OMP_NUM_THREADS") == "1":
            time.sleep(600)
        return -logp

class WildLoss(LikelihoodLoss):
    \"\"\"A loss that overflows.\"\"\"
    def formula(self, logp, xp):
        return -logp * 1e38 * 1e38
"""


def test_losses_that_die_hang_or_overflow_are_listed_with_the_reason(tmp_path, monkeypatch, command):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path, blobs())
    (tmp_path / "mine.py").write_text(MY_LOSSES)
    losses = [f"mine.py:{name}Loss" for name in ("Fine", "Deadly", "Hanging", "Wild")]
    words = ("compare", "table.csv", "--target", "y", "--losses", *losses, "--repeats", "1", "--timeout", "20s")
    code, out, err = command(*words)
    assert code == 0
    results = json.loads((tmp_path / "lossmith-report" / "table-y" / "results.json").read_text())
    records = {record["arm"]: record for record in results["records"]}
    assert records["mine.py:FineLoss"]["status"] == "ok"
    assert records["mine.py:FineLoss"]["ranking"] == records["cross_entropy"]["ranking"]
    assert "memory" in records["mine.py:DeadlyLoss"]["reason"]
    assert records["mine.py:HangingLoss"]["status"] == "timeout"
    assert "not finite" in records["mine.py:WildLoss"]["reason"]
    for sentence in ("memory", "stopped after 20 s", "not finite"):
        assert sentence in " ".join(out.split())
        assert sentence in err


@pytest.mark.parametrize("broken", ["folder", "worker"])
def test_what_breaks_in_the_middle_is_one_sentence(tmp_path, monkeypatch, broken, command):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, blobs())
    folder = tmp_path / "lossmith-report" / "table-y"

    def execute(runs, *words):
        record = {"arm": "cross_entropy", "repeat": 0, "status": "failed", "reason": "it broke"}
        yield runs[0], {**record, "time": {"train_seconds": 0.0, "total_seconds": 0.0, "started": ""}}
        if broken == "worker":
            raise engine.EngineError("a worker could not be started: no memory.")
        shutil.rmtree(folder)
        yield runs[1], {**record, "arm": "focal"}

    monkeypatch.setattr(engine, "execute", execute)
    code, out, err = command("compare", "table.csv", "--target", "y", *SMALL, "--quiet")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert ("can no longer be written" if broken == "folder" else "no memory") in err
    assert (folder / "report.html").exists() == (broken == "worker")


def test_when_no_run_succeeds_the_exit_code_is_one(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, blobs())
    words = ("compare", "table.csv", "--target", "y", *SMALL, "--repeats", "1", "--timeout", "0.0001s", "--quiet")
    assert command(*words)[0] == 1
    assert (tmp_path / "lossmith-report" / "table-y" / "report.html").exists()


def test_the_package_is_the_function(tmp_path, monkeypatch):
    """In a script without ``if __name__ == "__main__"``, on a data frame and on arrays."""
    script = tmp_path / "script.py"
    write(tmp_path, blobs())
    script.write_text(
        "import pandas, lossmith\n"
        "frame = pandas.read_csv('table.csv')\n"
        "options = dict(losses=['focal(gamma=1)'], repeats=1, model='linear', quiet=True, jobs=1)\n"
        "one = lossmith.compare(frame, target='y', out='frame', **options)\n"
        "other = lossmith.compare(frame[['a', 'b', 'word']], y=frame['y'], out='arrays', **options)\n"
        "assert one.results['records'][0]['ranking'] == other.results['records'][0]['ranking']\n"
        "print(one)\n"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "frame/report.html" in done.stdout


def test_the_function_raises_what_the_command_prints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="unknown metric"):
        lossmith.compare(blobs(), target="y", metric="rmse")
    assert not os.listdir(tmp_path)


def test_an_edited_loss_has_another_key(tmp_path):
    (tmp_path / "mine.py").write_text(MY_LOSSES)
    arm = own_arm(f"{tmp_path}/mine.py:FineLoss")
    before = identity(arm)
    (tmp_path / "mine.py").write_text(MY_LOSSES.replace("return -logp", "return -2 * logp", 1))
    assert identity(arm) != before
    assert identity(replace(arm, title="another")) == identity(arm)


def test_fresh_starts_over(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, blobs())
    words = (
        "compare",
        "table.csv",
        "--target=y",
        "--losses",
        "poly(epsilon=1)",
        "--model=linear",
        "--repeats=1",
        "--jobs=1",
    )
    parts = tmp_path / "lossmith-report" / "table-y" / "parts"
    command(*words)
    before = {path.name: path.stat().st_mtime_ns for path in parts.iterdir()}
    command(*words, "--fresh")
    after = {path.name: path.stat().st_mtime_ns for path in parts.iterdir()}
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before)


def test_one_losses_option_takes_several_specs():
    words = ["compare", "t.csv", "--losses", "focal", "-1*poly", "--out", "x"]
    assert cli.spread(words) == ["compare", "t.csv", "--losses", "focal", "--losses", "-1*poly", "--out", "x"]
    assert cli.spread(["--losses=poly", "focal", "D.CSV"]) == ["--losses", "poly", "--losses", "focal", "D.CSV"]
    assert COMMAND[0] == sys.executable
