"""mdsa config check: what a user or a script learns about a configuration file."""

import json

import pytest
from cli_support import MINILM, TINY_LLAMA, model


def test_summary_and_table(mdsa, write):
    file = write("[limits]\nmax_models = 2\nmax_memory = '8GB'\ntime_to_live = '10m'\n" +
                 model("search", f"./models/{MINILM}", "tier = 1\npreload = true\nrequired = true") +
                 model("chat", f"./models/{TINY_LLAMA}", "quantization = 'int8'\npin = true\ntime_to_live = 5") +
                 model("other", "some/llama", "time_to_live = '90s'\npreload = true"))
    outcome = mdsa("config", "check", file)
    assert outcome.code == 0 and outcome.err == ""
    lines = outcome.out.splitlines()
    assert lines[0] == "OK: 3 models, at most 2 resident, 8.00 GB"
    assert lines[1] == ""
    assert lines[2].split("  ")[0] == "id"
    search, chat, other = (line.split() for line in lines[3:])
    assert search[0] == "search" and search[1].endswith(f"/models/{MINILM}")
    assert search[2:9] == ["tier1", "none", "cpu", "128", "no", "10m", "required"] and search[-1] == "MB"
    assert 85 < float(search[-2]) < 110
    assert chat[2:9] == ["tier3", "int8", "auto", "512", "yes", "forever", "no"]
    assert other[1:9] == ["some/llama", "tier3", "none", "auto", "512", "no", "90s", "yes"]


def test_a_share_is_of_this_machine(mdsa, write):
    file = write("[limits]\nmax_memory = '50%'\n")
    total = mdsa("hw", "--json").json()["total_memory_bytes"]
    report = mdsa("config", "check", file, "--json").json()
    assert report["machine_memory_bytes"] == total
    assert report["limits"]["max_memory"] == "50%"
    assert abs(report["limits"]["max_memory_bytes"] - total / 2) <= 1
    assert mdsa("config", "check", file).out.startswith("OK: 0 models, at most 10 resident, ")
    assert "(50% of " in mdsa("config", "check", file).out


def test_json(mdsa, write, workspace):
    file = write("[store]\ncache_dir = './models'\n" + model("a", f"./models/{MINILM}", "tier = 1\nwarm_up = 'x'"))
    outcome = mdsa("config", "check", file, "--json")
    assert outcome.code == 0 and outcome.err == ""
    report = outcome.json()
    assert list(report) == ["file", "limits", "machine_memory_bytes", "cache_dir", "models", "warnings"]
    assert report["file"] == file and report["warnings"] == []
    assert report["cache_dir"].endswith("/models")
    assert report["limits"]["max_memory"] is None and report["limits"]["max_memory_bytes"] is None
    assert report["limits"]["time_to_live_seconds"] is None and report["limits"]["wait_timeout_seconds"] == 300
    (entry,) = report["models"]
    estimate = mdsa("estimate", MINILM, "-q", "none", "--max-length", "128", "--json").json()["estimates"][0]
    assert entry["resident_bytes"] == estimate["resident_bytes"]
    assert entry["peak_load_bytes"] == estimate["peak_load_bytes"]
    assert entry["path"] == entry["source"] and entry["path"].endswith(MINILM)
    assert entry["warm_up"] == "x" and entry["batch_size"] == 1 and entry["torch_dtype"] is None


def test_the_default_is_the_file_of_this_folder(mdsa):
    outcome = mdsa("config", "check")
    assert outcome.code == 0 and outcome.out.startswith("OK: 3 models, at most 2 resident, ")
    assert mdsa("config", "check", "--strict").out == outcome.out


def test_a_cache_dir_of_the_file_is_searched(mdsa, write):
    file = write("[store]\ncache_dir = 'models/hub'\n" + model("a", "some/llama"))
    report = mdsa("config", "check", file, "--json", env={"HF_HUB_CACHE": "/nonexistent"}).json()
    assert "models/hub/models--some--llama" in report["models"][0]["path"]


def test_a_missing_model_is_a_warning_or_an_error(mdsa, write):
    file = write(model("a", "./nothing") + model("b", "no/model"))
    outcome = mdsa("config", "check", file)
    assert outcome.code == 0 and outcome.err == ""
    assert outcome.out.count("not found") == 2 and outcome.out.count("\nwarning: model '") == 2
    report = mdsa("config", "check", file, "--json").json()
    assert [warning["code"] for warning in report["warnings"]] == ["not_found", "not_found"]
    assert report["models"][0]["path"] is None and report["models"][0]["resident_bytes"] is None
    strict = mdsa("config", "check", file, "--strict")
    assert strict.code == 3 and strict.out == ""
    error, hint = strict.err.splitlines()
    assert error.startswith("mdsa: error: model 'a': ") and "all 2 warnings" in hint
    as_json = mdsa("config", "check", file, "--strict", "--json")
    assert as_json.code == 3 and as_json.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("limits,more,code,words", [
    ("max_memory = '1MB'", "", "resource_exhausted", "more than max_memory"),
    ("max_models = 1", "pin = true", "resource_exhausted", "2 models are pinned"),
    ("", "device = 'cuda:77'", "unsupported", "cuda:77"),
])
def test_what_cannot_be_had_is_a_warning(mdsa, write, limits, more, code, words):
    source = f"./models/{MINILM}"
    file = write(f"[limits]\n{limits}\n" + model("a", source, more) + model("b", source, more))
    outcome = mdsa("config", "check", file, "--json")
    assert outcome.code == 0
    warnings = outcome.json()["warnings"]
    assert warnings and all(warning["code"] == code and words in warning["message"] for warning in warnings)


def test_a_folder_that_is_no_model_is_a_warning(mdsa, write, tmp_path):
    (tmp_path / "empty").mkdir()
    outcome = mdsa("config", "check", write(model("a", "./empty")))
    assert outcome.code == 0 and "unknown" in outcome.out and "warning: model 'a': " in outcome.out


def test_mistakes_have_their_place(mdsa, write):
    file = write("[limits]\n\nmax_modells = 3\n")
    outcome = mdsa("config", "check", file)
    assert outcome.code == 2 and outcome.out == ""
    assert outcome.err == (f"mdsa: error: {file}:3:1: unknown key 'max_modells' in [limits]; "
                           "did you mean 'max_models'?\n")
    as_json = mdsa("config", "check", file, "--json")
    assert as_json.code == 2 and as_json.json()["error"]["code"] == "invalid_argument"


def test_hostile_text_cannot_drive_the_terminal(mdsa, write):
    for text in ('"\\u001b[31m" = 1\n', model("a", "b").replace("'a'", '"\\u009b"')):
        outcome = mdsa("config", "check", write(text))
        assert "\x1b" not in outcome.err + outcome.out and "\x9b" not in outcome.err + outcome.out


def test_a_file_that_cannot_be_read(mdsa, tmp_path):
    missing = mdsa("config", "check", "none.toml")
    assert missing.code == 3 and "none.toml" in missing.err and "hint: " in missing.err
    assert mdsa("config", "check", str(tmp_path)).code == 8
    (tmp_path / "large.toml").write_bytes(b"\n" * (2**20 + 1))
    assert mdsa("config", "check", str(tmp_path / "large.toml")).code == 2
    (tmp_path / "deep.toml").write_bytes(b"a." * 400_000 + b"a = 1\n")
    assert mdsa("config", "check", str(tmp_path / "deep.toml")).code == 2


@pytest.mark.parametrize("arguments,hint", [
    (["config"], "mdsa config --help"), (["config", "chek"], "mdsa config --help"),
    (["config", "check", "a", "b"], "mdsa config check --help"), (["config", "check", "--bad"], "mdsa config check --help")])
def test_wrong_usage_names_the_command(mdsa, arguments, hint):
    outcome = mdsa(*arguments)
    assert outcome.code == 2 and outcome.out == "" and hint in outcome.err
    assert json.loads(mdsa(*arguments, "--json").out)["error"]["code"] == "invalid_argument"


def test_help_names_the_whole_command(mdsa):
    outcome = mdsa("config", "check", "--help")
    assert outcome.code == 0 and "Usage: mdsa config check [FILE] [OPTIONS]" in outcome.out
    assert all(len(line) <= 100 for line in outcome.out.splitlines())
