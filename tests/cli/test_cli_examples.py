"""Every example of --help and of docs/cli.md runs as written."""

import re
import subprocess

import pytest
from cli_support import CLI, ROOT

COMMANDS = ["run", "embed", "classify", "estimate", "explain", "inspect", "quantize", "config", "config check", "hw",
            "version"]


def help_examples() -> list[str]:
    lines = []
    for command in COMMANDS:
        text = subprocess.run([CLI, *command.split(), "--help"], capture_output=True, text=True, timeout=60).stdout
        examples = text.split("Examples:\n")[1]
        lines += [line.strip() for line in examples.splitlines() if line.startswith("  ")]
    return lines


def documented() -> list[tuple[str, int]]:
    """The lines after "$ " of the console blocks, with the exit code that a comment names."""
    text = (ROOT / "docs/cli.md").read_text()
    lines = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
            code = re.search(r"# exit code (\d+)$", line)
            lines.append((line, int(code.group(1)) if code else 0))
    return lines


@pytest.fixture
def shell(workspace, mdsa, tmp_path):
    """Runs a line in a folder of its own: what one example writes is not there for the next."""
    for entry in workspace.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    return lambda line: mdsa.shell(f"cd {tmp_path} && {line}")


@pytest.mark.parametrize("line", help_examples())
def test_help_example(shell, line):
    outcome = shell(line)
    assert outcome.code == 0, outcome.err
    assert outcome.out.strip() or ">" in line


def test_docs_have_examples_of_every_command():
    assert {command for command in COMMANDS if any(f"mdsa {command}" in line for line, _ in documented())} == \
        set(COMMANDS)


def test_docs_name_every_option(mdsa):
    text = (ROOT / "docs/cli.md").read_text()
    for command in COMMANDS:
        for option in re.findall(r"^  .*?(--[a-z-]+)", mdsa(*command.split(), "--help").out, re.MULTILINE):
            assert f"`{option}" in text, f"{option} of {command}"


@pytest.mark.parametrize("line,code", documented())
def test_documented_example(shell, line, code):
    outcome = shell(line)
    assert outcome.code == code, outcome.err
