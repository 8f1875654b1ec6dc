"""Holding a model in memory for the time of a piece of work."""

from __future__ import annotations

from typing import Any

from mdsa import _native


class Lease:
    """While it lasts, its model stays in memory: nobody evicts or frees it.

    For the time of a request: whoever keeps one keeps the memory from everybody else. A context
    manager that gives the model; release() ends it without a with statement. Thread-safe.
    """

    def __init__(self, native: _native.Lease, model: Any, tokenizer: Any) -> None:
        self._native = native
        self.model = model
        """The model, or the object of the application; None once released."""
        self.tokenizer = tokenizer

    @property
    def cancelled(self) -> bool:
        """The model was unloaded by force: the work shall end."""
        return self._native.cancelled()

    def release(self) -> None:
        """Gives the model back; calls in progress keep it until they end. May be repeated."""
        self.model = self.tokenizer = None
        self._native.release()

    def __enter__(self) -> Any:
        return self.model

    def __exit__(self, *exception: object) -> None:
        self.release()
