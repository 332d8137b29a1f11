"""Tables larger than memory: what is kept, how it is drawn, and how much memory it takes."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lossmith.compare.data import batches as reading
from lossmith.compare.data import memory as bounds
from lossmith.compare.data import sample
from lossmith.compare.data.memory import fixed_bytes, memory_bytes
from lossmith.compare.data.sample import allocated, drawn, sampled
from lossmith.errors import InputError
from lossmith.table.reading import read_table

MB = 10**6


def table(rows, seed=0, shares=(0.9, 0.09, 0.01)):
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "row": np.arange(rows),
            "a": generator.normal(size=rows),
            "word": generator.choice(["red", "green", "blue"], rows),
            "y": generator.choice(["common", "seldom", "rare"], rows, p=shares),
        }
    )


@pytest.fixture(params=["parquet", "csv"])
def write(request, tmp_path):
    def written(frame):
        path = tmp_path / f"table.{request.param}"
        if request.param == "parquet":
            frame.to_parquet(path, row_group_size=3000)
        else:
            frame.to_csv(path, index=False, sep=";")
        return path

    return written


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(reading, "ROWS_OF_A_BATCH", 1000)


def bound_for(path, rows, target="y", jobs=1):
    """The memory that is just enough for so many rows."""
    raw, typed = reading.batches(path, "t", target).first()
    return int(fixed_bytes(jobs) + rows * bounds.row_bytes(raw, typed, target, jobs)) + 1


def test_a_table_that_fits_is_the_whole_table(write):
    path = write(table(2500))
    frame, outcome = sampled(path, "y", bound_for(path, 2600), 0)
    assert outcome is None
    pd.testing.assert_frame_equal(frame, read_table(path, ("y",)))


def test_a_sample_has_the_rows_of_the_file_and_the_shares_of_its_classes(write):
    whole = table(20_000)
    path = write(whole)
    frame, outcome = sampled(path, "y", bound_for(path, 6000), 7)
    counts, kept = whole["y"].value_counts(), frame["y"].value_counts()
    assert outcome.rows_total == 20_000
    assert outcome.counts_total == counts.to_dict()
    assert outcome.counts_kept == kept.to_dict()
    assert outcome.rows_kept == len(frame) <= 6000
    assert kept["rare"] == min(200, counts["rare"])  # 60 would be its share
    assert outcome.raised == ("rare",)
    rest = counts.drop("rare")
    np.testing.assert_allclose(kept[rest.index], rest * (6000 - kept["rare"]) / rest.sum(), atol=1)
    pd.testing.assert_frame_equal(frame, read_table(path, ("y",)).loc[frame.index], check_index_type=False)
    assert frame.index.is_monotonic_increasing
    assert frame.index.equals(pd.Index(frame["row"], name=None))


def test_a_sample_is_the_seed_s_and_not_the_batches_(write, monkeypatch):
    path = write(table(9000))
    memory = bound_for(path, 3000)
    first, _ = sampled(path, "y", memory, 1)
    pd.testing.assert_frame_equal(first, sampled(path, "y", memory, 1)[0])
    assert not first.index.equals(sampled(path, "y", memory, 2)[0].index)
    strata = sample.Strata.of(reading.batches(path, "t", "y"), "y", True)
    kept = allocated(strata.counts, 3000)
    rows = reading.batches(path, "t", "y").kept("y", sample.Draw(strata, kept, 1)).index
    monkeypatch.setattr(reading, "ROWS_OF_A_BATCH", 777)
    strata = sample.Strata.of(reading.batches(path, "t", "y"), "y", True)
    assert reading.batches(path, "t", "y").kept("y", sample.Draw(strata, kept, 1)).index.equals(rows)


def test_no_rare_class_means_shares_alone(write):
    path = write(table(9000, shares=(0.5, 0.3, 0.2)))
    _, outcome = sampled(path, "y", bound_for(path, 3000), 0)
    assert outcome.raised == ()
    assert not any("share" in sentence for sentence in outcome.sentences())


def test_amounts_and_no_target_are_drawn_uniformly(write):
    path = write(table(9000))
    for target, options in (("a", {}), ("y", {"stratified": False}), (None, {})):
        frame, outcome = sampled(path, target, bound_for(path, 3000, target), 0, **options)
        assert len(frame) == outcome.rows_kept == 3000
        assert outcome.counts_total == {}
        assert stats.kstest(frame["row"] / 9000, "uniform").pvalue > 1e-3
    whole = table(9000).assign(y=np.arange(9000) % 120)  # 120 whole numbers are no classes
    path = write(whole)
    assert sampled(path, "y", bound_for(path, 3000), 0)[1].counts_total == {}


def test_numbers_words_and_truth_are_classes_by_the_task_s_names(tmp_path):
    path = tmp_path / "t.parquet"
    for values, names in (([0, 1, 2], {"0", "1", "2"}), ([0.5, 1.0, 3.0], {"0.5", "1", "3"}), ([True, False], None)):
        column = np.random.default_rng(0).choice(values, 5000)
        table(5000).assign(y=column).to_parquet(path)
        found = sampled(path, "y", bound_for(path, 2000), 0)[1]
        assert set(found.counts_total) == (names or {"True", "False"})
    table(5000).assign(y=pd.Categorical(["u", "v"] * 2500)).to_parquet(path, row_group_size=700)
    frame, found = sampled(path, "y", bound_for(path, 2000), 0)
    assert found.counts_kept == frame["y"].value_counts().to_dict() == {"u": 1000, "v": 1000}


def test_rows_without_a_target_are_counted_and_left_out(write):
    whole = table(9000)
    whole.loc[whole["row"] % 3 == 0, "y"] = None
    path = write(whole)
    frame, outcome = sampled(path, "y", bound_for(path, 3000), 0)
    assert (outcome.rows_total, outcome.without_target) == (9000, 3000)
    assert frame["y"].notna().all()
    assert "3,000 rows without a target were left out of the sample." in outcome.sentences()


def test_the_sentences_state_the_figures(tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": np.zeros(40_000), "y": ["n"] * 39_600 + ["p"] * 400}).to_parquet(path)
    _, outcome = sampled(path, "y", bound_for(path, 10_000), 0)
    first, rarest, shares = outcome.sentences()
    assert outcome.growth == pytest.approx(2.0, abs=1e-3)  # sqrt(40,000 / 10,000)
    assert "at most about 2 times as large" in first
    assert "40,000 / 10,000" in first or "40,000 / 9,999" in first
    assert (
        rarest
        == 'The rarest class, "p", keeps 200 of 400 rows, so its recall is at most about 1.41 times as uncertain.'
    )
    assert 'is class "p" ("p": 0.01 of the table, 0.02 of the sample)' in shares
    assert outcome.describe()["sentences"] == outcome.sentences()


def test_allocation_by_hand():
    assert allocated(np.array([50, 30]), 100).tolist() == [50, 30]
    assert allocated(np.array([6000, 3000]), 3000).tolist() == [2000, 1000]
    assert allocated(np.array([10_000, 1000, 50]), 2000).tolist() == [1750, 200, 50]  # 181 for the second without it
    with pytest.raises(InputError, match="200 rows of each of 3 classes"):
        allocated(np.array([10_000, 10_000, 10_000]), 599)


@pytest.mark.parametrize(("total", "wanted"), [(12, 3), (12, 9)])
def test_every_row_is_as_likely_as_any_other(total, wanted):
    generator = np.random.default_rng(0)
    draws = [drawn(total, wanted, generator) for _ in range(4000)]
    assert all(len(set(draw)) == wanted and list(draw) == sorted(draw) for draw in draws)
    counts = np.bincount(np.concatenate(draws), minlength=total)
    # every row is in a draw with probability wanted / total, independent over draws
    z = (counts - 4000 * wanted / total) / np.sqrt(4000 * wanted / total * (1 - wanted / total))
    assert np.abs(z).max() < 4.5
    together = sum(0 in draw and total - 1 in draw for draw in draws) / 4000
    expected = wanted * (wanted - 1) / (total * (total - 1))
    assert abs(together - expected) < 4.5 * np.sqrt(expected * (1 - expected) / 4000)


def test_more_workers_leave_room_for_fewer_rows(tmp_path):
    path = tmp_path / "t.parquet"
    table(20_000).to_parquet(path)
    memory = bound_for(path, 15_000, jobs=4)
    few, many = (sampled(path, "y", memory, 0, jobs=jobs)[1] for jobs in (1, 4))
    assert few is None
    assert many.rows_kept == pytest.approx(15_000, abs=3)


@pytest.mark.parametrize(
    ("memory", "target", "words"),
    [
        (800 * MB, "z", "no column"),
        (500 * MB, "y", r"memory 500 MB is too little for 1 worker and 1,000 rows of t.parquet; give at least \d+ MB"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path, memory, target, words):
    path = tmp_path / "t.parquet"
    table(5000).to_parquet(path)
    with pytest.raises(InputError, match=words):
        sampled(path, target, memory, 0)


def test_the_memory_that_the_sentence_asks_for_is_enough(tmp_path):
    path = tmp_path / "t.parquet"
    table(5000).to_parquet(path)
    with pytest.raises(InputError) as refused:
        sampled(path, "y", 500 * MB, 0)
    enough = memory_bytes(str(refused.value).split("at least ")[1].split(" or")[0])
    assert len(sampled(path, "y", enough, 0)[0]) >= sample.FEWEST_ROWS


def test_files_are_refused_as_a_whole_table_is(tmp_path):
    broken = tmp_path / "t.parquet"
    broken.write_bytes(b"PAR1 nonsense")
    for path, words in ((broken, "cannot be read as Parquet"), (tmp_path / "none.csv", "does not exist")):
        with pytest.raises(InputError, match=words):
            sampled(path, "y", 900 * MB, 0)


@pytest.mark.parametrize("given", ["4", "4 apples", "-4GB", "GB", "0GB", "nan", True, "1e3GB", ""])
def test_sizes_that_are_none(given):
    if given == "4":
        with pytest.raises(InputError, match='memory must be a size such as "500MB"'):
            memory_bytes(given)
        return
    with pytest.raises(InputError, match="memory must be a size"):
        memory_bytes(given)


def test_the_default_bound_is_a_power_of_two_and_half_of_what_is_free(monkeypatch):
    monkeypatch.setattr(bounds, "available", lambda: 24 * 2**30)
    assert memory_bytes(None) == 8 * 2**30
    monkeypatch.undo()
    assert memory_bytes(None) <= bounds.available() * 1.1


def test_a_container_s_limit_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "CGROUP", tmp_path)
    assert bounds.of_the_groups() == []
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text(f"{300 * MB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {100 * MB}\n")
    assert bounds.of_the_groups() == []
    (tmp_path / "memory.max").write_text(f"{1000 * MB}\n")
    assert bounds.of_the_groups() == [800 * MB]
    assert bounds.available() == 800 * MB


CHILD = """
import sys
from pathlib import Path
from lossmith.compare.data.sample import sampled
import lossmith.compare.data.task, lossmith.compare.verdict.judge, torch, sklearn.metrics
frame, outcome = sampled(sys.argv[1], "y", int(sys.argv[2]), 0, jobs=1)
words = Path("/proc/self/status").read_text().split()  # not ru_maxrss, which is taken over from pytest
print(len(frame), outcome.rows_total, int(words[words.index("VmHWM:") + 1]) * 1024)
"""


def test_millions_of_rows_stay_under_the_bound(tmp_path):
    """Three million rows of 400 letters are 1.2 GB; reading must not go beyond the parent's part of the bound."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path, rows, group = tmp_path / "big.parquet", 3_000_000, 500_000
    words = pa.array(["x" * 400 + str(number) for number in range(50)])
    generator = np.random.default_rng(0)
    schema = pa.schema([("a", pa.float64()), ("text", pa.string()), ("y", pa.int8())])
    with pq.ParquetWriter(path, schema) as writer:
        for _ in range(rows // group):
            text = words.take(pa.array(generator.integers(0, 50, group)))
            y = (generator.random(group) < 0.01).astype(np.int8)
            writer.write_table(pa.table({"a": generator.normal(size=group), "text": text, "y": y}, schema=schema))
    memory = 1000 * MB
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(memory)], capture_output=True, text=True, check=True
    )
    kept, total, peak = map(int, ended.stdout.split())
    assert total == rows  # 1.2 GB of text
    assert 1000 < kept < rows / 10
    assert peak < memory - bounds.PROCESS  # the worker needs its own
