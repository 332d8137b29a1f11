"""The memory that kernels of eager mode write to."""

import ctypes
import subprocess
import sys

import pytest

MEMORY = """
import ctypes, torch

class Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd rest more some last top".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Memory
"""

ANEW = f"""{MEMORY}
from lossmith.kernels import eager

eager.fresh(torch.empty(1))
before = libc.mallinfo2().hblks
block = torch.empty(2**22)
print(libc.mallinfo2().hblks - before)
"""

GROWN = f"""{MEMORY}
from lossmith import DiceLoss

input, target = torch.randn(8, 4, 512, 512).requires_grad_(), torch.randint(4, (8, 512, 512))
loss, grown = DiceLoss(), []
for _ in range(8):
    libc.malloc_trim(0)
    before = libc.mallinfo2().arena
    loss(input, target).backward()
    input.grad = None
    grown.append((libc.mallinfo2().arena - before) >> 20)
print(max(grown[2:]))
"""

glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="it is glibc that gives memory back"
)


@glibc
def test_a_block_is_not_asked_of_the_system_anew() -> None:
    """In a process that has freed nothing large; what is mapped for a tensor alone is given back with it."""
    said = subprocess.run([sys.executable, "-c", ANEW], capture_output=True, text=True, check=True)
    assert said.stdout == "0\n"


@glibc
def test_a_block_takes_the_room_of_the_one_before() -> None:
    """The heap grows by a few megabytes for 32 blocks of one, once what the first calls set up is there."""
    said = subprocess.run([sys.executable, "-c", GROWN], capture_output=True, text=True, check=True)
    assert int(said.stdout) < 16
