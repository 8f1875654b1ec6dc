"""The command line agrees with the library, with the Python package and with its docs."""

import re

import pytest
from cli_support import ROOT, SMOLLM2, TINY_LLAMA


def test_estimate_counts_with_the_context_at_most(mdsa):
    capped = mdsa("estimate", TINY_LLAMA, "--max-length", "1000000", "--json").json()
    assert capped["max_length"] == 128
    assert capped == mdsa("estimate", TINY_LLAMA, "--max-length", "128", "--json").json()
    assert "of 128 tokens" in mdsa("estimate", TINY_LLAMA, "--max-length", "1000000").out


@pytest.mark.parametrize("command", [["inspect"], ["estimate"], ["run"]], ids=str)
def test_cache_dir_comes_before_the_other_places(mdsa, workspace, tmp_path, command):
    home = workspace / "home/.mdsa/models"
    tail = ["x", "-n", "1"] if command == ["run"] else []
    repository = home / "models--home--llama"
    if not repository.exists():
        home.mkdir(parents=True, exist_ok=True)
        repository.symlink_to(workspace / "hub/models--some--llama")
    assert mdsa(*command, "home/llama", *tail, "--cache-dir", tmp_path).code == 0
    if command == ["run"]:
        error = mdsa(*command, "no/model", *tail, "--cache-dir", tmp_path).err
        assert error.count(str(tmp_path)) == 1 and error.splitlines()[0].count(str(home)) == 1


def test_exit_codes_of_the_docs(mdsa):
    text = (ROOT / "docs/cli.md").read_text()
    documented = {
        code: int(number)
        for number, codes in re.findall(r"^\| (\d+) \| ([^|]*) \|", text, re.MULTILINE)
        for code in re.findall(r"`(\w+)`", codes)
    }
    source = (ROOT / "include/mdsa/result.h").read_text()
    names = [re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() for name in re.findall(r"^  k(\w+),  ", source, re.M)]
    assert set(documented) == set(names)
    mapping = (ROOT / "apps/mdsa/exit_code.cc").read_text()
    constants = dict(re.findall(r"(kExit\w+) = (\d+)", (ROOT / "apps/mdsa/exit_code.h").read_text()))
    waiting = []
    for name, value in re.findall(r"case ErrorCode::k(\w+):|return (\w+);", mapping):
        if name:
            waiting.append(re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower())
            continue
        for code in waiting:
            assert documented[code] == int(constants.get(value, value)), code
        waiting = []


def test_prompt_tokens_are_those_of_the_chat_template(mdsa, workspace):
    from mdsa import ModelConfig, ModelLoader

    _, tokenizer = ModelLoader().load(ModelConfig.for_tier3(str(workspace / SMOLLM2), device="cpu"))
    question = {"role": "user", "content": "Why is the sky blue?"}
    system = {"role": "system", "content": "Answer like a pirate."}
    for messages, options in (([question], []), ([system, question], ["--system", system["content"]])):
        answer = mdsa("run", SMOLLM2, question["content"], "-n", "1", "--json", *options).json()
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        assert answer["prompt_tokens"] == len(ids["input_ids"])
