"""The memory that kernels of eager mode write to."""

import subprocess
import sys

import pytest

SECOND_CALL = """
import resource, torch, lossmith
z, y = torch.randn(8, 4, 512, 512, requires_grad=True), torch.randint(4, (8, 512, 512))
loss = lossmith.DiceLoss()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.autograd.grad(loss(z, y), z)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that gives memory back")
def test_blocks_do_not_ask_the_system_for_their_memory_each_time() -> None:
    """In a process that has freed nothing large: without the lesson it is twice the pages of the logits, 16,000."""
    said = subprocess.run([sys.executable, "-c", SECOND_CALL], capture_output=True, text=True, check=True)
    assert int(said.stdout) < 10_000
