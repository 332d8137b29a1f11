"""`lossmith bench` from outside: which data sets, what is asked of `conduct`, what is left behind, how it ends."""

import json

import pytest
from invented import comparison

from lossmith.compare.many import session, sets
from lossmith.compare.runs.engine import EngineError
from lossmith.errors import InputError


@pytest.fixture
def asked(monkeypatch):
    """`conduct` replaced: what it was asked for, and answers by the name of the data set."""
    calls, answers = [], {}

    def conduct(data, target, *, out, budget, quiet, **options):
        calls.append({"data": data, "target": target, "out": out, "budget": budget, "quiet": quiet, **options})
        answer = answers.get(out.name, {})
        if isinstance(answer, BaseException):
            raise answer
        return comparison(out, **answer)

    monkeypatch.setattr(session, "conduct", conduct)
    calls_and_answers = type("Asked", (), {"calls": calls, "answers": answers})
    return calls_and_answers


def tables(folder, *names, head="a,b,y"):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(f"{head}\n1,2,c\n")
    return folder


class TestSets:
    def test_a_folder_by_name_with_the_last_column(self, tmp_path):
        tables(tmp_path / "in", "b.csv", "a.tsv", "notes.txt", ".hidden.csv")
        (tmp_path / "in" / "a.tsv").write_text("a\ty\n1\t2\n")
        found = sets.find(tmp_path / "in")
        assert [(one.name, sets.target_of(one)) for one in found] == [("a", "y"), ("b", "y")]
        assert {sets.target_of(one) for one in sets.find(tmp_path / "in", "a")} == {"a"}

    def test_the_same_stem_twice_keeps_its_ending(self, tmp_path):
        tables(tmp_path / "in", "a.csv", "A.tsv")
        assert sorted(one.name for one in sets.find(tmp_path / "in")) == ["A_tsv", "a_csv"]

    def test_a_list_with_paths_from_where_it_is(self, tmp_path):
        tables(tmp_path / "in", "a.csv", "b.csv")
        (tmp_path / "in" / "list.csv").write_text("data,target,name\na.csv,y,first one\n../in/b.csv,a,\n")
        for source in (tmp_path / "in", tmp_path / "in" / "list.csv"):
            found = sets.find(source)
            assert [(one.name, one.target) for one in found] == [("first_one", "y"), ("b", "a")]
            assert all(one.path.is_file() for one in found)

    def test_a_name_is_no_way_out_of_the_folder(self, tmp_path):
        (tmp_path / "l.csv").write_text("data,target,name\na.csv,y,../../evil\nb.csv,y,bench.html\n")
        assert [one.name for one in sets.find(tmp_path / "l.csv")] == ["evil", "bench_html"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("a,b\n1,2\n", "no list of data sets"),
            ("data,target\na.csv,\n", 'line 2: "target" is empty'),
            ("data,target,name\na.csv,y,x 1\nb.csv,y,X-1\nc.csv,y,x_1\n", 'more than one data set called "x_1"'),
            ("data,target,name\na.csv,y,///\n", "cannot be the name"),
        ],
    )
    def test_lists_that_cannot_be_used(self, tmp_path, text, said):
        (tmp_path / "l.csv").write_text(text)
        with pytest.raises(InputError, match=said):
            sets.find(tmp_path / "l.csv")

    def test_an_empty_folder_and_a_needless_target(self, tmp_path):
        (tmp_path / "l.csv").write_text("data,target\na.csv,y\n")
        with pytest.raises(InputError, match="--target is not needed"):
            sets.find(tmp_path / "l.csv", "y")
        (tmp_path / "none").mkdir()
        with pytest.raises(InputError, match="holds no table"):
            sets.find(tmp_path / "none")

    def test_a_file_that_cannot_be_read_is_left_to_the_comparison(self, tmp_path):
        (tmp_path / "a.parquet").write_text("no parquet")
        (tmp_path / "b.csv").write_text("")
        assert [sets.target_of(one) for one in sets.find(tmp_path)] == [None, None]


class TestBench:
    def test_every_data_set_in_its_own_folder_with_the_shared_options(self, tmp_path, asked):
        done = session.bench(tables(tmp_path / "in", "a.csv", "b.csv"), out=tmp_path / "out", losses=["focal"], seed=3)
        assert [(call["out"], call["target"]) for call in asked.calls] == [
            (tmp_path / "out" / name, "y") for name in ("a", "b")
        ]
        assert all(call["quiet"] and call["losses"] == ["focal"] and call["seed"] == 3 for call in asked.calls)
        assert done.results["verdict"]["judged"] == 2
        assert done.results["datasets"][0]["report"] == "a/report.html"
        assert json.loads((tmp_path / "out" / "bench.json").read_text())["status"] == "complete"

    def test_one_that_cannot_be_compared_is_listed_and_the_rest_go_on(self, tmp_path, asked):
        asked.answers.update(a=InputError("a is bad."), b=EngineError("no worker."))
        done = session.bench(tables(tmp_path / "in", "a.csv", "b.csv", "c.csv"), out=tmp_path / "out")
        assert [(one["status"], one["said"]) for one in done.results["datasets"]] == [
            ("failed", "a is bad."),
            ("failed", "no worker."),
            ("complete", "Use Focal."),
        ]
        assert done.results["verdict"]["failed"] == {"a": "a is bad.", "b": "no worker."}

    def test_where_none_can_be_compared_nothing_is_written(self, tmp_path, asked):
        asked.answers.update(a=InputError("a is bad."), b=InputError("b is bad."))
        with pytest.raises(InputError, match="none of the 2 data sets can be compared; the first, a: a is bad"):
            session.bench(tables(tmp_path / "in", "a.csv", "b.csv"), out=tmp_path / "out")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("how", [KeyboardInterrupt(), {"interrupted": True, "status": "partial"}])
    def test_an_interruption_leaves_a_partial_page(self, tmp_path, asked, how):
        asked.answers.update(b=how)
        done = session.bench(tables(tmp_path / "in", "a.csv", "b.csv", "c.csv"), out=tmp_path / "out")
        assert done.interrupted
        assert len(asked.calls) == 2
        assert done.results["status"] == "partial"
        assert [one["name"] for one in done.results["datasets"]] == ["a", "b", "c"]
        assert "2 of 3 data sets have not been finished yet" in (tmp_path / "out" / "bench.html").read_text()

    def test_the_budget_is_shared_out(self, tmp_path, asked):
        session.bench(tables(tmp_path / "in", "a.csv", "b.csv", "c.csv"), out=tmp_path / "out", budget="300s")
        shares = [call["budget"] for call in asked.calls]  # nobody used any, so the last gets all that is left
        assert shares == pytest.approx([100, 150, 300], rel=0.05)


class TestCommand:
    def test_done(self, tmp_path, asked, command):
        folder = tables(tmp_path / "in", "a.csv", "b.csv")
        code, out, err = command("bench", folder, "--out", tmp_path / "out", "--losses", "focal", "poly")
        assert code == 0
        assert err.splitlines() == [f"{k} of 2 data sets: {name}: Use Focal." for k, name in ((1, "a"), (2, "b"))]
        assert "No verdict yet: 2 data sets" in out.replace("\n", " ")
        assert f"Page: {tmp_path / 'out' / 'bench.html'}" in out
        assert asked.calls[0]["losses"] == ["focal", "poly"]
        assert "metric" not in asked.calls[0]

    def test_quiet_and_json(self, tmp_path, asked, command):
        folder = tables(tmp_path / "in", "a.csv")
        words = ("bench", folder, "--out", tmp_path / "out", "--metric", "mcc")
        code, out, err = command(*words, "--quiet")
        assert (code, err, out.count("\n")) == (0, "", 1)
        code, out, _ = command(*words, "--json")
        assert json.loads(out)["files"]["md"] == str(tmp_path / "out" / "bench.md")
        assert asked.calls[0]["metric"] == "mcc"

    def test_exit_codes(self, tmp_path, asked, command):
        folder = tables(tmp_path / "in", "a.csv")
        words = ("bench", folder, "--out", tmp_path / "out", "--quiet")
        asked.answers.update(a=KeyboardInterrupt())
        assert command(*words)[0] == 130
        asked.answers.update(a=EngineError("no worker."))
        assert command(*words)[0] == 1
        asked.answers.update(a=InputError("unknown metric."))
        assert command(*words) == (2, "", "lossmith: unknown metric.\n")

    def test_what_is_no_folder_and_no_list(self, tmp_path, command):
        code, _, err = command("bench", tmp_path / "nowhere")
        assert code == 2
        assert "does not exist" in err
