"""A set cannot be split: over ranks it is gathered, over micro-batches it is refused in one sentence."""

import pytest
import torch

import lossmith
from lossmith.errors import ParameterError, ShapeError
from tests.laws.cases import CASES, Case
from tests.ranks.world import on_ranks

SETS = [case for case in CASES if case.loss().scope == "set"]
sets = pytest.mark.parametrize("case", SETS, ids=lambda case: case.label)
WIDTHS = "the rows of a set must have one shape on all ranks"


def test_sets_are_in_the_registry() -> None:
    assert {case.cls.family for case in SETS} >= {"comparison", "ranking", "overlap"}


@sets
def test_sets_refuse_a_count_of_the_step(case: Case) -> None:
    with pytest.raises(ParameterError, match="Loss: num_items is for losses that add up over micro-batches, and "):
        case.loss()(*case.data(), num_items=12)


@sets
def test_partials_of_sets_do_not_merge(case: Case) -> None:
    loss, given = case.loss(), case.data()
    one = loss.partial(*given)
    torch.testing.assert_close(loss.reduce(one.merge()), loss(*given))
    with pytest.raises(ParameterError, match=r"Partial: those of a set .* do not merge") as found:
        one.merge(loss.partial(*given))
    assert "\n" not in str(found.value)


def test_a_sum_with_a_set_does_not_merge() -> None:
    loss = lossmith.create("supervised_contrastive + 0.1*info_nce")
    x, y = torch.randn(6, 4), torch.arange(6) % 2
    with pytest.raises(ParameterError, match="Partial: those of a set"):
        loss.partial(x, y).merge(loss.partial(x, y))
    with pytest.raises(ParameterError, match="SupervisedContrastiveLoss: num_items is for losses that add up"):
        loss(x, y, num_items=12)


def work(rank: int, ranks: int) -> list[str]:
    """What a rank reads where the embeddings of another are wider, and that it goes on."""
    loss, y = lossmith.InfoNCELoss(process_group="world"), torch.arange(4) % 2
    found = []
    for x in (torch.ones(4, 3 + rank), torch.ones(4, 3)):
        try:
            found.append(str(loss(x, y).isfinite().item()))
        except ShapeError as error:
            found.append(str(error))
    return found


def test_rows_of_another_shape_are_refused_on_every_rank() -> None:
    for sentence, after in on_ranks(2, work):
        assert sentence.startswith(f"process_group: {WIDTHS}")
        assert sentence.endswith("they are of [[3], [4]]")
        assert after == "True"


@pytest.mark.parametrize(
    "ask",
    [
        lambda: lossmith.MSELoss(process_group="world")(torch.ones(2), torch.ones(2)),
        lambda: lossmith.InfoNCELoss(process_group="world")(torch.ones(2, 2), torch.arange(2)),
        lambda: list(lossmith.sampling.BalancedSampler([0, 1], process_group="world")),
        lambda: lossmith.SampledSoftmaxLoss(process_group="world").draw(9),
    ],
)
def test_a_group_that_was_not_started(ask) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ParameterError, match=r"^process_group: call torch.distributed.init_process_group first; this"):
        ask()
