"""Limits as the manager's constructor takes them, for the native module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mdsa.errors import InvalidArgumentError

MemorySize = int | float | str
"""Bytes as an int, a share of the machine's memory as a float in (0, 1], or "8GB", "6.5 GiB", "70%"."""


def limit_options(
    max_memory: MemorySize | None,
    max_device_memory: Mapping[str, int | str] | None,
    time_to_live: float | None,
    **others: Any,
) -> dict[str, Any]:
    """Those that are set, with sizes as the native module reads them."""
    options = dict(others)
    if max_memory is not None:
        options["max_memory"] = _size(max_memory, "max_memory")
    if max_device_memory is not None:
        options["max_device_memory"] = {
            device: _size(size, f"max_device_memory of {device!r}")
            for device, size in max_device_memory.items()
        }
    if time_to_live is not None:
        options["time_to_live"] = time_to_live
    return options


def _size(size: MemorySize, name: str) -> float | str:
    """A share as it is, the text of anything else."""
    if isinstance(size, bool) or not isinstance(size, int | float | str):
        raise InvalidArgumentError(
            f"{name} must be bytes (an int), a share (a float) or a text, not {size!r}"
        )
    return size if isinstance(size, float) else str(size)
