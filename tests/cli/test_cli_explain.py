"""mdsa explain: what a load would do to the models that are resident, and why."""

import json
import re

import pytest
from cli_support import MINILM, SMOLLM2, TINY_LLAMA, model

SEARCH = f"./models/{MINILM}"
CHAT = f"./models/{SMOLLM2}"
TINY = f"./models/{TINY_LLAMA}"

SCHEMA = {"model_id": str, "source": str, "quantization": str, "config": str, "verdict": str, "reason": str,
          "approximate": bool, "resident_bytes": int, "call_bytes": int, "peak_bytes": int, "models": int,
          "max_models": int, "reserved_bytes": int, "limit_bytes": int, "machine_bytes": int, "victims": list,
          "kept": list, "note": type(None)}


@pytest.fixture
def explain(mdsa):
    """The answer for a model of a configuration, or for a path, as JSON and with the expected exit code."""
    def ask(*arguments, code=0):
        outcome = mdsa("explain", *arguments, "--json")
        assert outcome.code == code, outcome.out + outcome.err
        assert outcome.err == ""
        return outcome.json()
    return ask


def ids(models: list[dict]) -> list[str]:
    return [entry["model_id"] for entry in models]


def test_fits(explain, write):
    file = write("[limits]\nmax_memory = '4GB'\n" + model("search", SEARCH, "preload = true\npin = true") +
                 model("chat", CHAT, "tier = 3"))
    answer = explain("chat", "--config", file)
    assert {key: type(value) for key, value in answer.items()} == SCHEMA
    assert answer["verdict"] == "fits" and answer["quantization"] == "int4" and answer["config"] == file
    assert answer["models"] == 1 and answer["max_models"] == 10 and answer["limit_bytes"] == 4_000_000_000
    assert answer["victims"] == [] and ids(answer["kept"]) == ["search"]
    assert {key: type(value) for key, value in answer["kept"][0].items()} == \
        {"model_id": str, "bytes": int, "approximate": bool, "reason": str}
    assert answer["kept"][0]["reason"] == "pinned"
    assert answer["kept"][0]["bytes"] == answer["reserved_bytes"]
    assert answer["peak_bytes"] >= answer["resident_bytes"] + answer["call_bytes"]


def test_sizes_are_those_of_the_estimate(explain, mdsa, write):
    file = write(model("chat", CHAT, "quantization = 'int8'\nmax_length = 256"))
    answer = explain("chat", "--config", file)
    estimate = mdsa("estimate", SMOLLM2, "-q", "int8", "--max-length", "256", "--json").json()["estimates"][0]
    assert answer["resident_bytes"] == estimate["weights_bytes"] + estimate["tokenizer_bytes"]
    assert answer["peak_bytes"] == max(estimate["peak_load_bytes"], answer["resident_bytes"] + answer["call_bytes"])


def test_evicts_for_the_count_the_least_recently_used(explain, write):
    file = write("[limits]\nmax_models = 2\n" + model("a", TINY) + model("b", TINY) + model("chat", CHAT))
    for first, second in [("a", "b"), ("b", "a")]:
        answer = explain("chat", "--config", file, "--resident", first, "--resident", second)
        assert answer["verdict"] == "evicts" and answer["models"] == 2
        assert ids(answer["victims"]) == [first] and answer["victims"][0]["reason"] == "count"
        assert ids(answer["kept"]) == [second]


def test_evicts_for_bytes_no_more_than_needed(explain, write):
    text = model("tiny", TINY) + model("search", SEARCH) + model("chat", CHAT, "tier = 3")
    needed = explain("chat", "--config", write(text))["peak_bytes"]
    file = write(f"[limits]\nmax_memory = {needed + 20_000_000}\n" + text)
    answer = explain("chat", "--config", file, "--resident", "tiny", "--resident", "search")
    assert answer["verdict"] == "evicts"
    # The older one is small: that it went too would not help.
    assert ids(answer["victims"]) == ["search"] and answer["victims"][0]["reason"] == "bytes"
    assert 90e6 < answer["victims"][0]["bytes"] < 150e6
    assert ids(answer["kept"]) == ["tiny"]


def test_refused_because_of_pins_names_them(explain, mdsa, write):
    file = write("[limits]\nmax_models = 2\n" + model("first", TINY, "pin = true\npreload = true") +
                 model("second", TINY, "pin = true\npreload = true") + model("chat", CHAT))
    answer = explain("chat", "--config", file, code=6)
    assert answer["verdict"] == "refused" and answer["victims"] == []
    assert "'first' (" in answer["reason"] and "'second' (" in answer["reason"] and "pinned" in answer["reason"]
    assert {entry["reason"] for entry in answer["kept"]} == {"pinned"}
    outcome = mdsa("explain", "chat", "--config", file)
    assert outcome.code == 6 and outcome.err == ""
    assert outcome.out.startswith("refused: ") and "unpin" in outcome.out


def test_refused_because_it_is_larger_than_max_memory(explain, write):
    file = write("[limits]\nmax_memory = '20MB'\n" + model("tiny", TINY, "preload = true") + model("chat", CHAT))
    answer = explain("chat", "--config", file, code=6)
    assert answer["verdict"] == "refused" and "of 20 MB" in answer["reason"]
    assert ids(answer["kept"]) == ["tiny"] and answer["kept"][0]["reason"] == "idle"
    assert answer["peak_bytes"] > answer["limit_bytes"] == 20_000_000


def test_one_that_is_preloaded_is_resident(explain, write):
    file = write(model("search", SEARCH, "preload = true") + model("tiny", TINY))
    assert explain("search", "--config", file)["verdict"] == "resident"
    # As a request would, it says what differs.
    error = explain("search", "--config", file, "-q", "int8", code=7)["error"]
    assert error["code"] == "failed_precondition" and "quantization" in error["message"]
    assert explain("search", "--config", file, "--resident", "tiny")["verdict"] == "fits"


def test_times_of_the_file_do_not_matter(explain, write):
    file = write("[limits]\nmax_models = 1\ntime_to_live = '0s'\nmin_residency = '1h'\n" +
                 model("tiny", TINY, "preload = true\ntime_to_live = '0s'") + model("search", SEARCH))
    answer = explain("search", "--config", file)
    assert answer["verdict"] == "evicts" and ids(answer["victims"]) == ["tiny"]


def test_options_win_over_the_file(explain, write):
    file = write(model("chat", CHAT, "tier = 3"))
    short = explain("chat", "--config", file, "--max-length", "128")
    assert short["call_bytes"] < explain("chat", "--config", file)["call_bytes"]
    assert explain("chat", "--config", file, "-q", "int8")["quantization"] == "int8"


def test_a_model_that_the_file_does_not_declare(explain, write):
    file = write("[limits]\nmax_models = 1\n" + model("tiny", TINY, "preload = true"))
    answer = explain(SMOLLM2, "--config", file, "-q", "int4")
    assert answer["model_id"] == answer["source"] == SMOLLM2 and ids(answer["victims"]) == ["tiny"]


def test_without_a_configuration(mdsa, workspace, tmp_path):
    outcome = mdsa.shell(f"cd {tmp_path} && mdsa explain {workspace / MINILM} && "
                         f"mdsa explain {workspace / MINILM} --json")
    assert outcome.code == 0, outcome.err
    text, report = outcome.out.split("{", 1)
    assert "of at most 10 (the default)" in text and "no limit" in text
    report = json.loads("{" + report)
    assert report["config"] is None and report["limit_bytes"] is None and report["verdict"] == "fits"


def test_the_default_is_the_file_of_this_folder(mdsa):
    outcome = mdsa("explain", "chat", "--resident", "search", "--resident", "sentiment")
    assert outcome.code == 0 and outcome.err == ""
    lines = outcome.out.splitlines()
    assert lines[0] == "evicts: it fits once 1 model is gone"
    assert re.fullmatch(r"resident +[0-9.]+ MB  weights and tokenizer", lines[2])
    assert re.fullmatch(r"one call +[0-9.]+ MB  reserved with the model", lines[3])
    assert re.fullmatch(r"peak of load +[0-9.]+ MB  reserved while it loads", lines[4])
    assert re.fullmatch(r"models +2  of at most 2 \(mdsa\.toml\)", lines[5])
    assert re.fullmatch(r"sentiment +[0-9.]+ MB  goes +count", lines[-2])
    assert re.fullmatch(r"search +[0-9.]+ MB  stays +pinned", lines[-1])


def test_a_guessed_size_is_marked(explain, mdsa, write):
    file = write(model("far", "org/some-llama-7b", "preload = true") + model("tiny", TINY))
    answer = explain("tiny", "--config", file)
    assert [(entry["model_id"], entry["approximate"]) for entry in answer["kept"]] == [("far", True)]
    assert answer["approximate"] is False
    outcome = mdsa("explain", "tiny", "--config", file)
    assert re.search(r"^far +about 14\.0 GB  stays +idle$", outcome.out, re.MULTILINE)
    assert 'Sizes with "about" follow from names' in outcome.out


def test_what_the_machine_cannot_hold_together_is_noted(explain, write):
    file = write("[limits]\nmax_models = 20\n" + "".join(
        model(f"far{i}", "org/some-llama-70b", "preload = true") for i in range(16)) + model("tiny", TINY))
    answer = explain("tiny", "--config", file)
    assert answer["verdict"] == "fits" and "the machine has" in answer["note"]


def test_residents_that_do_not_fit_together(mdsa, write):
    file = write("[limits]\nmax_models = 1\n" + model("a", TINY, "preload = true") +
                 model("b", TINY, "preload = true") + model("chat", CHAT))
    outcome = mdsa("explain", "chat", "--config", file)
    assert outcome.code == 6 and outcome.out == ""
    error, hint = outcome.err.splitlines()
    assert "'b' cannot be resident with the others" in error and "it would evict 'a'" in error
    assert "--resident" in hint
    assert mdsa("explain", "chat", "--config", file, "--resident", "b").code == 0


def test_unknown_ids(mdsa, write):
    file = write(model("search", SEARCH) + model("chat", CHAT))
    outcome = mdsa("explain", "caht", "--config", file)
    assert outcome.code == 3 and outcome.out == ""
    assert f"hint: {file} has no model of this id; did you mean 'chat'?\n" in outcome.err
    outcome = mdsa("explain", "chat", "--config", file, "--resident", "serach")
    assert outcome.code == 2 and "did you mean 'search'?" in outcome.err
    assert mdsa("explain", "chat", "--config", file, "--resident", "serach", "--json").json()["error"]["code"] == \
        "invalid_argument"


def test_missing_files(mdsa, write, tmp_path):
    outcome = mdsa("explain", "chat", "--config", "none.toml")
    assert outcome.code == 3 and "none.toml" in outcome.err and "hint: " in outcome.err
    outcome = mdsa("explain", "gone", "--config", write(model("gone", "./nothing")))
    assert outcome.code == 3 and "nothing" in outcome.err
    outcome = mdsa.shell(f"cd {tmp_path} && mdsa explain ./none")
    assert outcome.code == 3 and "MODEL is a directory" in outcome.err
    file = write(model("gone", "./nothing", "preload = true") + model("tiny", TINY))
    outcome = mdsa("explain", "tiny", "--config", file)
    assert outcome.code == 3 and "'gone' cannot be resident" in outcome.err


def test_a_mistake_in_the_file_has_its_place(mdsa, write):
    file = write("[limits]\nmax_modells = 3\n")
    outcome = mdsa("explain", "chat", "--config", file)
    assert outcome.code == 2 and outcome.err.startswith(f"mdsa: error: {file}:2:1: unknown key 'max_modells'")


def test_hostile_names_cannot_drive_the_terminal(mdsa, write, workspace, tmp_path):
    name = tmp_path / "\x1b[31m"
    name.symlink_to(workspace / MINILM)
    outcome = mdsa("explain", str(name), "--config", write("[limits]\nmax_memory = '20MB'\n"))
    assert outcome.code == 6 and "\\x1b[31m" in outcome.out and "\x1b" not in outcome.out + outcome.err


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--max-length", "0"], ["a", "-q", "int3"]])
def test_wrong_usage(mdsa, arguments):
    outcome = mdsa("explain", *arguments)
    assert outcome.code == 2 and outcome.out == "" and "mdsa explain --help" in outcome.err
