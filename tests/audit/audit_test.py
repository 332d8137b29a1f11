"""The audit itself: right losses pass, kinds are found, answers are told, and nothing is left behind."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lossmith import DSCLoss, FocalLoss
from lossmith.audit import CHECKS, KINDS, audit, check_loss
from lossmith.audit.report import page
from lossmith.errors import SpecError
from tests.audit.wrong import FocalFromMean

EMPTY = {"an_empty_batch"}  # torch's means of nothing are NaN

TORCH: list[tuple[Any, str, set[str]]] = [
    # what torch.nn gets wrong by our measure is written out: a check that cries wolf would have to be added here
    (
        nn.CrossEntropyLoss,
        "softmax",
        EMPTY
        | {"all_ignored", "nan_behind_ignored_stays_out", "float16_over_many_units"}
        | {"weights_do_not_move_the_smoothed_minimum"},
    ),
    (nn.NLLLoss, "log_prob", EMPTY | {"all_ignored", "float16_over_many_units"}),
    (nn.BCEWithLogitsLoss, "sigmoid", EMPTY | {"target_range_is_checked"}),
    (nn.BCELoss, "binary_prob", EMPTY),
    (nn.MSELoss, "regression", EMPTY | {"broadcast_refused"}),
    (nn.L1Loss, "regression", EMPTY | {"broadcast_refused"}),
    (nn.HuberLoss, "regression", EMPTY | {"broadcast_refused"}),
    (nn.SmoothL1Loss, "regression", EMPTY | {"broadcast_refused"}),
    (nn.KLDivLoss, "divergence", EMPTY | {"mean_is_sum_over_count"}),
    (functools.partial(nn.KLDivLoss, reduction="batchmean"), "divergence", EMPTY | {"mean_is_sum_over_count"}),
    (nn.TripletMarginLoss, "triplets", EMPTY | {"impossible_parameters_are_refused"}),
    (nn.MarginRankingLoss, "score_pairs", EMPTY),
    (nn.CosineEmbeddingLoss, "pairs", EMPTY),
    (nn.GaussianNLLLoss, "gaussian", EMPTY | {"it_compiles_whole", "vmap_is_a_loop"}),
    (nn.PoissonNLLLoss, "count", EMPTY | {"broadcast_refused"}),
    (
        nn.SoftMarginLoss,
        "margin",
        EMPTY | {"gradient_at_89", "gradient_at_200", "gradient_at_10000", "float16_at_logit_40", "label_0_refused"},
    ),
    (nn.CTCLoss, "sequence", {"it_compiles_whole", "an_impossible_alignment_is_not_nan"}),
    (nn.MultiMarginLoss, "softmax", {"nan_is_not_swallowed"}),
]


@pytest.mark.parametrize(("loss", "kind", "known"), TORCH, ids=lambda x: getattr(x, "__name__", None))
def test_the_losses_of_torch_are_found_and_fail_where_they_are_known_to(loss: Any, kind: str, known: set[str]) -> None:
    found = audit(loss)
    assert found.kind == kind
    assert {one.name: one.seen for one in found.failures if one.name not in known} == {}
    assert {one.name for one in found.failures} == known


def test_every_check_is_explained_and_every_kind_is_asked_something() -> None:
    assert len(CHECKS) >= 60
    for one in CHECKS.values():
        assert len(one.expects) > 15
        assert one.why.endswith((".", ","))
        assert one.link.startswith("https://")
        assert set(one.kinds) <= set(KINDS)
    assert {kind for one in CHECKS.values() for kind in one.kinds} == set(KINDS)


def test_a_name_finds_the_same_kind() -> None:
    for kind in ("softmax", "log_prob"):
        assert audit(nn.NLLLoss, kind, only=["it_trains"]).kind == kind


@pytest.mark.parametrize(
    ("loss", "kind", "only", "sentence"),
    [
        (nn.MSELoss, "softmaxx", (), "no kind is named 'softmaxx'; did you mean \"softmax\"?"),
        (nn.MSELoss, None, ["broadcast"], "no check is named 'broadcast'"),
        (7, None, (), "not 7"),
        (lambda a, b: "words", None, (), "no layout fits"),
    ],
)
def test_what_cannot_be_audited_is_said(loss: Any, kind: str | None, only: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        audit(loss, kind, only=only)


def test_check_loss_names_what_fails_and_accepts_what_is_known() -> None:
    with pytest.raises(AssertionError, match="p is taken from the averaged cross-entropy") as caught:
        check_loss(FocalFromMean)
    assert "https://" in str(caught.value)
    known = [one.name for one in audit(FocalFromMean).failures]
    assert check_loss(FocalFromMean, known=known).counts()["fail"] == len(known)
    with pytest.raises(SpecError, match="no check is named"):
        check_loss(nn.MSELoss, known=["nothing_of_the_kind"])


def test_instances_functions_and_factories_are_losses_too() -> None:
    checks = ["it_trains", "none_adds_up_to_sum"]

    def factory(**options: Any) -> nn.Module:
        return nn.HuberLoss(delta=2.0, **options)

    for loss in (nn.HuberLoss(delta=2.0), functools.partial(F.huber_loss, delta=2.0), F.huber_loss, factory):
        assert audit(loss, only=checks).counts() == {"pass": 2, "fail": 0, "not applicable": 0}, loss

    class Closed(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.wrapped = inner

        def forward(self, input: Tensor, target: Tensor) -> Tensor:
            return self.wrapped(input, target)  # type: ignore[no-any-return]

    found = audit(Closed(nn.HuberLoss()), only=checks)  # it cannot be made again with another reduction
    assert found["it_trains"].status == "pass"
    assert found["none_adds_up_to_sum"].status == "not applicable"


@pytest.mark.parametrize(
    "options",
    [
        {"link": "sigmoid", "alpha": 0.25},
        {"link": "prob", "gamma": 0.5},
        {"alpha": [0.2, 0.3, 0.5]},
        {"weight": [1.0, 2.0, 3.0], "label_smoothing": 0.1},
        {"weight": [1.0, 2.0, 3.0], "normalizer": "count"},
        {"normalizer": "positives"},
        {"normalizer": 5.0},
        {"reduction": "sum"},
        {"reduction": "none"},
    ],
    ids=str,
)
def test_options_are_no_mistakes(options: dict[str, Any]) -> None:
    """What a loss was asked for is not held against it: weights, denominators, reductions, smoothing."""
    slow = {"it_compiles_whole", "n_ranks_see_one_loss", "n_ranks_have_one_gradient"}
    found = audit(FocalLoss(**options), only=[name for name in CHECKS if name not in slow])
    assert {one.name: one.seen for one in found.failures} == {}
    assert found["the_minimum_is_the_right_answer"].status == (
        "not applicable" if "label_smoothing" in options else "pass"
    )


def test_a_minimum_elsewhere_is_found_in_ours_too() -> None:
    with pytest.warns(UserWarning, match="least at p = 0.5"):
        loss = DSCLoss(alpha=1.0)
    names = ["the_minimum_is_the_right_answer", "certainty_pays"]
    assert [one.name for one in audit(loss, only=names).failures] == names


def test_a_metric_is_not_asked_for_gradients() -> None:
    class Wrongness(nn.Module):
        differentiable = False

        def forward(self, input: Tensor, target: Tensor) -> Tensor:
            return (input.argmax(1) != target).float().mean()

    found = audit(
        Wrongness, "softmax", only=["it_trains", "a_plain_batch_works", "gradient_at_40", "class_names_do_not_matter"]
    )
    assert [one.status for one in found.outcomes] == ["pass", "not applicable", "not applicable", "pass"]


def test_a_clear_refusal_of_nothing_is_accepted_and_said() -> None:
    def refuses(input: Tensor, target: Tensor) -> Tensor:
        if not len(input):
            raise ValueError("the batch is empty: give at least one example")
        return F.mse_loss(input, target)

    one = audit(refuses, only=["an_empty_batch"]).outcomes[0]
    assert one.status == "pass"
    assert "refused with a clear error" in one.seen


def test_a_loss_that_does_not_work_has_one_failure() -> None:
    def broken(input: Tensor, target: Tensor) -> Tensor:
        raise RuntimeError("nothing works here")

    found = audit(broken, "softmax")
    assert [one.name for one in found.failures] == ["a_plain_batch_works"]
    assert found.counts()["pass"] == 0


def test_the_random_state_of_the_caller_is_left_alone() -> None:
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    audit(nn.MSELoss, only=["it_repeats", "order_does_not_matter"])
    assert torch.equal(torch.rand(3), want)


def test_the_document_is_json_and_the_page_escapes(tmp_path: Path) -> None:
    def hostile(input: Tensor, target: Tensor) -> Tensor:
        if not len(input):
            raise ValueError("<script>alert(1)</script> \x1b[31m")
        return F.cross_entropy(input, target)

    found = audit(hostile, "softmax", only=["an_empty_batch", "it_trains"])
    document = json.loads(json.dumps(found.document()))
    assert document["counts"] == found.counts()
    assert {"name", "status", "expected", "seen", "why", "link", "theme", "seconds"} == set(document["outcomes"][0])
    text = page(found)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
    assert "default-src 'none'" in text
    assert "http" not in text.split("</style>")[0].replace("http-equiv", "")


def test_several_labels_have_a_cross_entropy_of_one_number_per_unit() -> None:
    """[N, 1] against [N] once broadcast, and every multi-label focal loss was said to be wrong."""
    found = audit(FocalLoss(link="sigmoid"), "multilabel", only=["gamma_0_is_cross_entropy", "p_is_of_each_example"])
    assert [one.status for one in found.outcomes] == ["pass", "pass"]


def test_a_sum_is_not_taken_for_a_focus_on_the_mean() -> None:
    def each(input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(input, target, reduction="none")

    assert not audit(each, "softmax", only=["p_is_of_each_example"]).failures
