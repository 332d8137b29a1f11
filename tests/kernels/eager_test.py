"""The memory that kernels of eager mode write to."""

import ctypes
import subprocess
import sys

import pytest

ANEW = """
import ctypes, torch
from lossmith.kernels import eager

class Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd rest more some last top".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Memory
eager.fresh(torch.empty(1))
before = libc.mallinfo2().hblks
block = torch.empty(2**22)
print(libc.mallinfo2().hblks - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="it is glibc that gives memory back"
)
def test_a_block_is_not_asked_of_the_system_anew() -> None:
    """In a process that has freed nothing large; what is mapped for a tensor alone is given back with it."""
    said = subprocess.run([sys.executable, "-c", ANEW], capture_output=True, text=True, check=True)
    assert said.stdout == "0\n"
