"""docs/residency.md, or docs/cli.md, names every limit, event, reason, verdict and metric that the headers declare."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/residency.md").read_text() + (ROOT / "docs/cli.md").read_text()
HEADER = (ROOT / "include/mdsa/residency.h").read_text()
NAMES = (ROOT / "src/models/residency_options.cc").read_text()


def fields(struct: str) -> list[str]:
    body = re.search(rf"^struct {struct} {{\n(.*?)^}};", HEADER, re.MULTILINE | re.DOTALL).group(1)
    body = re.sub(r"//.*", "", body)
    found = re.findall(r"^ +[\w:<>, ]+(?:<[^;]*>)? (\w+)(?: =[^;]*|\{[^;]*\})?;", body, re.MULTILINE)
    assert len(found) >= 8, found
    return found


def names(table: str) -> list[str]:
    return re.findall(r'"(\w+)"', re.search(rf"{table} = {{(.*?)}};", NAMES, re.DOTALL).group(1))


@pytest.mark.parametrize("name", fields("ResidencyOptions") + fields("ModelEvent") + fields("ResidencyMetrics"))
def test_fields_are_documented(name):
    assert f"`{name}`" in TEXT or name == "kind"  # which is the row of the table


@pytest.mark.parametrize("name", names("kReasonNames") + names("kEventNames") + names("kVerdictNames"))
def test_names_are_documented(name):
    assert f"`{name}`" in TEXT
