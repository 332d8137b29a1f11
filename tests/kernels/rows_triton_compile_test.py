"""The Triton kernels for rows of logits compile for an H200, which needs no GPU, and to what they were written for."""

import re
import subprocess

import pytest
import torch

from lossmith.kernels import rows_triton

triton = pytest.importorskip("triton", reason="Triton is not installed")
GPUTarget = pytest.importorskip("triton.backends.compiler").GPUTarget
ASTSource = pytest.importorskip("triton.compiler").ASTSource

if triton.knobs.runtime.interpret:
    pytest.skip("the interpreter compiles nothing", allow_module_level=True)

TYPES = {torch.bfloat16: "*bf16", torch.float32: "*fp32", torch.int64: "*i64", torch.bool: "*i1"}


class Compiler:
    """In place of a kernel: compiles it for an H200 with the arguments that it would be launched with."""

    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        return self

    def __call__(self, *args, num_warps, enable_fp_fusion, **constants):
        args = dict(zip(self.kernel.arg_names, [*args, *constants.values()], strict=True))
        fixed = {name: x for name, x in args.items() if name in constants or x is None or (type(x) is int and x == 1)}
        even = [name for name, x in args.items() if name not in fixed and (type(x) is not int or x % 16 == 0)]
        source = ASTSource(
            self.kernel,
            {name: "constexpr" if name in fixed else self.type_of(x) for name, x in args.items()},
            {(i,): fixed[name] for i, name in enumerate(args) if name in fixed},
            {(i,): [["tt.divisibility", 16]] for i, name in enumerate(args) if name in even},
        )
        options = {"num_warps": num_warps, "enable_fp_fusion": enable_fp_fusion}
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
        self.ptx, self.cubin = made.asm["ptx"], made.asm["cubin"]

    def type_of(self, x):
        return ("i32" if x < 2**31 else "i64") if type(x) is int else TYPES[x.dtype]

    def used(self, folder):
        """Registers of a thread, and bytes on its stack."""
        (folder / "kernel").write_bytes(self.cubin)
        tool = triton.knobs.nvidia.cuobjdump.path
        said = subprocess.run(
            [tool, "-res-usage", folder / "kernel"], capture_output=True, text=True, check=True
        ).stdout
        return [int(re.search(rf"{word}:(\d+)", said)[1]) for word in ("REG", "STACK")]


@pytest.mark.parametrize(
    ("shape", "dtype", "wide", "most"),
    [
        ((8192, 128_256, 1), torch.bfloat16, True, 96),
        ((8192, 50_257, 1), torch.float32, False, 168),
        ((8, 20, 2**18), torch.bfloat16, True, 168),
        ((10**6, 10, 1), torch.float32, False, 168),
        ((1, 300, 1), torch.float32, False, 168),  # Triton takes a number that is 1 for a constant
        ((1, 1, 1), torch.float32, False, 168),
    ],
)
@pytest.mark.parametrize("everything", [False, True])
def test_compiles_for_an_h200(shape, dtype, wide, most, everything, monkeypatch, tmp_path):
    """Without a tile spilled, and where rows are multiples of 16 long with loads and stores of 16 bytes alone."""
    made = [Compiler(rows_triton._forward), Compiler(rows_triton._backward)]
    monkeypatch.setattr(rows_triton, "_forward", made[0])
    monkeypatch.setattr(rows_triton, "_backward", made[1])
    z = torch.empty(shape, dtype=dtype, device="meta")
    index = torch.empty(shape[0], shape[2], dtype=torch.int64, device="meta")
    keep = index.bool() if everything else None
    saved = rows_triton.forward(z, index, keep, everything)
    g = saved.lse if everything else None
    rows_triton.backward(z, index, keep, saved, saved.lse, g, g)
    for compiled in made:
        registers, stack = compiled.used(tmp_path)
        assert stack <= 16  # a register or two; what does not fit goes there, and a tile that does not is hundreds
        assert registers <= most
        if wide:
            narrow = re.findall(r"(?:ld|st)\.global\.b16", compiled.ptx)
            assert len(narrow) <= (8 if compiled is made[0] else 0)  # the logits of the targets
            assert len(re.findall(r"ld\.global\.v4\.b32", compiled.ptx)) >= 4
