"""docs/configuration.md: its example is a valid configuration, and its tables name every key and default."""

import json
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/configuration.md").read_text()


def check(file: pathlib.Path) -> dict:
    done = subprocess.run([os.environ["MDSA_CLI"], "config", "check", "--json", file], capture_output=True, text=True,
                          timeout=60)
    return json.loads(done.stdout)


def table_rows(heading: str) -> dict[str, list[str]]:
    """The cells of a section's first table, by the key they describe."""
    table = TEXT.split(f"\n## {heading}", 1)[1].split("\n\n")[1]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


def known_keys(tmp_path, header: str) -> set[str]:
    file = tmp_path / "unknown.toml"
    needed = "id = 'a'\nsource = 'b'\n" if header == "[[model]]" else ""
    file.write_text(f"{header}\n{needed}no_such_key_at_all = 1\n")
    return set(check(file)["error"]["message"].split("; known are ")[1].split(", "))


def test_example_is_valid(tmp_path):
    (example,) = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    file = tmp_path / "mdsa.toml"
    file.write_text(example)
    report = check(file)
    assert [model["id"] for model in report["models"]] == ["search", "sentiment", "chat"]
    assert report["limits"]["max_models"] == 2
    assert report["cache_dir"] == str(tmp_path / "models")


@pytest.mark.parametrize("header", ["[limits]", "[store]", "[[model]]"])
def test_tables_name_every_key(tmp_path, header):
    assert set(table_rows(f"`{header}`")) == known_keys(tmp_path, header)


def test_documented_defaults_of_limits_are_the_defaults(tmp_path):
    """A file that sets every documented default means the same as one that sets none."""
    lines = [f"{key} = {cells[1].strip('`')}" for key, cells in table_rows("`[limits]`").items()
             if not cells[1].startswith("no ")]
    assert len(lines) == 8
    spelt, empty = tmp_path / "spelt.toml", tmp_path / "empty.toml"
    spelt.write_text("\n".join(["[limits]", *lines]))
    empty.write_text("")
    assert check(spelt)["limits"] == check(empty)["limits"]


def test_documented_defaults_of_models_are_the_defaults(tmp_path):
    rows = table_rows("`[[model]]`")
    keys = ["quantization", "device", "max_length", "batch_size", "temperature", "pin", "preload", "required"]
    least = "[[model]]\nid = 'a'\nsource = 'no/model'\n"
    spelt, empty = tmp_path / "spelt.toml", tmp_path / "empty.toml"
    spelt.write_text(least + "".join(f"{key} = {rows[key][1].strip('`')}\n" for key in keys))
    empty.write_text(least)
    assert check(spelt)["models"] == check(empty)["models"]


@pytest.mark.parametrize("tier", [1, 2, 3])
def test_documented_presets(tmp_path, tier):
    (row,) = re.findall(rf"^\| {tier} \| `\"(\w+)\"` \| `\"(\w+)\"` \| (\d+) \|$", TEXT, re.MULTILINE)
    file = tmp_path / "mdsa.toml"
    file.write_text(f"[[model]]\nid = 'a'\nsource = 'no/model'\ntier = {tier}\n")
    (model,) = check(file)["models"]
    assert (model["device"], model["quantization"], str(model["max_length"])) == row
    assert model["tier"] == f"tier{tier}"
