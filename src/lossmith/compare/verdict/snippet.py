"""The Python that trains with the winner, as text: the same model, loss, weights and rule as in the comparison."""

from itertools import pairwise
from typing import Any

HEAD = """\
import lossmith
import torch
from torch import nn
{imports}
# Put your own rows here: standardised features as float32, classes as 0 .. {last}.
features, classes = {features}, {classes}
x, y = torch.randn(1000, features), torch.arange(1000) % classes
x_validation, y_validation = torch.randn(500, features), torch.arange(500) % classes
"""

TRAIN = """
model = nn.Sequential({layers})
optimizer = torch.optim.AdamW(model.parameters(), lr={learning_rate}, weight_decay={weight_decay})
loss = lossmith.create({spec!r})
{preparation}
for epoch in range({epochs}):  # as long as the comparison, which stopped early on validation rows, on average
    for rows in torch.randperm(len(y)).split({batch}):
        optimizer.zero_grad()
        loss({logits}, y[rows]{weight}).backward()
        optimizer.step()
"""

TUNED = """
with torch.no_grad():  # the rule: offsets on log p, tuned on validation rows
    log_p = model(x_validation).double().log_softmax(1).numpy()
offsets = tune(log_p, y_validation.numpy(), {metric!r})
decided = decide(log_p, offsets)
"""

DEFAULT = """
with torch.no_grad():  # the rule: the most probable class
    decided = model(x_validation).argmax(1)
"""

COUNTS = "counts = torch.bincount(y, minlength=classes)"


def snippet(results: dict[str, Any], recommended: dict[str, Any] | None) -> str:
    """A program that runs as it stands, on made-up rows; empty where nothing is recommended."""
    if recommended is None:
        return ""
    settings, task = results["settings"], results["task"]
    arm = next(arm for arm in results["arms"] if arm["name"] == recommended["arm"])
    tuned = recommended["rule"] == "tuned"
    head = HEAD.format(
        imports="\nfrom lossmith.compare.remedies.rules import decide, tune\n" if tuned else "",
        features=task.get("encoded_width") or max(1, len(task["features"])),
        classes=len(task["classes"]),
        last=len(task["classes"]) - 1,
    )
    body = TRAIN.format(
        layers=layers(settings.get("hidden") or []),
        learning_rate=settings.get("learning_rate", 3e-3),
        weight_decay=settings.get("weight_decay", 1e-2),
        spec=recommended["spec"],
        epochs=best_epochs(results, recommended["arm"]),
        batch=settings.get("batch_size", 128),
        **class_terms(arm, recommended["params"]),
    )
    return head + body + (TUNED.format(metric=settings.get("metric", "macro_f1")) if tuned else DEFAULT)


def best_epochs(results: dict[str, Any], arm: str) -> int:
    """After how many epochs an arm was at its best on validation rows, in the mean of its finished runs."""
    best = [record["epochs"] for record in results["records"] if record["arm"] == arm and record["status"] == "ok"]
    return max(1, round(sum(best) / len(best))) if best else 20


def layers(hidden: list[int]) -> str:
    """The arguments of ``nn.Sequential``."""
    sizes = ["features", *map(str, hidden)]
    inner = [f"nn.Linear({a}, {b}), nn.ReLU(), " for a, b in pairwise(sizes)]
    return "".join(inner) + f"nn.Linear({sizes[-1]}, classes)"


def class_terms(arm: dict[str, Any], params: dict[str, Any]) -> dict[str, str]:
    """The lines that an arm's class weights or its logit adjustment add."""
    terms = {"preparation": "", "logits": "model(x[rows])", "weight": ""}
    if arm.get("adjust"):
        tau = params.get("tau", 1.0)
        terms["preparation"] = f"{COUNTS}\nshift = {tau} * (counts / counts.sum()).log()  # in training only\n"
        terms["logits"] = "model(x[rows]) + shift"
    weights = {
        "balanced": 'lossmith.class_weight("balanced", counts)',
        "effective number": f"lossmith.effective_number(counts, beta={params.get('beta', 0.999)})",
    }.get(arm.get("weighting", "none"))
    if weights:
        terms["preparation"] += f"{COUNTS}\nweight = {weights}.float()\n"
        terms["weight"] = ", sample_weight=weight[y[rows]]"
    return terms
