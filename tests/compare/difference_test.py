"""`lossmith diff` and `lossmith report`: what changed, against independent statistics, and what cannot be read."""

import copy
import io
import json

import numpy as np
import pytest
import sample_results
from rich.console import Console
from scipy import stats

from lossmith.compare.report import difference, saved, terminal_difference
from lossmith.compare.verdict.judge import judge
from lossmith.errors import InputError

FEW = [arm for arm in sample_results.ARMS if arm[0] in ("cross_entropy", "focal", "balanced")]
MAIN = {"ranking": "average_precision"}


def sample(digest="one", **more):
    found = sample_results.make(**{"repeats": 8, "arms": FEW, "test_rows": 60, **more})
    found["task"]["digest"] = digest
    return found


def judged(found):
    return found | {"verdict": judge(found)}


def shifted(found, gains):
    """The same results with other average precisions, ``gains[arm]`` being a list by repeat."""
    found = copy.deepcopy(found)
    for record in found["records"]:
        if record["arm"] in gains:
            record["ranking"]["average_precision"] += gains[record["arm"]][record["repeat"]]
    return found


def of(found, name, arm):
    question = next(q for q in found["questions"] if q["name"] == name)
    return next(change for change in question["changes"] if change["arm"] == arm)


GAINS = [0.010, 0.012, 0.008, 0.011, 0.009, 0.013, 0.007, 0.010]


class TestDifference:
    def test_paired_over_the_same_splits(self):
        one = sample()
        found = difference.difference(judged(one), judged(shifted(one, {"focal": GAINS})))
        focal = of(found, "rank", "focal")
        assert found["paired"] is True
        # Nadeau and Bengio by hand: the test part is a third of the training part.
        error = np.std(GAINS, ddof=1) * np.sqrt(1 / 8 + 1 / 3)
        reach = stats.t.ppf(0.975, 7) * error
        assert focal["mean"] == pytest.approx(0.010)
        assert (focal["low"], focal["high"]) == pytest.approx((0.010 - reach, 0.010 + reach))
        assert focal["p"] == pytest.approx(2 * stats.t.sf(0.010 / error, 7))
        assert focal["p_holm"] == pytest.approx(3 * focal["p"])
        assert focal["result"] == "better"
        assert of(found, "rank", "cross_entropy")["mean"] == 0
        assert of(found, "rank", "cross_entropy")["result"] == "unclear"

    def test_less_log_loss_is_better(self):
        one = sample()
        other = copy.deepcopy(one)
        for record in other["records"]:
            record["calibration"]["log_loss"] -= GAINS[record["repeat"]]
        found = difference.difference(judged(one), judged(other))
        assert {c["result"] for q in found["questions"] if q["name"] == "trust" for c in q["changes"]} == {"better"}

    def test_identical_runs_differ_in_nothing(self):
        found = difference.difference(judged(sample()), judged(sample()))
        assert (found["data"], found["settings"], found["versions"]) == ({}, {}, {})
        assert found["arms"] == {"only_first": [], "only_second": [], "changed": {}}
        assert {c["mean"] for q in found["questions"] for c in q["changes"]} == {0.0}
        assert {entry["times"] for entry in found["seconds"]} == {1.0}
        assert terminal_difference.lines(found) == ["The same data, settings, versions and arms."]

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"digest": "two"}, "the data differ"),
            ({"digest": None}, "an older folder does not say which data it is about"),
            ({"seed": 1}, "the splits differ (seed)"),
        ],
    )
    def test_unpaired_where_the_rows_differ(self, change, why):
        found = difference.difference(judged(sample()), judged(sample(**change)))
        assert found["paired"] is False
        assert found["why"] == f"unpaired: {why}"

    def test_another_way_of_splitting_is_unpaired(self):
        other = sample()
        other["task"]["split"] = "by time"
        assert difference.difference(judged(sample()), judged(other))["paired"] is False

    def test_without_overlap_unpaired_is_welch(self):
        """With no test rows per training row the variance is the ordinary one, and scipy's Welch test is the oracle."""
        one, other = sample(), sample(digest="two", repeats=6)
        for found in (one, other):
            for record in found["records"]:
                record["sizes"] = {"train": 100, "validation": 0, "test": 0}
        found = of(difference.difference(judged(one), judged(other)), "rank", "focal")
        before, after = (
            [r["ranking"]["average_precision"] for r in results["records"] if r["arm"] == "focal"]
            for results in (one, other)
        )
        oracle = stats.ttest_ind(after, before, equal_var=False)
        ends = oracle.confidence_interval()
        assert found["p"] == pytest.approx(oracle.pvalue)
        assert (found["low"], found["high"]) == pytest.approx((ends.low, ends.high))
        assert found["n"] == 6

    def test_overlap_widens_the_unpaired_interval(self):
        plain, wide = (sample(digest="two"), sample(digest="two"))
        one = sample()
        for record in plain["records"]:
            record["sizes"]["test"] = 0
        narrow, broad = (of(difference.difference(judged(one), judged(x)), "rank", "focal") for x in (plain, wide))
        assert narrow["high"] - narrow["low"] < broad["high"] - broad["low"]

    def test_arms_settings_versions_data_and_failures(self):
        one, other = sample(failed=[("focal", 1)]), sample(digest="two")
        other["arms"] = [arm for arm in other["arms"] if arm["name"] != "balanced"]
        other["arms"][1] = other["arms"][1] | {"name": "poly", "title": "Poly-1"}
        other["arms"][0] = other["arms"][0] | {"weighting": "balanced"}
        other["settings"]["model"] = "linear"
        other["environment"]["torch"] = "3.0"
        other["task"]["rows"] = 7
        other["records"] = [r for r in other["records"] if r["arm"] == "cross_entropy"]
        found = difference.difference(judged(one), judged(other))
        assert found["arms"]["only_first"] == ["balanced", "focal"]
        assert found["arms"]["only_second"] == ["poly"]
        assert found["arms"]["changed"] == {"cross_entropy": {"weighting": ["none", "balanced"]}}
        assert found["settings"]["model"] == ["mlp", "linear"]
        assert found["versions"] == {"torch": ["2.13.0", "3.0"]}
        assert found["data"]["rows"] == [5472, 7]
        assert found["failed"] == [1, 0]
        assert len(found["headlines"]) == 2

    def test_few_repeats_are_not_tested(self):
        found = difference.difference(judged(sample(repeats=2)), judged(sample(repeats=2, digest="two")))
        assert {c["result"] for q in found["questions"] for c in q["changes"]} == {"untested"}
        one = difference.difference(judged(sample(repeats=1)), judged(sample(repeats=1, digest="two")))
        assert of(one, "rank", "focal")["low"] is None

    def test_an_arm_without_runs(self):
        gone = [("focal", repeat) for repeat in range(8)]
        found = difference.difference(judged(sample()), judged(sample(digest="two", failed=gone)))
        assert of(found, "rank", "focal")["result"] == "no runs"
        assert next(entry for entry in found["seconds"] if entry["arm"] == "focal")["times"] is None

    def test_tasks_of_other_kinds_share_no_question(self):
        found = difference.difference(judged(sample()), judged(sample_results.regression()))
        assert found["questions"] == []


def written(folder, found):
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(found), encoding="utf-8")
    return folder


class TestCommands:
    def test_diff_in_80_columns(self, tmp_path, monkeypatch, command):
        monkeypatch.setenv("COLUMNS", "80")
        one = sample(arms=sample_results.ARMS)
        first, second = written(tmp_path / "1", one), written(tmp_path / "2", shifted(one, {"focal": GAINS}))
        code, out, err = command("diff", first, second)
        assert (code, err) == (0, "")
        lines = [line.strip() for line in out.splitlines()]
        assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
        row = next(line for line in lines if line.startswith("Focal"))
        assert "+0.010" in row
        assert row.endswith("better")
        assert "paired over the repeats" in " ".join(out.split())

    def test_diff_as_json(self, tmp_path, command):
        first, second = written(tmp_path / "1", sample()), written(tmp_path / "2", sample(digest="two"))
        code, out, _ = command("diff", first, second, "--json")
        assert code == 0
        assert json.loads(out)["paired"] is False

    def test_report_writes_three_files_anew_and_judges_again(self, tmp_path, command):
        old = sample() | {"verdict": {"headline": "Stale."}}
        folder = written(tmp_path / "1", old)
        code, out, err = command("report", folder)
        assert (code, err) == (0, "")
        assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.md", "results.json"]
        verdict = judge(sample())
        assert json.loads((folder / "results.json").read_text())["verdict"]["headline"] == verdict["headline"]
        assert "Stale." not in (folder / "report.html").read_text(encoding="utf-8")
        assert " ".join(out.split()).find(" ".join(verdict["headline"].split())) >= 0
        assert command("report", folder, "--quiet")[1].strip() == verdict["headline"]

    def test_a_hostile_name_is_printed_as_it_is(self):
        one, other = judged(sample()), judged(sample(digest="two"))
        other["arms"][1]["title"] = "[red]x[/red]\x1b[31m"
        found = difference.difference(one, other)
        console = Console(file=io.StringIO(), width=80)
        console.print(terminal_difference.changes(found["questions"][0], found["why"]))
        assert "[red]x[/red][31m" in console.file.getvalue()


def broken():
    good = sample(repeats=1)
    return {
        "it is no JSON": "{",
        "NaN is no number of JSON": json.dumps(good | {"version": float("nan")}),
        "it is no object": "[]",
        'its "version" is missing': "{}",
        'its "records" is missing': json.dumps(good | {"records": {}}),
        "no arms": json.dumps(good | {"arms": []}),
        "no number of repeats": json.dumps(good | {"settings": {"repeats": True}}),
        "its task lacks one of source": json.dumps(good | {"task": {}}),
        "one arm lacks one of name": json.dumps(good | {"arms": [{}]}),
        "one record lacks one of arm": json.dumps(good | {"records": [1]}),
        "cannot be judged": json.dumps(good | {"records": [{**good["records"][0], "sizes": 1}]}),
    }


@pytest.mark.parametrize("said", broken())
def test_damaged_results_end_with_one_sentence_and_nothing_written(tmp_path, said, command):
    (tmp_path / "results.json").write_text(broken()[said], encoding="utf-8")
    for words in (("report", tmp_path), ("diff", tmp_path, tmp_path)):
        code, out, err = command(*words)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


class TestReading:
    def test_absent(self, tmp_path):
        with pytest.raises(InputError, match=r"has no results\.json; give a folder"):
            saved.read(tmp_path)
        with pytest.raises(InputError, match="is no folder"):
            saved.read(tmp_path / "nowhere")

    def test_too_large(self, tmp_path, monkeypatch):
        folder = written(tmp_path / "1", sample(repeats=1))
        monkeypatch.setattr(saved, "LARGEST", 10)
        with pytest.raises(InputError, match="more than 10 are not read"):
            saved.read(folder)

    def test_deep_nesting_and_bytes_that_are_no_text(self, tmp_path):
        (tmp_path / "results.json").write_text("[" * 200_000, encoding="utf-8")
        with pytest.raises(InputError, match="it is no JSON"):
            saved.read(tmp_path)
        (tmp_path / "results.json").write_bytes(b"\xff\xfe")
        with pytest.raises(InputError, match="cannot be read"):
            saved.read(tmp_path)

    def test_a_symbolic_link_is_not_followed(self, tmp_path):
        folder = written(tmp_path / "1", sample(repeats=1))
        (tmp_path / "2").mkdir()
        (tmp_path / "2" / "results.json").symlink_to(folder / "results.json")
        with pytest.raises(InputError, match="has no"):
            saved.read(tmp_path / "2")
