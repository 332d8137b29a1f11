"""The Trainer's loss function: the step of many micro-batches is that of one batch; shapes, refusals, state."""

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossmith
from lossmith.errors import ParameterError
from lossmith.trainers import huggingface

transformers = pytest.importorskip("transformers")
ROWS, WORDS, LENGTH = 12, 17, 9
TINY = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}


def sentences(seed: int = 0) -> list[dict[str, Tensor]]:
    """Of uneven lengths, 2 to LENGTH words: padding carries the label -100."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for row in range(ROWS):
        ids = torch.randint(0, WORDS, (LENGTH,), generator=generator)
        seen = torch.arange(LENGTH) < 2 + row * 7 % (LENGTH - 1)
        labels = torch.where(seen, ids, -100)
        rows.append({"input_ids": ids, "attention_mask": seen.long(), "labels": labels})
    return rows


def gpt() -> nn.Module:
    torch.manual_seed(0)
    options = {"vocab_size": WORDS, "n_positions": LENGTH, "n_embd": 8, "n_layer": 1, "n_head": 2}
    dropless = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(bos_token_id=0, eos_token_id=0, **options, **dropless))


def bert(kind: str = "SequenceClassification", **options: Any) -> nn.Module:
    torch.manual_seed(0)
    dropless = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = transformers.BertConfig(vocab_size=WORDS, max_position_embeddings=LENGTH, **TINY, **dropless, **options)
    return getattr(transformers, f"BertFor{kind}")(config)


def trainer(model: nn.Module, rows: list[Any], loss_func: Any, folder: Path, **options: Any) -> Any:
    settings = {"max_steps": 1, "max_grad_norm": 0.0, "save_strategy": "no", "report_to": "none", "use_cpu": True}
    settings |= {"disable_tqdm": True, "dataloader_pin_memory": False, "remove_unused_columns": False}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    still = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    return transformers.Trainer(
        model,
        transformers.TrainingArguments(str(folder), **{**settings, **options}),
        train_dataset=rows,
        eval_dataset=rows,
        compute_loss_func=loss_func,
        optimizers=(optimizer, still),
    )


def step(model: nn.Module, rows: list[Any], loss_func: Any, folder: Path, parts: int) -> list[Tensor]:
    """What one step of gradient descent with rate 1 takes off the weights: the gradient of the step."""
    before = [weight.detach().clone() for weight in model.parameters()]
    batch = {"per_device_train_batch_size": len(rows) // parts, "gradient_accumulation_steps": parts}
    trainer(model, rows, loss_func, folder, **batch).train()
    return [one - two.detach() for one, two in zip(before, model.parameters(), strict=True)]


def assert_same(one: list[Tensor], two: list[Tensor]) -> None:
    assert any(bool(gradient.abs().max() > 1e-3) for gradient in one)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("parts", [1, 2, 6])
def test_causal_language_model_equals_the_models_own_loss_on_one_batch(tmp_path: Path, parts: int) -> None:
    """GPT-2's own shifted cross-entropy is the oracle; our step in parts has its gradient, however padding lies."""
    expected = step(gpt(), sentences(), None, tmp_path, 1)
    ours = huggingface(lossmith.CrossEntropyLoss(), shift=True)
    assert_same(step(gpt(), sentences(), ours, tmp_path, parts), expected)


@pytest.mark.parametrize("spec", ["focal(gamma=2, weight=[1, 2, 4])", "cross_entropy + 0.01*z"])
def test_tokens_in_parts_are_tokens_in_one_batch(tmp_path: Path, spec: str) -> None:
    rows = [{**row, "labels": torch.where(row["labels"] < 0, -100, row["labels"] % 3)} for row in sentences()]
    one, six = (
        step(bert("TokenClassification", num_labels=3), rows, huggingface(lossmith.create(spec)), tmp_path, parts)
        for parts in (1, 6)
    )
    assert_same(one, six)


def test_class_weights_do_not_enter_the_count(tmp_path: Path) -> None:
    rows = [{**row, "labels": row["labels"][0] % 2} for row in sentences()]
    weighted = lossmith.CrossEntropyLoss(weight=[1.0, 5.0])
    model = bert()
    inputs = {name: torch.stack([row[name] for row in rows]) for name in ("input_ids", "attention_mask")}
    value = lossmith.CrossEntropyLoss(weight=[1.0, 5.0], normalizer="count")(
        model(**inputs).logits, torch.stack([row["labels"] for row in rows])
    )
    expected = list(torch.autograd.grad(value, list(model.parameters()), allow_unused=True, materialize_grads=True))
    assert_same(step(bert(), rows, huggingface(weighted), tmp_path, 3), expected)


def test_evaluation_is_the_mean_over_the_set(tmp_path: Path) -> None:
    rows = [{**row, "labels": row["labels"][0] % 2} for row in sentences()]
    model = bert()
    found = trainer(model, rows, huggingface(lossmith.FocalLoss()), tmp_path, per_device_eval_batch_size=5).evaluate()[
        "eval_loss"
    ]
    with torch.no_grad():
        inputs = {name: torch.stack([row[name] for row in rows]) for name in ("input_ids", "attention_mask")}
        expected = lossmith.FocalLoss()(model(**inputs).logits, torch.stack([row["labels"] for row in rows]))
    assert found == pytest.approx(float(expected), rel=1e-3)  # the Trainer rounds what it reports


def test_state_of_a_loss_that_is_a_part_of_the_model_is_resumed(tmp_path: Path) -> None:
    """GHM's histogram lies in the checkpoint of the Trainer and comes back with `resume_from_checkpoint`."""
    rows = [{**row, "labels": row["labels"][0] % 2} for row in sentences()]

    def made() -> tuple[nn.Module, Any]:
        model, loss = bert(), lossmith.GHMCLoss(momentum=0.5)
        model.loss = loss
        batch = {"per_device_train_batch_size": 6, "save_strategy": "steps", "save_steps": 2, "max_steps": 4}
        return model, trainer(model, rows, huggingface(loss), tmp_path, **batch)

    model, whole = made()
    whole.train()
    again, resumed = made()
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert float(model.loss.correction) == pytest.approx(1 - 0.5**4)
    torch.testing.assert_close(again.state_dict(), model.state_dict())


# Shapes, without a model -------------------------------------------------------------------------------------------
def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-6)


def test_the_sum_is_divided_by_the_count_and_without_one_it_is_the_mean() -> None:
    compute = huggingface(lossmith.CrossEntropyLoss())
    outputs, labels = {"logits": torch.zeros(2, 3, 4)}, torch.tensor([[0, 1, -100], [3, -100, -100]])
    assert float(compute(outputs, labels, num_items_in_batch=torch.tensor(6))) == near(3 * math.log(4) / 6)
    assert float(compute(outputs, labels, num_items_in_batch=3)) == near(math.log(4))
    assert float(compute(outputs, labels)) == near(math.log(4))
    assert float(compute((outputs["logits"], "hidden states"), labels)) == near(math.log(4))
    assert float(compute(outputs, torch.full((2, 3), -100), num_items_in_batch=torch.tensor(0))) == 0


def test_shift_pairs_position_t_with_label_t_plus_1() -> None:
    logits = torch.full((1, 3, 2), 0.0)
    logits[0, 0, 1] = logits[0, 1, 0] = 50.0  # after the first word 1, after the second 0
    value = huggingface(lossmith.CrossEntropyLoss(), shift=True)({"logits": logits}, torch.tensor([[1, 1, 0]]))
    assert float(value) < 1e-9


@pytest.mark.parametrize(
    ("spec", "logits", "labels", "expected"),
    [
        ("mse", [[3.0], [1.0]], [1.0, 1.0], 4.0),  # a number
        ("bce_with_logits", [[0.0], [0.0]], [1, 0], 2 * math.log(2)),  # one logit
        ("bce_with_logits", [[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 1.0]], 4 * math.log(2)),  # several labels
        ("focal(gamma=1)", [[[0.0, 0.0]]], [[1]], math.log(2) / 2),  # tokens
        ("cross_entropy", [[[[0.0]], [[0.0]]]], [[[1]]], math.log(2)),  # a picture, classes along axis 1
    ],
)
def test_shapes_of_labels(spec: str, logits: Any, labels: Any, expected: float) -> None:
    compute = huggingface(lossmith.create(spec))
    value = compute({"logits": torch.tensor(logits)}, torch.tensor(labels), num_items_in_batch=torch.tensor(10))
    assert float(value) == near(expected / 10)


def test_class_probabilities_count_once_per_row_where_the_call_is_the_step() -> None:
    labels = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    compute = huggingface(lossmith.CrossEntropyLoss())
    assert float(compute({"logits": torch.zeros(2, 3)}, labels, num_items_in_batch=6)) == near(math.log(3))
    with pytest.raises(ParameterError, match="this call has 6 of the 12 labels"):
        compute({"logits": torch.zeros(2, 3)}, labels, num_items_in_batch=12)


# Refusals ----------------------------------------------------------------------------------------------------------
BATCH = ({"logits": torch.randn(4, 3, generator=torch.Generator().manual_seed(0))}, torch.tensor([0, 1, 2, 0]))


@pytest.mark.parametrize(
    "loss",
    [
        lossmith.GHMCLoss(),
        lossmith.DiceLoss(per="batch"),
        lossmith.FocalLoss() + lossmith.DiceLoss(per="batch"),
        lossmith.CrossEntropyLoss(normalizer="positives"),
        lossmith.CrossEntropyLoss(normalizer=3.0),
        lossmith.SupervisedContrastiveLoss(),
    ],
    ids=str,
)
def test_what_does_not_add_up_runs_whole_and_raises_in_parts(loss: Any) -> None:
    outputs, labels = BATCH
    compute = huggingface(loss)
    value = compute(outputs, labels, num_items_in_batch=torch.tensor(4))
    torch.testing.assert_close(value, loss(outputs["logits"], labels))
    with pytest.raises(ParameterError, match=r"does not add up .* this call has 4 of the 16 labels of its step"):
        compute(outputs, labels, num_items_in_batch=torch.tensor(16))


def test_a_root_does_not_add_up() -> None:
    compute = huggingface(lossmith.RMSELoss())
    assert float(compute({"logits": torch.ones(2, 1) * 3}, torch.zeros(2), num_items_in_batch=2)) == 3
    with pytest.raises(ParameterError, match=r"RMSELoss .* does not add up"):
        compute({"logits": torch.ones(2, 1)}, torch.zeros(2), num_items_in_batch=4)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (nn.CrossEntropyLoss(), "must be a loss of lossmith"),
        (lossmith.FocalLoss(reduction="sum"), 'FocalLoss must have reduction "mean"'),
        (lossmith.FocalLoss(ignore_index=0), "ignore_index=-100"),
        (lossmith.MSELoss() + lossmith.FocalLoss(process_group="world"), "FocalLoss needs no process_group"),
    ],
)
def test_a_loss_that_the_trainer_cannot_scale(loss: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        huggingface(loss)


def test_a_decoder_has_to_say_whether_it_shifts() -> None:
    model, rows = gpt(), sentences()
    outputs = model(input_ids=rows[0]["input_ids"][None])
    labels = rows[0]["labels"][None]
    with pytest.raises(ParameterError, match=r"say shift=True .* CausalLMOutputWithCrossAttentions does not tell"):
        huggingface(lossmith.FocalLoss())(outputs, labels)
    shifted, plain = (huggingface(lossmith.FocalLoss(), shift=shift)(outputs, labels) for shift in (True, False))
    assert shifted != plain


def test_labels_are_needed() -> None:
    with pytest.raises(ParameterError, match="the batch must have labels"):
        huggingface(lossmith.FocalLoss())(BATCH[0], None)


def test_it_can_be_pickled() -> None:
    compute = pickle.loads(pickle.dumps(huggingface(lossmith.FocalLoss(gamma=3.0))))  # noqa: S301
    assert torch.equal(compute(*BATCH), huggingface(lossmith.FocalLoss(gamma=3.0))(*BATCH))


def test_outputs_may_be_a_tensor_and_must_have_logits() -> None:
    compute_loss, labels = huggingface(lossmith.CrossEntropyLoss()), torch.tensor([0, 1])
    assert float(compute_loss(torch.zeros(2, 4), labels)) == pytest.approx(math.log(4))
    with pytest.raises(ParameterError, match="outputs must have logits; they have start_logits"):
        compute_loss({"start_logits": torch.zeros(2, 4)}, labels)
