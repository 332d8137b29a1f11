"""One thread per test process: the tensors are small, and pytest-xdist has the cores."""

import torch

torch.set_num_threads(1)
