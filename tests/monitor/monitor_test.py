"""When a monitor records, what it refuses, and what it says of numbers that are not finite."""

import itertools
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossmith
from lossmith import LossMonitor
from lossmith.errors import DomainError, ParameterError
from lossmith.monitor import Finding, History


def batch(rows: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 3, generator=generator), torch.arange(rows) % 3


def test_every_so_many_calls_of_training_are_recorded() -> None:
    monitor = LossMonitor(lossmith.FocalLoss(), every=3)
    z, y = batch()
    for _ in range(7):
        monitor(z, y)
    assert [record["step"] for record in monitor.history] == [0, 3, 6]
    monitor.eval()
    monitor(z, y)
    monitor.train()
    with torch.no_grad():
        monitor(z, y)
    with torch.inference_mode():
        monitor(z, y)
    assert (monitor.step, len(monitor.history)) == (7, 3)
    monitor.step = 99
    monitor(z, y)
    assert monitor.history[-1]["step"] == 99


def test_micro_batches_and_a_scaler_do_not_change_what_is_recorded() -> None:
    z, y = batch()
    model = nn.Linear(3, 3)
    plain, scaled = (LossMonitor(lossmith.CrossEntropyLoss(), every=1) for _ in range(2))
    plain(model(z), y)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=False):
            loss = scaled(model(z), y) / 2
        scaler.scale(loss).backward()
    scaler.step(optimizer)
    assert scaled.history[0] == plain.history[0] == {**scaled.history[1], "step": 0}


def test_under_autocast_the_logits_are_half_and_the_record_is_not() -> None:
    z, y = batch()
    monitor = LossMonitor(lossmith.CrossEntropyLoss())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = monitor(nn.Linear(3, 3)(z), y)
    value.backward()
    assert value.dtype == torch.float32
    assert 0 < monitor.history[0]["gradient"] < 1


def test_the_real_backward_pass_is_left_alone() -> None:
    """Hooks of the user run once, graphs are freed once, and the input may be a leaf or not."""
    z, y = batch()
    loss, calls = lossmith.CrossEntropyLoss(), []
    loss.register_forward_hook(lambda *_: calls.append("forward"))
    monitor = LossMonitor(loss, every=1)
    leaf = z.clone().requires_grad_()
    leaf.register_hook(lambda g: calls.append("backward"))
    monitor(leaf * 2, y).backward()
    assert calls == ["forward", "backward"]
    assert leaf.grad is not None


def test_compiled_and_transformed_the_monitor_is_its_loss() -> None:
    z, y = batch()
    monitor = LossMonitor(lossmith.CrossEntropyLoss(), every=1)
    compiled = torch.compile(lambda a, b: monitor(a, b), fullgraph=True, backend="eager")
    assert torch.equal(compiled(z, y), monitor.loss(z, y))
    torch.func.grad(lambda a: monitor(a, y))(z)
    assert len(monitor.history) == 0
    model = torch.compile(nn.Linear(3, 3), backend="eager")
    monitor(model(z), y).backward()
    assert len(monitor.history) == 1


def test_the_row_that_is_not_a_number_is_named() -> None:
    z, y = batch()
    z[4, 1] = torch.nan
    monitor = LossMonitor(lossmith.CrossEntropyLoss(), classes=["ant", "bee", "cow"])
    message = (
        r"LossMonitor: the loss is nan at step 0; 1 of 6 units is to blame: row 4 \(class bee, input nan, loss nan\)"
    )
    with pytest.raises(DomainError, match=message):
        monitor(z, y)
    (finding,) = monitor.findings
    assert finding.rows[0]["index"] == (4,)
    assert (finding.count, finding.units) == (1, 6)
    assert monitor.history[0]["nonfinite"] == 1.0  # and the record is there


def test_the_guard_looks_between_records_too() -> None:
    z, y = batch()
    monitor = LossMonitor(lossmith.CrossEntropyLoss(), every=100)
    monitor(z, y)
    z[2] = torch.tensor([torch.inf, 0.0, 0.0])
    y[2] = 1
    with pytest.raises(
        DomainError, match=r"the loss is nan at step 1; 1 of 6 .* row 2 \(class 1, input inf, loss nan\)"
    ):
        monitor(z, y)
    rare = LossMonitor(lossmith.CrossEntropyLoss(), every=100, guard_every=3)
    rare.step = 1
    rare(z, y)
    rare(z, y)
    with pytest.raises(DomainError, match="at step 3"):
        rare(z, y)
    never = LossMonitor(lossmith.CrossEntropyLoss(), every=100, guard_every=0)
    never.step = 1
    assert not torch.isfinite(never(z, y))


def test_what_is_masked_or_legal_is_not_to_blame() -> None:
    z, y = batch()
    z[4] = torch.nan
    y[4] = -100
    z[0, 1] = -torch.inf  # a class that is ruled out, with another target
    monitor = LossMonitor(lossmith.CrossEntropyLoss(), every=1)
    assert torch.isfinite(monitor(z, y))
    assert monitor.findings == []


def test_a_pixel_is_named_by_its_place() -> None:
    z, y = torch.zeros(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.long)
    z[1, 2, 3, 4] = torch.nan
    with pytest.raises(
        DomainError, match=r"1 of 40 units is to blame: row \[1, 3, 4\] \(class 0, input nan, loss nan\)"
    ):
        LossMonitor(lossmith.CrossEntropyLoss())(z, y)
    with pytest.raises(DomainError, match=r"1 of 40 units is to blame: row \[1, 3, 4\] \(class 0, input nan\)"):
        LossMonitor(lossmith.DiceLoss())(z, y)


def test_in_a_set_the_row_with_the_number_is_to_blame_and_not_all_that_meet_it() -> None:
    x, y = torch.randn(6, 4), torch.tensor([0, 0, 1, 1, 2, 2])
    x[3, 2] = torch.nan
    with pytest.raises(DomainError, match=r"1 of 6 units is to blame: row 3 \(input nan"):
        LossMonitor(lossmith.SupervisedContrastiveLoss())(x, y)


def test_a_model_that_is_lost_is_told_from_a_row() -> None:
    z, y = batch()
    with pytest.raises(
        DomainError, match=r"all 6 units are to blame, so look at the model before the data: row 0 .*and 1 more"
    ):
        LossMonitor(lossmith.CrossEntropyLoss())(z * torch.nan, y)
    x = torch.full((4,), 3e38)
    with pytest.raises(DomainError, match="every unit of the batch is finite, so it is their sum that overflows"):
        LossMonitor(lossmith.MAELoss())(x, torch.zeros(4))


def test_a_warning_comes_once_until_all_is_well_again() -> None:
    z, y = batch()
    sick = z.clone()
    sick[0, 0] = torch.nan
    monitor = LossMonitor(lossmith.CrossEntropyLoss(), on_nonfinite="warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for x in (sick, sick, z, sick):
            monitor(x, y)
    assert [str(w.message).split(";")[0][-6:] for w in caught] == ["step 0", "step 3"]
    silent = LossMonitor(lossmith.CrossEntropyLoss(), on_nonfinite="record")
    assert torch.isnan(silent(sick, y))
    assert [finding.step for finding in silent.findings] == [0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every must be a whole number of at least 1, not 0"),
        ({"every": 2.5}, "every must be a whole number"),
        ({"guard_every": -1}, "guard_every must be a whole number of at least 0"),
        ({"on_nonfinite": "stop"}, 'on_nonfinite must be "raise", "warn" or "record"'),
        ({"classes": "cats"}, "classes must be names"),
        ({"classes": ["a", "a"]}, "different names"),
        ({"classes": {"a": [0, 1], "b": 1}}, "each index once"),
        ({"edges": [0.5, 0.1]}, "edges must be growing"),
        ({"edges": [0.0, 0.1]}, "edges must be growing"),
        ({"edges": "x"}, "edges must be growing"),
        ({"sinks": [3]}, "a sink must have write"),
        ({"sinks": [lossmith.monitor.JSONL]}, "a sink must have write"),
        ({"keep": 1}, "at least 2 records"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        LossMonitor(lossmith.CrossEntropyLoss(), **options)


def test_only_losses_of_lossmith_are_watched() -> None:
    with pytest.raises(ParameterError, match="must be a loss of lossmith"):
        LossMonitor(nn.CrossEntropyLoss())  # type: ignore[arg-type]


def test_the_history_keeps_the_first_and_the_last_and_not_too_many() -> None:
    history = History(most=10)
    for step in range(1000):
        history.append({"step": step})
        steps = [record["step"] for record in history]
        assert len(steps) == len(history) <= 10
        assert (steps[0], steps[-1]) == (0, step)
    gaps = {b - a for a, b in itertools.pairwise(steps[:-1])}
    assert gaps == {128}


def test_edges_of_ghm() -> None:
    p = torch.tensor([0.95, 0.85, 0.05])  # g 0.05, 0.15, 0.95
    monitor = LossMonitor(lossmith.CrossEntropyLoss(), edges=[k / 10 for k in range(1, 10)])
    monitor(torch.stack([p, 1 - p], 1).log(), torch.zeros(3, dtype=torch.long))
    shares = {name: x for name, x in monitor.history[0].items() if name.startswith("bin_gradient") and x}
    wanted = {
        "bin_gradient/0 to 0.1": 0.05 / 1.15,
        "bin_gradient/0.1 to 0.2": 0.15 / 1.15,
        "bin_gradient/0.9 and more": 0.95 / 1.15,
    }
    assert shares == pytest.approx(wanted, abs=1e-6)


def test_a_finding_of_a_gradient_says_so() -> None:
    finding = Finding(3, 0.5, 1, 4, ({"index": (2,), "class": None, "input": None, "loss": 0.0},))
    assert str(finding) == "LossMonitor: the gradient is not finite at step 3; 1 of 4 units is to blame: row 2 (loss 0)"


def test_a_gradient_that_is_not_finite_is_found_in_a_record() -> None:
    @lossmith.ResidualLoss.from_function
    def root_of_the_residual(r: Any, xp: Any) -> Any:
        "The root of |r|, with an infinite slope at 0: ``sqrt(|r|)``."
        return xp.sqrt(xp.abs(r))

    monitor = LossMonitor(root_of_the_residual(), every=2)
    x = torch.tensor([1.0, 0.0, 4.0], requires_grad=True)
    with pytest.raises(DomainError, match=r"the gradient is not finite at step 0; 1 of 3 units is to blame: row 1"):
        monitor(x, torch.zeros(3))
