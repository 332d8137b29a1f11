"""Faster ways to compute what losses are made of; the plain expressions in `losses` stay the reference.

``eager`` says where they apply, ``rows`` has the statistic of rows of logits (``rows_triton`` on NVIDIA GPUs,
``sharded`` where the classes lie on many ranks), ``overlap`` the counts of masks, ``blocks`` any loss whose units stand
for themselves, ``linear`` what is left of the last layer when its logits are never built.
"""
