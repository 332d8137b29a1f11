"""Every loss that ships passes its own audit."""

import pytest

from lossmith.audit import check_loss
from lossmith.flow.loss import Loss
from tests.laws.cases import SHIPPED


@pytest.mark.parametrize("cls", SHIPPED.values(), ids=lambda cls: cls.name)
def test_every_shipped_loss_passes(cls: type[Loss]) -> None:
    found = check_loss(cls)
    assert found.counts()["pass"] >= 20
