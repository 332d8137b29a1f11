"""Structural risk: scikit-learn's ridge and lasso, torch's own weight decay, and a penalty once a step."""

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso, Ridge
from torch import Tensor, nn

import lossmith
from lossmith import Regularized
from lossmith.errors import ParameterError

X = torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 1.0], [-2.0, 0.5], [1.5, -0.5], [0.3, 2.2]])
Y = torch.tensor([0, 1, 1, 0, -100, 1])


def seeded(*sizes: int) -> nn.Module:
    """A network with a norm, so that there are biases, gains and weights."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 2))


def gradients(model: nn.Module, value: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(value, list(model.parameters()), allow_unused=True, materialize_grads=True))


def first(name: str, weight: nn.Parameter) -> bool:
    return name == "0.bias"


class TestValue:
    def test_by_hand(self) -> None:
        model = nn.Linear(3, 1)
        with torch.no_grad():
            model.weight.copy_(torch.tensor([[2.0, -3.0, 0.0]]))
            model.bias.fill_(100.0)
        risk = Regularized(lossmith.MAELoss(), model=model, l1=0.5, l2=0.25)
        assert risk.penalty().item() == 0.5 * 5 + 0.25 * 13
        assert risk(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 0.0])).item() == 3 + 5.75
        assert risk.empirical(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 0.0])).item() == 3

    def test_gradient_by_hand_and_0_at_0(self) -> None:
        model = nn.Linear(3, 1)
        with torch.no_grad():
            model.weight.copy_(torch.tensor([[2.0, -3.0, 0.0]]))
        weight, bias = gradients(model, Regularized(lossmith.MAELoss(), model=model, l1=0.5, l2=0.25).penalty())
        assert weight.tolist() == [[0.5 + 1.0, -0.5 - 1.5, 0.0]]
        assert bias.tolist() == [0.0]

    def test_ridge_of_scikit_learn_is_its_minimum(self) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(30, 4)), rng.normal(size=30)
        model = nn.Linear(4, 1).double()
        found = Ridge(alpha=3.0, tol=1e-12).fit(x, y)
        value = self.at(model, found, Regularized(lossmith.MSELoss(reduction="sum"), model=model, l2=3.0), x, y)
        for gradient in gradients(model, value):
            torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)

    def test_lasso_of_scikit_learn_is_its_minimum(self) -> None:
        """The slope of the empirical risk is l1 where a weight is not 0, and within +-l1 where it is."""
        rng = np.random.default_rng(1)
        x = rng.normal(size=(40, 5))
        y = x[:, 0] - 0.7 * x[:, 1] + 0.1 * rng.normal(size=40)
        model = nn.Linear(5, 1).double()
        found = Lasso(alpha=0.2, tol=1e-14, max_iter=100_000).fit(x, y)
        assert 0 < (found.coef_ == 0).sum() < 5
        risk = Regularized(0.5 * lossmith.MSELoss(), model=model, l1=0.2)
        total = gradients(model, self.at(model, found, risk, x, y))[0][0]
        kept = torch.from_numpy(found.coef_ != 0)
        torch.testing.assert_close(total[kept], torch.zeros_like(total[kept]), atol=1e-9, rtol=0)
        assert (total[~kept].abs() <= 0.2 + 1e-9).all()  # of the empirical risk alone: the penalty adds 0 at 0
        value = 0.5 * np.mean((y - found.predict(x)) ** 2) + 0.2 * abs(found.coef_).sum()
        assert self.at(model, found, risk, x, y).item() == pytest.approx(value, rel=1e-12)

    @staticmethod
    def at(model: nn.Linear, found: Any, risk: Regularized, x: Any, y: Any) -> Tensor:
        with torch.no_grad():
            model.weight.copy_(torch.from_numpy(found.coef_))
            model.bias.fill_(found.intercept_)
        return risk(model(torch.from_numpy(x))[:, 0], torch.from_numpy(y))

    @pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
    def test_l2_is_half_of_weight_decay(self, optimizer: Any) -> None:
        ours, torchs = seeded(), seeded()
        risk = Regularized(lossmith.FocalLoss(), model=ours.parameters(), l2=0.15)
        plain = lossmith.FocalLoss()
        steps = optimizer(ours.parameters(), lr=0.1), optimizer(torchs.parameters(), lr=0.1, weight_decay=0.3)
        for _ in range(3):
            for step, value in zip(steps, (risk(ours(X), Y), plain(torchs(X), Y)), strict=True):
                step.zero_grad()
                value.backward()
                step.step()
        for one, two in zip(ours.parameters(), torchs.parameters(), strict=True):
            torch.testing.assert_close(one, two)

    def test_the_decay_of_adamw_is_no_penalty(self) -> None:
        """Without any gradient of the loss AdamW shrinks by lr * d, where Adam on the penalty moves by lr."""
        decayed, penalized = (nn.Linear(1, 1, bias=False) for _ in range(2))
        for model in (decayed, penalized):
            nn.init.constant_(model.weight, 2.0)
        step = torch.optim.AdamW(decayed.parameters(), lr=0.1, weight_decay=0.5)
        (decayed.weight * 0).sum().backward()
        step.step()
        step = torch.optim.AdamW(penalized.parameters(), lr=0.1, weight_decay=0.0)
        Regularized(lossmith.MSELoss(), model=penalized, l2=0.25).penalty().backward()
        step.step()
        assert float(decayed.weight.detach()) == pytest.approx(2 - 0.1 * 0.5 * 2)
        assert float(penalized.weight.detach()) == pytest.approx(2 - 0.1)

    def test_half_precision_is_summed_in_float32(self) -> None:
        model = nn.Linear(400, 400, bias=False).half()
        nn.init.constant_(model.weight, 2.0)
        penalty = Regularized(lossmith.MSELoss(), model=model, l1=1.0, l2=1.0).penalty()
        assert penalty.dtype == torch.float32
        assert penalty.item() == 160_000 * 6  # float16 ends at 65,504
        assert gradients(model, penalty)[0].dtype == torch.float16


class TestWeights:
    def test_biases_and_norms_are_left_out(self) -> None:
        model = seeded()
        risk = Regularized(lossmith.MSELoss(), model=model, l2=1.0)
        assert [id(one) for one in risk.penalized()] == [id(model[0].weight), id(model[3].weight)]

    def test_a_filter_and_parameters_choose(self) -> None:
        model = seeded()
        assert Regularized(lossmith.MSELoss(), model=model, weights=first).penalized()[0] is model[0].bias
        risk = Regularized(lossmith.MSELoss(), model=(one for one in model[1].parameters()), l2=1.0)
        for _ in range(2):  # a generator is read once
            assert [id(one) for one in risk.penalized()] == [id(one) for one in model[1].parameters()]

    def test_frozen_and_unfrozen(self) -> None:
        model = seeded()
        model[0].weight.requires_grad_(False)
        risk = Regularized(lossmith.MSELoss(), model=model, l2=1.0)
        assert [id(one) for one in risk.penalized()] == [id(model[3].weight)]
        model[0].weight.requires_grad_(True)
        assert len(risk.penalized()) == 2
        model.requires_grad_(False)
        assert risk.penalty().item() == 0
        assert Regularized(lossmith.MSELoss(), model=list(seeded().parameters())).penalized()

    def test_tied_weights_count_once(self) -> None:
        model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
        model[1].weight = model[0].weight
        nn.init.constant_(model[0].weight, 1.0)
        assert Regularized(lossmith.MSELoss(), model=model, l2=1.0).penalty().item() == 4


class TestModule:
    def test_the_model_is_no_part_of_it(self) -> None:
        model = seeded()
        risk = Regularized(lossmith.CrossEntropyLoss(weight=[1.0, 2.0]), model=model, l2=1.0)
        assert list(risk.state_dict()) == ["loss.weight"]
        assert list(risk.parameters()) == []
        assert model not in list(risk.modules())
        risk.double().eval()
        assert model[0].weight.dtype == torch.float32
        assert model.training
        model.risk = risk  # as a Lightning module holds its loss
        assert len(list(model.parameters())) == 6

    def test_pickle_keeps_model_and_loss_together(self) -> None:
        model = seeded()
        risk = Regularized(lossmith.FocalLoss(gamma=1.0), model=model, l1=0.3, l2=0.1, weights=first)
        for twin, other in (pickle.loads(pickle.dumps((risk, model))), copy.deepcopy((risk, model))):  # noqa: S301
            assert repr(twin) == repr(risk) == "Regularized(FocalLoss(gamma=1.0), l1=0.3, l2=0.1)"
            assert twin.penalized()[0] is other[0].bias
            assert twin.penalized()[0] is not model[0].bias
            assert torch.equal(twin(other(X), Y), risk(model(X), Y))

    def test_state_dict(self) -> None:
        model, saved = seeded(), io.BytesIO()
        torch.save(Regularized(lossmith.CrossEntropyLoss(weight=[1.0, 2.0]), model=model).state_dict(), saved)
        saved.seek(0)
        twin = Regularized(lossmith.CrossEntropyLoss(weight=[9.0, 9.0]), model=model)
        twin.load_state_dict(torch.load(saved, weights_only=True))
        assert twin.loss.weight.tolist() == [1.0, 2.0]

    def test_compiles_whole(self) -> None:
        model = seeded()
        risk = Regularized(lossmith.FocalLoss(), model=model, l1=0.1, l2=0.2)
        got = torch.compile(lambda x, y: risk(model(x), y), fullgraph=True, backend="aot_eager")(X, Y)
        want = risk(model(X), Y)
        torch.testing.assert_close(got, want)
        for one, two in zip(gradients(model, got), gradients(model, want), strict=True):
            torch.testing.assert_close(one, two)


SUMS = "focal + 0.5*poly"


class TestOnceAStep:
    @pytest.mark.parametrize("spec", ["focal", SUMS, "cross_entropy(reduction=sum)"])
    def test_calls_are_loss_plus_penalty(self, spec: str) -> None:
        model, loss = seeded(), lossmith.create(spec)
        risk, mask = Regularized(loss, model=model, l1=0.1, l2=0.2), torch.arange(6) > 0
        want = loss(model(X), Y, mask=mask) + risk.penalty()
        torch.testing.assert_close(risk(model(X), Y, mask=mask), want)
        parts = [risk.partial(model(X[s]), Y[s], mask=mask[s]) for s in (slice(0, 2), slice(2, 6))]
        torch.testing.assert_close(risk.reduce(parts[0].merge(parts[1])), want)

    @pytest.mark.parametrize("spec", ["focal", SUMS])
    def test_micro_batches_are_one_batch(self, spec: str) -> None:
        """Uneven ones, one of them of ignored rows alone."""
        model = seeded()
        risk = Regularized(lossmith.create(spec), model=model, l1=0.1, l2=0.2)
        shards = [slice(0, 1), slice(1, 4), slice(4, 5), slice(5, 6)]
        parts = [risk(model(X[s]), Y[s], num_items=5, micro_batches=4) for s in shards]
        whole = risk(model(X), Y)
        torch.testing.assert_close(sum(parts), whole)
        for one, two in zip(gradients(model, sum(parts)), gradients(model, whole), strict=True):
            torch.testing.assert_close(one, two)
        partial = risk.partial(model(X), Y)
        torch.testing.assert_close(risk.reduce(partial, num_items=5, micro_batches=1), whole)

    def test_sums_and_means_of_micro_batches(self) -> None:
        model = seeded()
        halves = slice(0, 2), slice(2, 4)
        risk = Regularized(lossmith.FocalLoss(reduction="sum"), model=model, l2=0.2)
        parts = [risk(model(X[s]), Y[s], micro_batches=2) for s in halves]
        torch.testing.assert_close(sum(parts), risk(model(X[:4]), Y[:4]))
        risk = Regularized(lossmith.FocalLoss(), model=model, l2=0.2)
        parts = [risk(model(X[s]), Y[s]) / 2 for s in halves]
        torch.testing.assert_close(sum(parts), risk(model(X[:4]), Y[:4]))

    def test_num_items_alone_is_refused(self) -> None:
        model = seeded()
        risk = Regularized(lossmith.FocalLoss(), model=model, l2=0.2)
        for call in (lambda: risk(model(X), Y, num_items=5), lambda: risk.reduce(risk.partial(X, Y), num_items=5)):
            with pytest.raises(ParameterError, match="also give micro_batches"):
                call()
        for wrong in (0, -1, 2.5, True, "two"):
            with pytest.raises(ParameterError, match="micro_batches must be a whole number"):
                risk(model(X), Y, micro_batches=wrong)


MODEL = seeded()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"l1": -1.0}, "l1 must be a finite number of at least 0, not -1.0"),
        ({"l2": float("nan")}, "l2 must be a finite number"),
        ({"l2": float("inf")}, "l2 must be a finite number"),
        ({"l2": "0.1"}, "l2 must be a finite number"),
        ({"l1": True}, "l1 must be a finite number"),
        ({"loss": "focal"}, "loss must be a loss of lossmith, such as lossmith.create"),
        ({"loss": nn.MSELoss()}, "loss must be a loss of lossmith"),
        ({"loss": lossmith.FocalLoss}, "loss must be a loss of lossmith"),
        ({"loss": lossmith.FocalLoss(reduction="none")}, 'must have reduction "mean" or "sum"'),
        ({"loss": 0.5 * lossmith.MSELoss(reduction="none")}, 'must have reduction "mean" or "sum"'),
        ({"model": None}, "model must be a torch.nn.Module or a list of its parameters, not NoneType"),
        ({"model": []}, "model must be"),
        ({"model": torch.ones(2, 2)}, "model must be"),
        ({"model": [torch.ones(2, 2)]}, "model must be"),
        ({"model": nn.LayerNorm(3)}, "no trainable weight that counts"),
        ({"model": nn.LazyLinear(3)}, "run a batch through it first"),
        ({"weights": "all"}, "weights must be a function of"),
        ({"weights": first, "model": list(MODEL.parameters())}, "weights must be a function of"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence) as found:
        Regularized(**{"loss": lossmith.FocalLoss(), "model": MODEL, **options})
    assert str(found.value).startswith("Regularized: ")
    assert "\n" not in str(found.value)
