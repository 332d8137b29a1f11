"""Every mistake is found by name, and every check finds a mistake."""

import pytest

import tests.audit.wrong_ranks  # noqa: F401  (adds to WRONG)
from lossmith.audit import CHECKS, audit
from tests.audit.wrong import WRONG, Wrong


@pytest.mark.parametrize("one", WRONG, ids=lambda one: one.loss.__name__)
def test_the_mistake_is_named(one: Wrong) -> None:
    found = audit(one.loss, one.kind, only=one.trips)
    failed = {outcome.name: outcome.seen for outcome in found.failures}
    assert set(one.trips) <= set(failed), failed
    assert one.words in " ".join(failed[name] for name in one.trips)


def test_every_check_finds_a_mistake() -> None:
    assert {name for one in WRONG for name in one.trips} == set(CHECKS)
    assert len(CHECKS) >= 60
