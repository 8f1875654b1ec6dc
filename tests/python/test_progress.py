"""Progress of a load: a callback, or a bar on a terminal when it takes longer than a blink."""

import io
from contextlib import redirect_stderr
from types import SimpleNamespace

import pytest

from mdsa.models import loader
from mdsa.models.loader import LoadBar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(loader, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_quick_load_shows_nothing(clock):
    terminal = Terminal()
    with redirect_stderr(terminal), LoadBar("models/name", None) as bar:
        bar.callback("convert", 10, 100)
        clock[0] += 0.1
        bar.callback("convert", 100, 100)
    assert terminal.getvalue() == ""


def test_a_slow_load_shows_a_bar(clock):
    terminal = Terminal()
    with redirect_stderr(terminal), LoadBar("models/name/", None) as bar:
        bar.callback("read", 0, 100)
        clock[0] += 1.0
        bar.callback("convert", 50, 100)
        bar.callback("convert", 100, 100)
    shown = terminal.getvalue()
    assert "Loading name" in shown
    assert "100%" in shown


@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_no_bar_without_a_terminal(stream):
    with redirect_stderr(stream):
        assert LoadBar("name", None).callback is None


def test_the_caller_s_function_replaces_the_bar():
    def progress(phase, done, total):
        pass

    with redirect_stderr(Terminal()):
        assert LoadBar("name", progress).callback is progress
