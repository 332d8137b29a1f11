"""What runs in each of the two processes of `pair.py`: questions come in, values and gradients go out."""

import os
import sys
import warnings
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from lossmith.audit import kinds
from lossmith.audit.batch import Batch
from lossmith.audit.case import SEED, told
from lossmith.audit.pair import RANKS, receive, send
from lossmith.audit.target import Home, Subject, found_at

CALLS = {call.__name__: call for call in (kinds.spread, kinds.packed, kinds.call_gaussian, kinds.call_sequence)}


def serve(rank: str, store: str) -> None:
    """Answer until the other side closes its end."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a loss prints must not get between the answers
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=int(rank), world_size=RANKS, timeout=timedelta(seconds=60)
    )
    while True:
        try:
            job = receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = work(job)
        except Exception as error:  # it is the other side that says what it means
            answer = {"error": told(error)}
        send(answers, answer)


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Value and gradients of one part of a batch."""
    sys.path[:] = job["path"]
    home = Home(**job["home"])
    subject: Subject = found_at(home, job["options"])
    batch = Batch(tuple(job["inputs"]), job["target"], job["axis"], job["own"])
    fresh, leaves = batch.leaves()
    loss = subject.make()
    torch.manual_seed(SEED)
    value = CALLS[job["call"]](loss, fresh).sum()
    grads = torch.autograd.grad(value, leaves, allow_unused=True) if value.requires_grad else ()
    gradients = [torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=bool(grads))]
    return {"value": float(value.detach()), "gradients": gradients}
