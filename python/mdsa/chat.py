"""Chat templates: Jinja source that comes with a checkpoint, rendered as transformers renders it.

A template is somebody else's program. It runs in Jinja's immutable sandbox, sees plain data only,
and has a budget of loop steps, characters and time, so that a hostile one fails instead of hanging.
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from mdsa.errors import InvalidArgumentError, InvalidFormatError

_MAX_SOURCE = 1 << 18  # characters of a template; real ones have up to 30,000
_MAX_OUTPUT = 1 << 26  # characters of a rendered conversation
_MAX_DEPTH = 100  # of lists and dicts in each other
_REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
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
    plain = [
        _with_reasoning(_without_none(_plain(message, f"messages[{index}]")))
        for index, message in enumerate(messages)
    ]
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
    values = {name: _plain(value, name) for name, value in (variables or {}).items()}
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
    # Here, so that importing mdsa stays quick.
    import jinja2

    from mdsa.chat_budget import OverBudget, budget
    from mdsa.chat_sandbox import Refused

    if not isinstance(template, str):
        raise InvalidArgumentError(f"a chat template is a str, not {type(template).__name__}")
    if len(template) > _MAX_SOURCE:
        raise InvalidFormatError(
            f"chat template: {len(template)} characters, the limit is {_MAX_SOURCE}"
        )
    pieces: list[str] = []
    length = 0
    try:
        with budget.one_rendering(context):
            for piece in _compile(template).generate(context):
                length += len(piece)
                if length > _MAX_OUTPUT:
                    raise OverBudget(f"more than {_MAX_OUTPUT} characters of output")
                pieces.append(piece)
    except Refused as error:
        raise InvalidArgumentError(f"chat template: {error}") from error
    except jinja2.TemplateSyntaxError as error:
        raise InvalidFormatError(f"chat template: line {error.lineno}: {error.message}") from error
    except (jinja2.TemplateError, OverBudget) as error:
        raise InvalidFormatError(f"chat template: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise InvalidFormatError(f"chat template: {type(error).__name__}") from error
    except Exception as error:
        # Whatever else the template's own operations raise, e.g. a TypeError of text + number.
        raise InvalidFormatError(f"chat template: {type(error).__name__}: {error}") from error
    return "".join(pieces)


@functools.lru_cache(maxsize=64)
def _compile(template: str) -> Any:
    from mdsa.chat_sandbox import environment

    return environment().from_string(template)


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


def _plain(value: Any, where: str, depth: int = 0) -> Any:
    """A copy made of JSON types alone, so that no method of a caller's object can be reached."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if depth > _MAX_DEPTH:
        raise InvalidArgumentError(f"{where}: lists and dicts in each other, or in themselves")
    if isinstance(value, str):
        return str.__str__(value)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return _plain(value.item(), where, _MAX_DEPTH)  # a number of numpy
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, Mapping):
        return {
            _plain_key(key, where): _plain(item, f"{where}[{key!r}]", depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_plain(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name), f"{where}.{field.name}", depth + 1)
            for field in dataclasses.fields(value)
        }
    if callable(value):
        raise InvalidArgumentError(
            f"{where} is a function or class: describe it by a dict with its JSON schema, "
            "e.g. of transformers.utils.get_json_schema"
        )
    raise InvalidArgumentError(
        f"{where} is of type {type(value).__name__}: a template takes text, numbers, lists and dicts"
    )


def _plain_key(key: Any, where: str) -> Any:
    if key is None or isinstance(key, (str, numbers.Real)):
        return _plain(key, where)
    raise InvalidArgumentError(f"{where} has a key of type {type(key).__name__}; keys are text")
