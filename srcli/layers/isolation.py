"""A block of code that neither feels nor changes what a program has set in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from srcli.layers.network import full_precision
from srcli.threads import hold_setting


class _Defaults:
    """PyTorch's default dtype as an attribute, which ``hold_setting`` sets and restores."""

    dtype = property(
        lambda _: torch.get_default_dtype(), lambda _, to: torch.set_default_dtype(to)
    )


_DEFAULTS = _Defaults()


@contextmanager
def undisturbed(device: str = "cpu") -> Iterator[None]:
    """Run a block under PyTorch's default settings."""
    cpu: AbstractContextManager[object] = nullcontext()
    if torch.get_default_device().type != "cpu":  # a context slows every call
        cpu = torch.device("cpu")
    with (
        hold_setting(_DEFAULTS, "dtype", torch.float32),
        cpu,
        torch.inference_mode(mode=False),
        full_precision(torch.device(device)),
    ):
        yield
