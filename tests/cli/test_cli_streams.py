"""Pipes, terminals and signals."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios

import pytest
from cli_support import MINILM, SMOLLM2, TINY_LLAMA

# Portable kernels on one thread: this load takes longer than a blink on any machine.
SLOW_LOAD = {"MDSA_CPU_TARGET": "portable", "MDSA_PROGRESS_DELAY_MS": "0"}
SLOW_RUN = ["run", SMOLLM2, "a", "-n", "1", "-q", "int4", "--threads", "1"]
ENDLESS = ["run", SMOLLM2, "Tell a very long story.", "--min-new-tokens", "4000", "-n", "4000"]


class Terminal:
    """A pseudo-terminal of `columns`; what is written to `side` is read with read_all."""

    def __init__(self, columns=80):
        self.main, self.side = pty.openpty()
        fcntl.ioctl(self.side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read_all(self) -> bytes:
        """To be called when the program has its copy of `side`: reads until it ends."""
        os.close(self.side)
        data = b""
        while True:
            try:
                piece = os.read(self.main, 65536)
            except OSError:  # Linux says EIO when the other side is closed
                piece = b""
            if not piece:
                os.close(self.main)
                return data
            data += piece


def test_no_progress_without_a_terminal(mdsa):
    outcome = mdsa(*SLOW_RUN, env=SLOW_LOAD)
    assert outcome.code == 0 and outcome.err == ""


def test_progress_bar_on_a_terminal(mdsa):
    terminal = Terminal()
    process = mdsa.start(*SLOW_RUN, env=SLOW_LOAD | {"TERM": "xterm"}, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=terminal.side)
    drawn = terminal.read_all()
    assert process.wait(60) == 0
    assert b"\x1b" not in process.stdout.read()
    assert b"Loading SmolLM2-135M-Instruct.Q4_1.gguf" in drawn and b"%" in drawn and b"\x1b[36m" in drawn
    assert drawn.endswith(b"\r\x1b[K")
    assert b"\n" not in drawn


@pytest.mark.parametrize("environment", [{"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_terminals_that_want_less(mdsa, environment):
    terminal = Terminal(columns=50)
    process = mdsa.start(*SLOW_RUN, env=SLOW_LOAD | environment, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=terminal.side)
    drawn = terminal.read_all()
    assert process.wait(60) == 0
    assert b"\x1b[36m" not in drawn
    assert bool(drawn) == (environment["TERM"] != "dumb")
    assert all(len(picture) < 50 for picture in drawn.split(b"\r\x1b[K"))


@pytest.mark.parametrize("command", ["run", "embed"])
def test_terminal_without_a_text(mdsa, command):
    terminal = Terminal()
    process = mdsa.start(command, TINY_LLAMA, stdin=terminal.side, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    os.close(terminal.side), os.close(terminal.main)
    assert process.returncode == 2 and out == b""
    assert b"standard input" in err


def test_generated_control_characters_do_not_reach_a_terminal(mdsa):
    terminal = Terminal()
    # A random model over bytes: soon or later it says ESC or another control character.
    process = mdsa.start("run", TINY_LLAMA, "x", "-n", "100", "-t", "2", "--top-k", "0", "--seed", "3",
                         stdin=subprocess.DEVNULL, stdout=terminal.side, stderr=subprocess.PIPE)
    shown = terminal.read_all()
    assert process.wait(60) == 0
    assert not set(shown) & (set(range(32)) - {9, 10, 13})


def test_text_is_streamed_and_ctrl_c_ends_it(mdsa):
    process = mdsa.start(*ENDLESS, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = process.stdout.read(1)
    assert first and process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == b"" and out.endswith(b"\n")


def test_ctrl_c_with_json_gives_what_there_is(mdsa):
    terminal = Terminal()
    process = mdsa.start(*ENDLESS, "--json", env=SLOW_LOAD | {"TERM": "xterm"}, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=terminal.side)
    drawn = b""
    while not drawn.endswith(b"\r\x1b[K"):  # the bar is gone: it generates
        drawn += os.read(terminal.main, 65536)
    process.send_signal(signal.SIGINT)
    os.close(terminal.side)
    out, _ = process.communicate(timeout=60)
    os.close(terminal.main)
    assert process.returncode == 130
    answer = json.loads(out)
    assert answer["finish_reason"] == "cancelled"
    assert answer["completion_tokens"] < 4000


def test_closed_standard_streams(mdsa):
    """Their numbers must not go to a file or pipe of the program itself."""
    for command in ("embed", "run"):
        outcome = mdsa.shell(f"mdsa {command} {TINY_LLAMA} <&-")
        assert outcome.code == 8 and "standard input: Bad file descriptor" in outcome.err
    outcome = mdsa.shell("mdsa hw >&-")
    assert outcome.code == 8 and "standard output: Bad file descriptor" in outcome.err
    outcome = mdsa.shell("mdsa hw 2>&-")
    assert outcome.code == 0 and outcome.out


def test_a_pipe_that_is_non_blocking(mdsa):
    (reader, writer), (out_reader, out_writer) = os.pipe(), os.pipe()
    for fd in (reader, out_writer):
        os.set_blocking(fd, False)
    process = mdsa.start("run", TINY_LLAMA, "--raw", "-n", "4", stdin=reader, stdout=out_writer,
                         stderr=subprocess.PIPE)
    os.close(reader), os.close(out_writer)
    os.write(writer, b"some text")
    os.close(writer)
    err = process.stderr.read()
    os.close(out_reader)
    assert process.wait(60) == 0, err


def test_output_waits_for_the_reader_of_a_non_blocking_pipe(mdsa):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # More than a pipe holds, so that a write finds it full.
    process = mdsa.start("inspect", SMOLLM2, "--tensors", "--json", stdin=subprocess.DEVNULL, stdout=writer,
                         stderr=subprocess.PIPE)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.close(writer)
    with open(reader, "rb") as pipe:
        out = pipe.read()
    assert process.wait(60) == 0, process.stderr.read()
    assert json.loads(out)["tensors"]


def test_reader_that_goes_away(mdsa):
    process = mdsa.start(*ENDLESS, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(1)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(60) == 0 and err == b""


def test_reader_that_went_before_the_start(mdsa):
    for command in (["hw"], ["inspect", TINY_LLAMA, "--tensors"], ["embed", MINILM, "x"], ["--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        process = mdsa.start(*command, stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert process.stderr.read() == b"" and process.wait(60) == 0


@pytest.mark.parametrize("command", [["hw"], ["hw", "--json"], ["run", TINY_LLAMA, "x", "-n", "3"]], ids=str)
def test_full_disk(mdsa, command):
    with open("/dev/full", "wb") as full:
        process = mdsa.start(*command, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE)
        err = process.stderr.read()
    assert process.wait(60) == 8
    assert err.startswith(b"mdsa: error: standard output: ")


def test_embed_answers_each_line_as_it_comes(mdsa):
    process = mdsa.start("embed", MINILM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for text in (b"one\n", b"two\n"):
        process.stdin.write(text)
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], 60)
        assert ready and process.stdout.readline().startswith(b"[")
    process.send_signal(signal.SIGINT)  # while it waits for the next line
    assert process.wait(timeout=60) == 130  # before its input is closed, which would end it too
    assert process.stderr.read() == b"mdsa: error: cancelled\n"


def test_ctrl_c_leaves_nothing_of_a_quantization(mdsa, tmp_path):
    terminal = Terminal()
    process = mdsa.start("quantize", MINILM, tmp_path / "out", "-q", "int4", env=SLOW_LOAD | {"TERM": "xterm"},
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=terminal.side)
    os.close(terminal.side)
    os.read(terminal.main, 1)  # the first picture of its bar: it works on the tensors
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    os.close(terminal.main)
    assert process.returncode == 130
    assert os.listdir(tmp_path) == []
