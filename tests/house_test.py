"""The house rules that a machine can check: floors, loss classes, names, types, light imports."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import lossmith
from bench.losses import PEERS
from lossmith import functional, spec
from lossmith.explanation.document import ADVICE
from lossmith.flow.loss import Loss
from lossmith.flow.parameter import spell
from tests.laws.cases import SHIPPED

SOURCE = Path(lossmith.__file__).parent
FLOORS = [
    "__main__",
    "cli",
    "compare evaluation",
    "boosting curves explanation jax keras monitor numpy sampling trainers",
    "functional spec",
    "activations audit losses",
    "flow",
    "arrays kernels metrics table",
    "extras files own_file page text",
    "errors",
]  # imports run downward only


def floor(module: str) -> int:
    part = module.split(".")[1] if "." in module else "lossmith"
    return next(level for level, names in enumerate(FLOORS) if part in names.split())


def imports(file: Path) -> set[str]:
    """The lossmith modules that a file imports anywhere, `from lossmith import x` resolved to lossmith.x."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("lossmith.")}
        elif isinstance(node, ast.ImportFrom) and node.module == "lossmith":
            found |= {f"lossmith.{alias.name}" for alias in node.names if not alias.name.startswith("__")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lossmith."):
            found.add(str(node.module))
    return found


def test_imports_run_downward_only() -> None:
    for file in SOURCE.rglob("*.py"):
        module = "lossmith." + ".".join(file.relative_to(SOURCE).with_suffix("").parts)
        if module != "lossmith.__init__":
            upward = [name for name in imports(file) if floor(name) < floor(module)]
            assert not upward, f"{module} imports {upward}"


def test_compare_sees_losses_through_spec_alone() -> None:
    for file in (SOURCE / "compare").rglob("*.py"):
        assert not [name for name in imports(file) if name.startswith("lossmith.losses")], file


@pytest.mark.parametrize("cls", SHIPPED.values(), ids=lambda cls: cls.name)
def test_a_loss_is_docstring_parameters_formula(cls: type[Loss]) -> None:
    if cls.name in ("gaussian_nll", "rmse", "poisson_nll"):  # two inputs; a root at the end; two domains of the input
        return
    if not hasattr(cls, "formula"):  # statistics that no formula of one number describes: their families say why
        return
    (body,) = [node for node in ast.walk(ast.parse(inspect.getsource(cls))) if isinstance(node, ast.ClassDef)]
    methods = [node.name for node in body.body if isinstance(node, ast.FunctionDef)]
    hooks = {hook for base in cls.__mro__ for hook in vars(base).get("hooks", ())}
    assert set(methods) <= hooks, f"its families leave {sorted(hooks)} to it"
    assert ast.get_docstring(body)
    code = [line for node in body.body[1:] for line in range(node.lineno, (node.end_lineno or 0) + 1)]
    assert len(code) <= 15


def test_names_agree_everywhere() -> None:
    """Exports, specifications, functions, list and benchmark show the same losses: those of the registry."""
    classes = {cls.__name__ for cls in SHIPPED.values()}
    assert classes <= set(dir(lossmith))
    assert {cls.name for cls in SHIPPED.values()} <= {row["name"] for row in spec.catalogue()}
    assert {f"{name}_loss" for name in SHIPPED} <= set(dir(functional))
    assert set(PEERS) <= set(SHIPPED)  # a loss without a peer is not in the benchmark
    for cls in SHIPPED.values():
        assert getattr(lossmith, cls.__name__) is cls
        options = f"({', '.join(f'{k}={spell(v)}' for k, v in cls.example.items())})"
        assert type(lossmith.create(cls.name + options)) is type(lossmith.create(cls.__name__ + options)) is cls


@pytest.mark.parametrize("cls", SHIPPED.values(), ids=lambda cls: cls.name)
def test_docstrings_say_what_users_need(cls: type[Loss]) -> None:
    text = cls.__doc__ or ""
    assert "Source:" in text
    assert text.count(">>>") >= 1
    assert "Parameters:" in text
    assert "``" in text.split("\n\n")[0], "the first sentence holds the formula"
    advice = [part for part in text.split("\n\n") if ADVICE.fullmatch(part.strip())]
    assert len(advice) == 1, "one paragraph, of at most three lines, says: Use it ... . Not ... ."
    assert advice[0].strip().count("\n") < 3


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_lossmith_needs_torch_alone() -> None:
    heavy = "pandas sklearn scipy plotly typer rich jinja2 pyarrow"
    code = f"import sys, lossmith; lossmith.FocalLoss; print([m for m in '{heavy}'.split() if m in sys.modules])"
    assert run(code) == "[]"


def test_what_the_readme_names_is_there_after_one_import() -> None:
    names = "activations audit compare evaluate functional metrics Regularized"
    code = f"import lossmith; print(*[getattr(lossmith, n).__name__.split('.')[-1] for n in '{names}'.split()])"
    assert run(code) == names


def test_the_command_line_starts_without_torch() -> None:
    assert run("import sys, lossmith.cli; print('torch' in sys.modules)") == "False"


def test_type_checkers_know_the_parameters(tmp_path: Path) -> None:
    """mypy accepts the right call and rejects a misspelt parameter and one of the wrong type."""
    script = tmp_path / "script.py"
    script.write_text(
        "import lossmith\n"
        "lossmith.FocalLoss(gamma=2.0, link='sigmoid', reduction='sum')\n"
        "lossmith.FocalLoss(gama=2.0)\n"
        "lossmith.FocalLoss(gamma='two')\n"
        "lossmith.HuberLoss(delta=1.0, reduction='average')\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=silent", str(script)]
    found = subprocess.run(mypy, capture_output=True, text=True, env=None).stdout
    assert [int(line.split(":")[1]) for line in found.splitlines() if ": error:" in line] == [3, 4, 5], found


def test_a_star_imports_losses_and_no_framework() -> None:
    found = run(
        "from lossmith import *; import sys; print(FocalLoss.name, 'jax' in sys.modules, 'keras' in sys.modules)"
    )
    assert found == "focal False False"
