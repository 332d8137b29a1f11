"""``python -m bench.audit_peers``: `lossmith audit` of the public losses of other libraries, as docs/audit.md has it.

Losses of the catalogue's families whose data is a layout of the audit. Left out: losses of boxes, images and their
structure (IoU of boxes, SSIM, total variation, registration), and losses with a queue, a spatial filter or a
distance transform, whose value does not belong to the batch that they are given.
"""

import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from bench import peers
from bench.audit_programs import PROGRAMS, run
from bench.audit_targets import TARGETS
from bench.layouts import laid
from bench.measure import machine
from lossmith.audit import CHECKS, audit


@dataclass(frozen=True)
class Spared:
    """Checks that are not asked of some losses, and why."""

    losses: str  # a pattern of targets
    layouts: str  # a pattern of layouts
    checks: tuple[str, ...]
    reason: str


SPARED = (
    Spared(
        "*",
        "jax*",
        (
            "it_compiles_whole",
            "vmap_is_a_loop",
            "func_grad_is_backward",
            "autocast_changes_little",
            "a_copy_is_the_same",
            "the_second_gradient_is_right",
            "nothing_is_written",
            "backward_twice_is_the_same",
            "tensors_move_with_the_module",
            "state_survives_a_round_trip",
        ),
        "the bridge from JAX to torch lacks it, not optax",
    ),
    Spared(
        "*",
        "*one-hot*",
        (
            "target_range_is_checked",
            "float_indices_are_not_guessed",
            "soft_one_hot_is_hard",
            "an_image_is_its_pixels",
            "target_of_another_length_refused",
        ),
        "the layout makes the one-hot rows; the class axis is the last one",
    ),
    Spared("timm.loss:*", "*", ("an_image_is_its_pixels",), "its class axis is the last one"),
    Spared(
        "*Wasserstein*",
        "*",
        (
            "an_empty_mask_found_empty_is_free",
            "false_alarms_on_an_empty_mask_cost",
            "float16_on_an_empty_mask",
            "two_images_are_one",
            "more_overlap_costs_less",
        ),
        "its matrix is of three classes, the check has two",
    ),
    Spared("*monai*Focal*", "*", ("the_gradient_is_the_derivative",), "a part of it is computed in float32"),
    Spared("balanced_loss*", "*", ("the_gradient_is_the_derivative",), "a part of it is computed in float32"),
    Spared("*CategoricalHinge", "*", ("a_softmax_sees_differences_only",), "a hinge of scores is no softmax"),
    Spared("timm.loss:Poly*", "*", ("gamma_0_is_cross_entropy",), "Poly-1 is not cross-entropy at gamma = 0"),
    Spared("timm.loss:TwoWayLoss", "*", ("batch_twice_is_batch_once",), "it compares over the batch on purpose"),
    Spared("keras.losses:*", "*", ("float64_is_kept",), "Keras computes in its floatx, which is float32 by default"),
    Spared("*Lovasz*", "*", ("the_second_gradient_is_right",), "a difference may cross a change of the order"),
    Spared("*segmentation*:JaccardLoss*", "*", ("equal_micro_batches_make_the_batch",), "it is of the whole batch"),
    Spared("*:TverskyLoss*", "*", ("tensors_move_with_the_module",), "its alpha is a number"),
    Spared("*metric_learning*", "*", ("tensors_move_with_the_module",), "its alpha and beta are numbers"),
    Spared(
        "*metric_learning*embedding_size*",
        "*",
        ("label_names_do_not_matter", "groups_apart_cost_less", "no_pair_is_not_nan"),
        "it has a vector of its own for each class",
    ),
    Spared(
        "*metric_learning*:CircleLoss",
        "*",
        ("the_gradient_is_the_derivative", "the_second_gradient_is_right"),
        "its weights are constants in the gradient, as in the paper",
    ),
    Spared(
        "optax*dice_loss*",
        "*",
        ("none_adds_up_to_sum", "none_gives_single_values", "two_images_are_one"),
        "its reduction is over classes, and leaves the mean over samples to you",
    ),
    Spared("optax*cross_entropy*", "*", ("p_is_of_each_example",), "it has no gamma, and leaves the mean to you"),
)
# What a failure means, where it is a convention more than a defect.
CONVENTION = {
    "an_empty_batch": "the mean of nothing is NaN in torch, by convention; one empty rank or image then spoils a run",
    "mean_is_sum_over_count": "documented for torch's KLDivLoss; not for the focal losses",
    "target_range_is_checked": "torch checks class indices, not the values of floating point targets",
    "impossible_parameters_are_refused": "few libraries check parameters",
    "float64_is_kept": "a cast to float32 inside",
    "vmap_is_a_loop": "never promised",
    "it_compiles_whole": "never promised; a graph break costs time, not correctness",
    "tensors_move_with_the_module": "class weights in a plain attribute",
    "broadcast_refused": "torch warns in MSELoss and L1Loss alone",
}
MERGED = {f"gradient_at_{size}": "gradient_at_17 ... 10000" for size in (17, 40, 89, 200, 10000)}
Found = dict[str, Any]


def spared(target: str, layout: str) -> set[str]:
    """The checks that are not asked of a loss."""
    return {
        name for one in SPARED if fnmatch(target, one.losses) and fnmatch(layout, one.layouts) for name in one.checks
    }


def measured(target: str, kind: str, layout: str) -> Found:
    """One audit, as JSON holds it, less what is not asked."""
    without = spared(target, layout)
    found = audit(laid(peers.subject(target), layout), kind, only=[name for name in CHECKS if name not in without])
    return fair(found.document() | {"target": target, "layout": layout})


def fair(found: Found) -> Found:
    """What follows from one failure is counted once: a loss that raises for float64 fails many checks that use it."""
    outcomes = {one["name"]: one for one in found["outcomes"]}
    refused = outcomes.get("float64_is_kept", {"seen": "", "status": ""})
    if refused["status"] == "fail" and "raised" in refused["seen"]:
        for one in found["outcomes"]:
            if one is not refused and one["status"] == "fail" and "raised RuntimeError" in one["seen"]:
                one["status"] = "not applicable"
    counts = {status: sum(one["status"] == status for one in found["outcomes"]) for status in found["counts"]}
    return found | {"counts": counts}


def page(found: list[Found], date: str) -> str:
    """The part of docs/audit.md about other libraries."""
    total = sum(len(failed(one)) for one in found)
    return "\n".join(
        [
            "## Other libraries, measured\n",
            f"{len(found)} public training losses of {len({package(one) for one in found})} libraries, "
            f"{total} failures; {date}, {machine()}.",
            INTRODUCTION,
            *_summary(found),
            "### The most telling, by the library alone\n",
            *_programs({package(one) for one in found}),
            "### All failures\n",
            *_failures(found),
        ]
    )


INTRODUCTION = """
Printed by `python -m bench.audit_peers`. A failure below is a defect, a promise that is not kept, or a convention that
costs users time; the last stand in a table of their own, at the end. Where several losses share a line, what was seen
is that of the first. Losses of boxes, images and their structure, and losses with a
queue, a spatial filter or a distance transform are left out. Losses of probabilities get the softmax or sigmoid that a
model would end in. Any failure is shown again by three lines, with the loss, the kind and the check of the tables:

```py
from lossmith.audit import audit
found = audit("timm.loss:AsymmetricLossMultiLabel", kind="multilabel", only=["gradient_at_40"])
print(found.failures[0].seen)
```

Where a layout is named, the loss is called through it: `audit(laid(subject(LOSS), LAYOUT), KIND, only=[CHECK])` with
`laid` of `bench/layouts.py` and `subject` of `bench/peers.py`. Not asked, because it would not be fair:
"""


def package(one: Found) -> str:
    return str(one["target"]).partition(":")[0].partition(".")[0]


def failed(one: Found) -> list[dict[str, Any]]:
    return [outcome for outcome in one["outcomes"] if outcome["status"] == "fail"]


def _summary(found: list[Found]) -> list[str]:
    lines = [f"- {one.reason}: {', '.join(one.checks)} (`{one.losses}`, layout `{one.layouts}`)" for one in SPARED]
    lines += ["", "| library | loss | kind, layout | passed | failed | not applicable |", "| --- " * 6 + "|"]
    for one in found:
        name, counts = one["target"].partition(":")[2], one["counts"]
        where = f"{peers.DISTRIBUTIONS[package(one)]} {peers.version(package(one))}"
        kind = one["kind"] + (f", {one['layout']}" if one["layout"] else "")
        numbers = " | ".join(str(counts[key]) for key in ("pass", "fail", "not applicable"))
        lines.append(f"| {where} | `{name}` | {kind} | {numbers} |")
    return [*lines, ""]


def _programs(packages: set[str]) -> list[str]:
    shown = [
        "\n".join(
            [
                f"# {program.says}",
                *program.code.strip().splitlines(),
                *(f"# {line}" for line in run(program).splitlines()),
            ]
        )
        for program in PROGRAMS
        if program.package in packages
    ]
    return ["```py", "\n\n".join(shown), "```", ""]


def _failures(found: list[Found]) -> list[str]:
    by: dict[str, list[tuple[Found, dict[str, Any]]]] = {}
    for one in found:
        for outcome in failed(one):
            group = by.setdefault(MERGED.get(outcome["name"], outcome["name"]), [])
            if not group or group[-1][0] is not one:
                group.append((one, outcome))
    lines, conventions = [], []
    for name, group in by.items():
        first = group[0][1]
        link = f"[{_words(first['link'])}]({first['link']})"
        if name in CONVENTION:
            conventions.append(f"| {name} | {first['expected']} | {CONVENTION[name]} | {_counted(group)} |")
        else:
            lines += [
                f"- **{name}** ({len(group)}). Expected: {first['expected']}. {first['why']} {link}",
                *_seen(group),
            ]
    table = ["| check | expected | convention | losses that fail |", "| --- | --- | --- | --- |", *conventions]
    return [*lines, "", "### Conventions, and what was never promised\n", *table]


def _counted(group: list[tuple[Found, dict[str, Any]]]) -> str:
    """How many losses of each library."""
    names = [peers.DISTRIBUTIONS[package(one)] for one, _ in group]
    return ", ".join(f"{name} {names.count(name)}" for name in dict.fromkeys(names))


def _words(link: str) -> str:
    """A link's name: owner/repository#number, or the last part of an address."""
    parts = link.rstrip("/").split("/")
    return f"{'/'.join(parts[-4:-2])}#{parts[-1]}" if "issues" in parts or "pull" in parts else parts[-1]


def _seen(group: list[tuple[Found, dict[str, Any]]]) -> list[str]:
    """One line per library and answer: the losses that share it."""
    by: dict[tuple[str, str], list[str]] = {}
    for one, outcome in group:
        key = (package(one), "".join("0" if c.isdigit() else c for c in outcome["seen"])[:40])
        by.setdefault(key, []).append(f"`{one['target'].partition(':')[2]}`")
        by.setdefault(("", f"{key}"), [outcome["seen"][:200]])
    return [
        f"  - {peers.DISTRIBUTIONS[key[0]]}: {', '.join(dict.fromkeys(names))}: {by['', f'{key}'][0]}"
        for key, names in by.items()
        if key[0]
    ]


def main(names: list[str]) -> int:
    """Audit the losses of all libraries that are installed, or of those named."""
    found = []
    for target, kind, layout in TARGETS:
        name = target.partition(":")[0].partition(".")[0]
        if (not names or name in names) and peers.prepare(name):
            print(target, kind, layout, file=sys.stderr, flush=True)
            found.append(measured(target, kind, layout))
    print(page(found, "2026-11-22"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
