"""Chat templates: Jinja source that comes with a checkpoint, rendered as transformers renders it.

A template is somebody else's program. It runs in Jinja's immutable sandbox, sees plain data only,
and has a budget of loop steps, output and time, so that a hostile one fails instead of hanging.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mdsa.errors import InvalidArgumentError, InvalidFormatError

_MAX_SOURCE = 1 << 20  # characters of a template
_MAX_OUTPUT = 1 << 26  # characters of a rendered conversation
_MAX_TEXT = 1 << 24  # characters of one value that an operator may build
_MAX_STEPS = 1_000_000  # of range() in one rendering
_MAX_SECONDS = 10.0  # of one rendering
_REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
_UNBOUNDED_WIDTH = re.compile(r"\d{5,}|[%:][^a-zA-Z%}]*[*{]")  # in a format string
_END_OF_MESSAGE = "\ue000end of message\ue000 "  # its final space tells whether the template trims


def render(
    template: str,
    messages: Any,
    *,
    add_generation_prompt: bool = False,
    continue_final_message: bool = False,
    variables: Mapping[str, Any] | None = None,
) -> str:
    """The text of a conversation.

    InvalidArgumentError when the template refuses the messages, InvalidFormatError when the
    template itself fails. Thread-safe.
    """
    plain = [_with_reasoning(_without_none(_plain(message))) for message in messages]
    if not plain:
        raise InvalidArgumentError("a conversation is a list of at least one message")
    if continue_final_message:
        if add_generation_prompt:
            raise InvalidArgumentError(
                "continue_final_message and add_generation_prompt exclude each other"
            )
        if not isinstance(plain[-1].get("content"), str):
            raise InvalidArgumentError("continue_final_message needs a final message with text")
        plain[-1]["content"] += _END_OF_MESSAGE
    values = {name: _plain(value) for name, value in (variables or {}).items()}
    text = _run(
        template, {**values, "messages": plain, "add_generation_prompt": add_generation_prompt}
    )
    return _cut_at_end_of_message(text) if continue_final_message else text


def _cut_at_end_of_message(text: str) -> str:
    head, mark, _ = text.rpartition(_END_OF_MESSAGE)
    if mark:
        return head
    head, mark, _ = text.rpartition(_END_OF_MESSAGE.rstrip())
    if not mark:
        raise InvalidFormatError("chat template: it drops the end of the final message")
    return head.rstrip()


def _run(template: str, context: dict[str, Any]) -> str:
    import jinja2

    if len(template) > _MAX_SOURCE:
        raise InvalidFormatError(
            f"chat template: {len(template)} characters, the limit is {_MAX_SOURCE}"
        )
    pieces: list[str] = []
    length = 0
    try:
        compiled = _compile(template)
        with _budget.one_rendering():
            for piece in compiled.generate(context):
                _budget.check_time()
                length += len(piece)
                if length > _MAX_OUTPUT:
                    raise _OverBudget(f"more than {_MAX_OUTPUT} characters of output")
                pieces.append(piece)
    except _Refused as error:
        raise InvalidArgumentError(f"chat template: {error}") from error
    except jinja2.TemplateSyntaxError as error:
        raise InvalidFormatError(f"chat template: line {error.lineno}: {error.message}") from error
    except (jinja2.TemplateError, _OverBudget) as error:
        raise InvalidFormatError(f"chat template: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise InvalidFormatError(f"chat template: {type(error).__name__}") from error
    except Exception as error:
        # Whatever else the template's own operations raise, e.g. a TypeError of text + number.
        raise InvalidFormatError(f"chat template: {type(error).__name__}: {error}") from error
    return "".join(pieces)


class _Refused(Exception):
    """raise_exception() of a template: it does not take these messages."""


class _OverBudget(Exception):
    """A limit of this module was reached."""


class _Budget(threading.local):
    """What the rendering on this thread may still use."""

    steps = 0
    deadline = 0.0

    @contextlib.contextmanager
    def one_rendering(self) -> Iterator[None]:
        self.steps = _MAX_STEPS
        self.deadline = time.monotonic() + _MAX_SECONDS
        yield

    def check_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise _OverBudget(f"it ran longer than {_MAX_SECONDS:g} seconds")

    def range(self, *arguments: int) -> range:
        values = range(*arguments)
        self.steps -= len(values)
        if self.steps < 0:
            raise _OverBudget(f"more than {_MAX_STEPS} loop steps")
        return values


_budget = _Budget()


@functools.lru_cache(maxsize=64)
def _compile(template: str) -> Any:
    return _environment().from_string(template)


@functools.cache
def _environment() -> Any:
    """Jinja's sandbox with what chat templates of the Hub rely on."""
    from jinja2 import ext, nodes, sandbox, visitor

    class GenerationTag(ext.Extension):
        """{% generation %} marks the assistant's text; here the marks have no effect."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    class Sandbox(sandbox.ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**", "+", "%"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _budget.check_time()
            _check_operands(operator, left, right)
            return super().call_binop(context, operator, left, right)

        def call(self, context: Any, callee: Any, /, *args: Any, **kwargs: Any) -> Any:
            _budget.check_time()
            if isinstance(getattr(callee, "__self__", None), str):
                _check_widths(args, kwargs)
            return _checked(super().call(context, callee, *args, **kwargs))

        def getattr(self, obj: Any, attribute: str) -> Any:
            _budget.check_time()
            if isinstance(obj, str) and attribute in ("format", "format_map"):
                _check_format(obj)
            return super().getattr(obj, attribute)

        def getitem(self, obj: Any, argument: Any) -> Any:
            _budget.check_time()
            return super().getitem(obj, argument)

        def _parse(self, source: str, name: Any, filename: Any) -> Any:
            return BoundedConcatenation().visit(super()._parse(source, name, filename))

    class BoundedConcatenation(visitor.NodeTransformer):
        def visit_Concat(self, node: Any) -> Any:
            self.generic_visit(node)
            return nodes.Filter(nodes.List(node.nodes), "join", [], [], None, None).set_lineno(node.lineno)

    environment = Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[GenerationTag, ext.loopcontrols],
        finalize=_checked,
    )
    environment.filters["tojson"] = _to_json
    environment.filters = {name: _bounded(f) for name, f in environment.filters.items()}
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.globals["range"] = _budget.range
    del environment.globals["lipsum"]  # makes text of any length
    return environment


def _check_operands(operator: str, left: Any, right: Any) -> None:
    if operator == "**":
        if isinstance(left, int) and isinstance(right, int):
            if left.bit_length() * max(right, 0) > _MAX_TEXT:
                raise _OverBudget("a number too large")
    elif operator == "*":
        for value, count in ((left, right), (right, left)):
            if isinstance(value, (str, list, tuple)) and isinstance(count, int):
                if len(value) * count > _MAX_TEXT:
                    raise _OverBudget(f"a text of {len(value) * count} characters")
    elif operator == "+":
        if isinstance(left, str) and isinstance(right, str) and len(left) + len(right) > _MAX_OUTPUT:
            raise _OverBudget(f"a text of {len(left) + len(right)} characters")
    elif isinstance(left, str):
        _check_format(left)


def _check_format(pattern: str) -> None:
    if _UNBOUNDED_WIDTH.search(pattern):
        raise _OverBudget("a format with a width that is very large or not constant")


def _check_widths(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for value in (*args, *kwargs.values()):
        if isinstance(value, int) and value > _MAX_TEXT:
            raise _OverBudget(f"a text of {value} characters")


def _checked(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        raise _OverBudget(f"a text of {len(value)} characters")
    return value


def _bounded(filter_function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(filter_function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        _budget.check_time()
        if filter_function.__name__ == "do_format":
            _check_format(str(args[0]))
        _check_widths(args, kwargs)
        return _checked(filter_function(*args, **kwargs))

    return bounded


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes for HTML, which no model was trained on.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: object) -> None:
    raise _Refused(str(message))


def _strftime_now(pattern: str) -> str:
    return datetime.datetime.now().strftime(pattern)


def _without_none(message: Any) -> dict[str, Any]:
    """A message whose keys all have a value: templates print an explicit None as text."""
    if not isinstance(message, dict):
        raise InvalidArgumentError(
            f"a message is a dict with 'role' and 'content', not {type(message).__name__}"
        )
    return {key: value for key, value in message.items() if value is not None}


def _with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """Templates read a message's reasoning under different names; give it under those in use."""
    for key in _REASONING_KEYS:
        if key in message:
            return {"thinking": message[key], **message, "reasoning_content": message[key]}
    return message


def _plain(value: Any) -> Any:
    """A copy made of JSON types alone, so that no method of a caller's object can be reached."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    for base in (str, int, float):
        if isinstance(value, base):
            return getattr(base, f"__{base.__name__}__")(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return f"<{type(value).__name__}>"
