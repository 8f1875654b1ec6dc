"""What a manager tells about its decisions, as they happen."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

from mdsa import _native

EventCallback = Callable[[dict[str, Any]], object]

_EXIT_SECONDS = 5.0
_log = logging.getLogger("mdsa")


class Subscription:
    """Calls a function with every event of a manager, on a thread of its own, until closed.

    A context manager. It ends by itself with its manager and with the process.
    """

    _open: weakref.WeakSet[Subscription] = weakref.WeakSet()

    def __init__(self, events: _native.Events, callback: EventCallback) -> None:
        self._events = events
        self._thread = threading.Thread(
            target=_deliver, args=(events, callback), name="mdsa-events", daemon=True
        )
        self._thread.start()
        self._open.add(self)

    def close(self) -> None:
        """No call begins after it; waits for one in progress, unless it is called from there."""
        self._close(None)

    def _close(self, patience: float | None) -> None:
        self._events.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(patience)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _deliver(events: _native.Events, callback: EventCallback) -> None:
    while (event := events.next()) is not None:
        try:
            callback(event)
        except Exception:
            _log.exception("a subscriber of model events failed at %s", event["kind"])


@atexit.register
def _close_all() -> None:
    for subscription in list(Subscription._open):
        subscription._close(_EXIT_SECONDS)
