"""One thread per test process: the tensors are small, and pytest-xdist has the cores. And the command line, in it.

What Hypothesis draws is the same everywhere and may take its time: a test fails for what it tests, and on no machine
for how busy that is.
"""

import signal
import sys

import pytest
import torch
from hypothesis import settings

from lossmith import cli

torch.set_num_threads(1)
settings.register_profile("lossmith", deadline=None, derandomize=True, database=None)
settings.load_profile("lossmith")


@pytest.fixture
def command(capsys, monkeypatch):
    """Calls the command line in this process: its exit code, and what it said on both outputs."""
    monkeypatch.setattr(signal, "signal", lambda *words: None)

    def called(*words):
        monkeypatch.setattr(sys, "argv", ["lossmith", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        return left.value.code or 0, said.out, said.err

    return called
