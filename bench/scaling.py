"""`compare` with more workers than this machine has cores: the engine's hand-out simulated with measured durations.

The engine hands the runs out in their order, all arms of a repeat before the next, each to the worker that is free
first. Durations are those of the runs of a comparison with one worker (`time.total_seconds`); what comes before the
first run and after the last is the wall time of a comparison of one repeat less its runs. The simulation is checked
against the wall time of the same comparison with 1 and with 2 workers. It knows nothing of memory bandwidth and of
cores that get slower when all of them are busy. The ideal divides the runs evenly and keeps what surrounds them.
"""

import heapq
import tempfile
from collections.abc import Sequence

from bench.report import Part, Table, markdown
from lossmith.compare import compare
from lossmith.compare.call import DEMO, DEMO_TARGET
from lossmith.compare.session import Comparison

REPEATS = 4
LOSSES = ("cross_entropy", "focal", "logit_adjusted", "balanced", "poly")
WORKERS = (1, 2, 4, 8)
MEASURED = (1, 2)
HEADER = ["workers", "simulated, s", "ideal, s", "speed-up", "of the ideal", "measured, s", "simulated / measured"]


def makespan(durations: Sequence[float], workers: int) -> float:
    """When the last run ends, if each is taken up in order by the worker that is free first.

    >>> makespan([3.0, 1.0, 1.0, 2.0], 2), makespan([3.0, 1.0, 1.0, 2.0], 1)
    (4.0, 7.0)

    With two: one has 3, the other 1, 1 and 2.
    """
    free = [0.0] * workers
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def held(repeats: int, jobs: int) -> Comparison:
    """A comparison on the demo table."""
    with tempfile.TemporaryDirectory() as folder:
        return compare(DEMO, DEMO_TARGET, losses=LOSSES, repeats=repeats, jobs=jobs, out=folder, fresh=True, quiet=True)


def wall(comparison: Comparison) -> float:
    """Its wall time in seconds."""
    return float(comparison.results["time"]["wall_seconds"])


def durations(comparison: Comparison) -> list[float]:
    """The seconds of its runs in the order in which they were handed out."""
    return [record["time"]["total_seconds"] for record in comparison.results["records"]]


def report() -> list[Part]:
    """Simulated, ideal and measured wall times."""
    short = held(1, 1)
    around = wall(short) - sum(durations(short))
    measured = {jobs: held(REPEATS, jobs) for jobs in MEASURED}
    runs = durations(measured[1])
    rows = []
    for workers in WORKERS:
        simulated, ideal = around + makespan(runs, workers), around + sum(runs) / workers
        real = wall(measured[workers]) if workers in measured else None
        rows.append(
            [
                str(workers),
                f"{simulated:.1f}",
                f"{ideal:.1f}",
                f"{(around + sum(runs)) / simulated:.2f}",
                f"{ideal / simulated:.0%}",
                "" if real is None else f"{real:.1f}",
                "" if real is None else f"{simulated / real:.2f}",
            ]
        )
    about = f"{len(runs)} runs of {min(runs):.2f} to {max(runs):.2f} s, {around:.1f} s around them."
    return [about, Table(HEADER, rows)]


if __name__ == "__main__":
    print(markdown(report()))
