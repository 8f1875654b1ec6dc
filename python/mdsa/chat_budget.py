"""What a chat template may still use: steps, time and characters.

A template is somebody else's program, and Python can neither interrupt one long operation nor give
back memory in time. So every operation that can be long or make something large is looked at here
before it runs.
"""

from __future__ import annotations

import contextlib
import re
import string
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import jinja2

_MAX_STEPS = 10_000_000  # nodes of the template that loops and macros may run
_MAX_SECONDS = 10.0
_MAX_TEXT = 1_000_000  # characters of one value, beside four times the caller's own
_MAX_TOTAL = 64_000_000  # characters of all values, beside 256 times the caller's own
_MAX_BITS = 4096  # of a number
_MAX_SEARCH = 50_000_000  # text times pattern, where Python's search is quadratic

_BACKWARD = frozenset(("rfind", "rindex", "rpartition", "rsplit"))
_PERCENT = re.compile(r"%(?:\([^()]*\))?[-#0 +]*(\*|\d*)(?:\.(\*|\d*))?")
_MAX_WIDTH = 999  # of a field in a format


class OverBudget(Exception):
    """A limit of this module was reached."""


class _Budget(threading.local):
    """What the rendering on this thread may still use."""

    steps = 0
    total = 0
    max_text = 0
    deadline = 0.0

    @contextlib.contextmanager
    def one_rendering(self, caller: Any) -> Iterator[None]:
        """`caller`: the values that the caller gives the template."""
        self.steps, self.total, self.max_text = _MAX_STEPS, 1 << 62, 1 << 62
        self.deadline = time.monotonic() + _MAX_SECONDS
        size = size_of(caller)
        self.max_text = _MAX_TEXT + 4 * size
        self.total = _MAX_TOTAL + 256 * size
        yield

    def step(self, count: int = 1) -> None:
        self.steps -= count
        if self.steps < 0:
            raise OverBudget("too many loop steps")
        if time.monotonic() > self.deadline:
            raise OverBudget(f"it ran longer than {_MAX_SECONDS:g} seconds")

    def text(self, size: int) -> None:
        """Pays for a value of this many characters, which is about to be made."""
        if size > self.max_text:
            raise OverBudget(f"a value of {size} characters")
        self.total -= size
        if self.total < 0:
            raise OverBudget("too many characters in all values together")


budget = _Budget()


def size_of(value: Any) -> int:
    """Characters of a value as text, about; shared parts count each time. At most max_text."""
    size = 0
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            size += len(item)
        elif isinstance(item, (list, tuple, range)):
            size += 2 * len(item) + 2
        elif isinstance(item, dict):
            size += 4 * len(item) + 2
        elif isinstance(item, int):
            size += item.bit_length() // 3 + 1
        elif item is None or isinstance(item, (float, jinja2.Undefined)):
            size += 8
        else:
            # Its text could be of any length: a namespace prints the namespaces in it.
            raise OverBudget(f"a {type(item).__name__} inside of a list or dict")
        if size > budget.max_text:
            raise OverBudget(f"a value of more than {budget.max_text} characters")
        if isinstance(item, (list, tuple)):
            todo.extend(item)
        elif isinstance(item, dict):
            todo.extend(item)
            todo.extend(item.values())
    return size


def checked(value: Any) -> Any:
    """A value that an operation made; pays for it."""
    if isinstance(value, int):
        check_number(value)
    elif isinstance(value, (str, list, tuple, dict)):
        budget.text(size_of(value))
    return value


def printable(value: Any) -> Any:
    if value is None or isinstance(value, (float, jinja2.Undefined)):
        return value
    if not isinstance(value, (str, int, list, tuple, dict)):
        raise OverBudget(f"it prints a {type(value).__name__}, which is no text")
    return checked(value)


def check_number(value: Any) -> None:
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise OverBudget("a number too large")


def check_operands(operator: str, left: Any, right: Any) -> None:
    budget.step()
    check_number(left)
    check_number(right)
    if operator == "**" and isinstance(left, int) and isinstance(right, int):
        if left.bit_length() * max(right, 0) > _MAX_BITS:
            raise OverBudget("a number too large")
    elif operator == "*":
        for value, count in ((left, right), (right, left)):
            if isinstance(value, (str, list, tuple)) and isinstance(count, int):
                budget.text(size_of(value) * max(count, 0))
    elif operator == "+" and isinstance(left, (str, list, tuple)) and hasattr(right, "__len__"):
        budget.text(len(left) + len(right))
    elif operator == "%" and isinstance(left, str):
        check_percent(left, right)


def _check_fields(widths: Iterable[str], pattern: str, fields: int, values: Any) -> None:
    for width in widths:
        if not width.isdigit() or int(width[:9]) > _MAX_WIDTH:
            raise OverBudget("a format with a width that is very large or not constant")
    budget.text(len(pattern) + fields * (2 * _MAX_WIDTH + size_of(values)))


def check_percent(pattern: str, values: Any) -> None:
    widths = [w for match in _PERCENT.finditer(pattern) for w in match.groups() if w]
    _check_fields(widths, pattern, pattern.count("%"), values)


def check_braces(pattern: str, values: Any) -> None:
    fields = list(string.Formatter().parse(pattern))
    specs = [spec or "" for _, _, spec, _ in fields]
    if any("{" in spec for spec in specs):
        raise OverBudget("a format with a width that is very large or not constant")
    widths = [w for spec in specs for w in re.findall(r"\d+", spec)]
    _check_fields(widths, pattern, len(fields), values)


def check_replace(text: str, old: Any, new: Any) -> None:
    if isinstance(old, str) and isinstance(new, str):
        budget.text(len(text) + text.count(old) * len(new))


def check_width(text: str, width: Any) -> None:
    if isinstance(width, int):
        budget.text(len(text) + max(width, 0))


def check_method(text: str, name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments for a method of a text, once its result is known to be small enough."""
    budget.text(len(text))
    if not arguments:
        return arguments
    if name == "join":
        values = [printable(value) for value in arguments[0]]
        budget.text(size_of(values) + len(text) * len(values))
        return (values, *arguments[1:])
    if name == "replace" and len(arguments) > 1:
        check_replace(text, arguments[0], arguments[1])
    elif name in ("center", "ljust", "rjust", "zfill"):
        check_width(text, arguments[0])
    elif name in _BACKWARD and isinstance(arguments[0], str):
        if len(text) * len(arguments[0]) > _MAX_SEARCH:
            raise OverBudget(f"{name}() of a long text in a long text")
    return arguments
