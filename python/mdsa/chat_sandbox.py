"""Jinja for chat templates: what templates of the Hub use, each step paid for."""

from __future__ import annotations

import datetime
import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jinja2 import ext, filters, nodes, sandbox, visitor

from mdsa.chat_budget import (
    OverBudget,
    budget,
    check_braces,
    check_method,
    check_number,
    check_operands,
    check_percent,
    check_replace,
    check_width,
    checked,
    printable,
    size_of,
)

_FILTERS = (
    "abs capitalize center count d default dictsort e escape first float format indent int items "
    "last length list lower map max min reject rejectattr replace reverse round safe select "
    "selectattr sort title trim truncate unique upper"
).split()
_TEXT_METHODS = frozenset(
    (
        "capitalize casefold center count endswith find format index isalnum isalpha isascii "
        "isdecimal isdigit islower isnumeric isspace istitle isupper join ljust lower lstrip "
        "partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip "
        "split splitlines startswith strip swapcase title upper zfill"
    ).split()
)
# Parameters of the filters that can make a text longer.
_PARAMETERS = {
    "center": ("width",),
    "indent": ("width", "first", "blank"),
    "replace": ("old", "new", "count"),
    "round": ("precision", "method"),
}
_MAX_DIGITS = 100  # of a rounded number
_MAX_JSON_INDENT = 100
_CALL_COST = 50  # a call takes about as long as so many nodes


class Refused(Exception):
    """raise_exception() of a template: it does not take these messages."""


def _check_filter(name: str, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for argument in (*args, *kwargs.values()):
        check_number(argument)
    named = dict(zip(_PARAMETERS.get(name, ()), args, strict=False)) | kwargs
    if isinstance(value, str):
        budget.text(len(value))
    if name == "round":
        precision = named.get("precision", 0)
        if isinstance(precision, int) and abs(precision) > _MAX_DIGITS:
            raise OverBudget(f"a number rounded to more than {_MAX_DIGITS} digits")
    elif name == "replace":
        check_replace(text_of(value), named.get("old"), named.get("new"))
    elif name == "center":
        check_width(text_of(value), named.get("width", 80))
    elif name == "indent":
        text, width = text_of(value), named.get("width", 4)
        width = width if isinstance(width, int) else size_of(width)
        budget.text(len(text) + (len(text.splitlines()) + 1) * max(width, 0))
    elif name == "format":
        check_percent(text_of(value), [list(args), kwargs])


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of Jinja, checked before and after."""
    skipped = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        budget.step()
        _check_filter(name, args[skipped], args[skipped + 1 :], kwargs)
        return checked(function(*args, **kwargs))

    return bounded


def _concatenate(values: list[Any]) -> str:
    budget.text(size_of([printable(value) for value in values]))
    return "".join(map(str, values))


def _join_pieces(pieces: Iterable[str]) -> str:
    pieces = list(pieces)
    budget.text(sum(map(len, pieces)))
    return "".join(pieces)


def text_of(value: Any) -> str:
    printable(value)
    return value if isinstance(value, str) else str(value)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes for HTML, which no model was trained on.
    budget.text(size_of(value))
    if indent is not None and (indent if isinstance(indent, int) else len(indent)) > _MAX_JSON_INDENT:
        raise OverBudget(f"JSON indented by more than {_MAX_JSON_INDENT}")
    encoder = json.JSONEncoder(
        ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
    size, pieces = 0, []
    for piece in encoder.iterencode(value):
        size += len(piece)
        if size > budget.max_text:
            raise OverBudget(f"JSON of more than {budget.max_text} characters")
        pieces.append(piece)
    budget.text(size)
    return "".join(pieces)


def _steps(values: Iterable[Any], cost: int) -> Iterator[Any]:
    """What a loop runs over; pays for each step."""
    for value in values:
        budget.step(cost)
        yield value


def _range(*arguments: int) -> range:
    values = range(*arguments)
    budget.step(len(values))
    return values


def _raise_exception(message: object) -> None:
    raise Refused(text_of(message))


def _strftime_now(pattern: str) -> str:
    # The C library takes a width in a conversion, too.
    if len(pattern) > 200 or re.search(r"%[-_0^#+]*\d", pattern):
        raise OverBudget("a date format that is very long or has a width")
    return datetime.datetime.now().strftime(pattern)


class _GenerationTag(ext.Extension):
    """{% generation %} marks the assistant's text; here the marks have no effect."""

    tags = {"generation"}

    def parse(self, parser: Any) -> Any:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


class _Meter(visitor.NodeTransformer):
    """Makes loops, macros and literals pay. Names with a space cannot occur in a template."""

    def _filter(self, node: Any, name: str, *arguments: int) -> Any:
        constants = [nodes.Const(argument) for argument in arguments]
        return nodes.Filter(node, name, constants, [], None, None).set_lineno(node.lineno)

    def _cost(self, node: Any) -> int:
        return 4 + sum(1 for _ in node.find_all(nodes.Node))

    def visit_For(self, node: Any) -> Any:
        self.generic_visit(node)
        if node.recursive:
            raise OverBudget("recursive loops are not supported")
        node.iter = self._filter(node.iter, " steps", self._cost(node))
        return node

    def _visit_callable(self, node: Any) -> Any:
        self.generic_visit(node)
        zero = nodes.Const(0).set_lineno(node.lineno)
        fee = nodes.ExprStmt(self._filter(zero, " fee", _CALL_COST + self._cost(node)))
        node.body.insert(0, fee.set_lineno(node.lineno))
        return node

    visit_Macro = visit_CallBlock = visit_Block = _visit_callable

    def _visit_literal(self, node: Any) -> Any:
        self.generic_visit(node)
        return node if getattr(node, "ctx", "load") != "load" else self._filter(node, " sized")

    visit_List = visit_Tuple = visit_Dict = _visit_literal

    def visit_Concat(self, node: Any) -> Any:
        self.generic_visit(node)
        values = nodes.List(node.nodes).set_lineno(node.lineno)
        return self._filter(values, " concatenated")

    def visit_Const(self, node: Any) -> Any:
        check_number(node.value)
        return node


class Sandbox(sandbox.ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(sandbox.SandboxedEnvironment.default_binop_table)
    concat = staticmethod(_join_pieces)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        check_operands(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Any, callee: Any, /, *args: Any, **kwargs: Any) -> Any:
        budget.step()
        owner = getattr(callee, "__self__", None)
        if isinstance(owner, str):
            args = check_method(owner, callee.__name__, args)
        return checked(super().call(context, callee, *args, **kwargs))

    def getattr(self, obj: Any, attribute: str) -> Any:
        budget.step()
        if isinstance(obj, (int, float)) or (
            isinstance(obj, str) and attribute not in _TEXT_METHODS
        ):
            return self.undefined(obj=obj, name=attribute)
        found = super().getattr(obj, attribute)
        if isinstance(obj, str) and attribute == "format":

            def bounded_format(*args: Any, **kwargs: Any) -> str:
                check_braces(obj, [args, kwargs])
                return found(*args, **kwargs)

            return bounded_format
        return found

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, (str, int, float)) and isinstance(argument, str):
            return self.getattr(obj, argument)
        budget.step()
        return super().getitem(obj, argument)

    def _parse(self, source: str, name: Any, filename: Any) -> Any:
        return _Meter().visit(super()._parse(source, name, filename))


@functools.cache
def environment() -> Sandbox:
    """Thread-safe; to be used inside of budget.one_rendering()."""
    sandboxed = Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationTag, ext.loopcontrols],
        finalize=printable,
        optimized=False,  # it would run a fee while compiling, and only then
    )

    def join(values: Iterable[Any], d: str = "", attribute: Any = None) -> str:
        budget.step()
        if attribute is not None:
            values = map(filters.make_attrgetter(sandboxed, attribute), values)
        return str.join(d, check_method(d, "join", ([text_of(value) for value in values],))[0])

    known = {name: _bounded(name, sandboxed.filters[name]) for name in _FILTERS}
    known |= {"join": join, "string": text_of, "tojson": _to_json}
    known |= {" steps": _steps, " sized": checked, " concatenated": _concatenate}
    known[" fee"] = lambda _, cost: budget.step(cost)
    sandboxed.filters = known
    divisible = sandboxed.tests["divisibleby"]
    sandboxed.tests["divisibleby"] = lambda value, by: divisible(checked(value), checked(by))
    sandboxed.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
        "range": _range,
    }
    del sandboxed.globals["lipsum"]  # makes text of any length
    return sandboxed
