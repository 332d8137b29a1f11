"""The array libraries: what a statistic needs of torch, JAX and Keras, spelt alike in a module for each.

A formula needs less, a few functions that all of them spell alike already: it is given `xp`, the library itself. The
module of Keras is for its TensorFlow backend; on the others its arrays are torch's and JAX's own.
"""

from typing import Any

from torch import Tensor

from lossmith.arrays import of_torch


def known(x: object) -> bool:
    """Whether `x` is an array of one of the libraries."""
    return isinstance(x, Tensor) or _home(x) in ("jax", "jaxlib", "tensorflow", "keras")


def ops_of(x: object) -> Any:
    """The module with the operations on arrays such as `x`."""
    if isinstance(x, Tensor):
        return of_torch
    if _home(x) in ("jax", "jaxlib"):
        from lossmith.arrays import of_jax

        return of_jax
    from lossmith.arrays import of_keras

    return of_keras


def _home(x: object) -> str:
    return type(x).__module__.partition(".")[0]
