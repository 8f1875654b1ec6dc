"""What a user or a script sees of mdsa: text, JSON, exit codes, errors."""

import json
import math
import os
import shutil

import pytest
from cli_support import CLASSIFIER, MINILM, SMOLLM2, TINY_LLAMA, write_tiny_llama

COMMANDS = ["run", "embed", "classify", "estimate", "inspect", "quantize", "config", "hw", "version"]


def assert_error(outcome, code, *words, hint=None):
    """One line that starts with "mdsa: error: ", and a hint line or none."""
    assert outcome.code == code, outcome
    assert outcome.out == ""
    lines = outcome.err.splitlines()
    assert lines[0].startswith("mdsa: error: ")
    for word in words:
        assert word in lines[0]
    if hint is None:
        assert len(lines) == 1, outcome.err
    else:
        assert len(lines) == 2 and lines[1].startswith("hint: ") and hint in lines[1], outcome.err


# --- help ---------------------------------------------------------------------------------------------------------


def test_help_lists_commands_and_exit_codes(mdsa):
    outcome = mdsa("--help")
    assert outcome.code == 0 and outcome.err == ""
    for command in COMMANDS:
        assert f"\n  {command} " in outcome.out
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130):
        assert f"\n  {code}  " in outcome.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(mdsa, command):
    outcome = mdsa(command, "--help")
    assert outcome.code == 0 and outcome.err == ""
    assert f"Usage: mdsa {command}" in outcome.out
    assert f"Examples:\n  mdsa {command}" in outcome.out or f"| mdsa {command}" in outcome.out
    assert all(len(line) <= 100 for line in outcome.out.splitlines())
    assert mdsa(command, "-h").out == outcome.out


def test_version(mdsa):
    line = mdsa("--version").out
    assert line.startswith("mdsa ") and line.count("\n") == 1
    text = mdsa("version").out
    assert text.splitlines()[0] == line.strip()
    facts = mdsa("version", "--json").json()
    assert facts["version"] in line and facts["compiler"]
    assert facts["kernel_target"] in ("portable", "avx2", "avx512", "avx512_vnni")
    assert mdsa("version", "--json", env={"MDSA_CPU_TARGET": "portable"}).json()["kernel_target"] == "portable"


# --- usage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [[], ["frobnicate"], ["run"], ["run", TINY_LLAMA, "a", "b"], ["run", TINY_LLAMA, "a", "--frob"],
     ["run", TINY_LLAMA, "a", "--quantization", "int3"], ["run", TINY_LLAMA, "a", "-n", "0"],
     ["run", TINY_LLAMA, "a", "-n", "x"], ["run", TINY_LLAMA, "a", "-n", "9" * 30],
     ["run", TINY_LLAMA, "a", "--temperature", "-1"], ["run", TINY_LLAMA, "a", "--temperature", "nan"],
     ["run", TINY_LLAMA, "a", "--temperature", "inf"], ["run", TINY_LLAMA, "a", "--top-p", "0"],
     ["run", TINY_LLAMA, "a", "--top-p", "1.5"], ["run", TINY_LLAMA, "a", "--min-p", "1"],
     ["run", TINY_LLAMA, "a", "--repetition-penalty", "0"], ["run", TINY_LLAMA, "a", "--seed", "-1"],
     ["run", TINY_LLAMA, "a", "--threads", "0"], ["embed"], ["embed", MINILM, "a", "--batch-size", "0"],
     ["estimate", MINILM, "--max-length", "0"], ["quantize", MINILM, "out"], ["quantize", MINILM],
     ["hw", "extra"]],
    ids=lambda arguments: " ".join(arguments)[:60])
def test_wrong_usage(mdsa, arguments):
    outcome = mdsa(*arguments)
    assert_error(outcome, 2, hint="--help")
    as_json = mdsa(*arguments, "--json")
    assert as_json.code == 2 and as_json.err == ""
    assert as_json.json()["error"]["code"] == "invalid_argument"


def test_wrong_usage_names_the_command_and_the_choices(mdsa):
    assert_error(mdsa("run", TINY_LLAMA, "a", "-q", "int3"), 2, "int3", "int4", hint="mdsa run --help")


def test_sampling_options_need_a_temperature(mdsa):
    for option in ("--top-k", "--top-p", "--min-p", "--seed"):
        assert_error(mdsa("run", TINY_LLAMA, "a", option, "0.5" if "-p" in option else "5"), 2, option, "--temperature")


def test_empty_prompt(mdsa):
    assert_error(mdsa("run", TINY_LLAMA, ""), 2, "prompt is empty")
    assert_error(mdsa("run", TINY_LLAMA, stdin="\n"), 2, "prompt is empty")


def test_system_needs_a_chat_template(mdsa):
    assert_error(mdsa("run", TINY_LLAMA, "a", "--system", "s"), 2, "--system")
    assert_error(mdsa("run", SMOLLM2, "a", "--system", "s", "--raw"), 2, "--system", "--raw")


# --- run ----------------------------------------------------------------------------------------------------------


def test_run_answers_with_the_chat_template(mdsa):
    outcome = mdsa("run", SMOLLM2, "What is the capital of France?", "-n", "24")
    assert outcome.code == 0 and outcome.err == ""
    assert "Paris" in outcome.out and outcome.out.endswith("\n")


def test_run_is_the_same_by_argument_and_by_pipe(mdsa):
    by_argument = mdsa("run", SMOLLM2, "Why is the sky blue?", "-n", "8")
    assert mdsa("run", SMOLLM2, "-n", "8", stdin="Why is the sky blue?\n") == by_argument
    assert mdsa("run", SMOLLM2, "-", "-n", "8", stdin="Why is the sky blue?") == by_argument


def test_run_raw_continues_the_prompt(mdsa):
    assert "Paris" in mdsa("run", SMOLLM2, "--raw", "The capital of France is", "-n", "8").out


def test_run_json(mdsa):
    outcome = mdsa("run", SMOLLM2, "Name three colours.", "-n", "6", "--json", "-q", "int8")
    assert outcome.code == 0 and outcome.err == ""
    result = outcome.json()
    assert result["model"] == SMOLLM2 and result["quantization"] == "int8"
    assert result["finish_reason"] == "length" and result["completion_tokens"] == 6
    assert result["prompt_tokens"] > 5 and result["text"]
    assert 100 < result["memory_mb"] < 400
    timings = result["timings"]
    assert set(timings) == {"load_seconds", "prefill_seconds", "decode_seconds", "prefill_tokens_per_second",
                            "decode_tokens_per_second"}
    assert all(value > 0 for value in timings.values())
    streamed = mdsa("run", SMOLLM2, "Name three colours.", "-n", "6", "-q", "int8")
    assert streamed.out.rstrip("\n") == result["text"].rstrip("\n")


def test_run_stats_are_one_line_on_standard_error(mdsa):
    outcome = mdsa("run", TINY_LLAMA, "abc", "-n", "4", "--stats")
    assert outcome.code == 0
    assert outcome.err.count("\n") == 1 and "prefill 3 tokens" in outcome.err and "tok/s" in outcome.err


def test_stop_text_ends_the_answer_and_is_not_part_of_it(mdsa):
    whole = mdsa("run", SMOLLM2, "Count from one to ten.", "-n", "32", "--json").json()["text"]
    stop = whole[10:14]
    cut = mdsa("run", SMOLLM2, "Count from one to ten.", "-n", "32", "--json", "--stop", "\x01", "--stop", stop).json()
    assert cut["finish_reason"] == "stop"
    assert cut["text"] == whole[: whole.index(stop)]


def test_same_seed_same_text(mdsa):
    arguments = ["run", SMOLLM2, "Write a story.", "-n", "12", "-t", "1.2", "--top-k", "0", "--seed"]
    assert mdsa(*arguments, "1").out == mdsa(*arguments, "1").out
    assert len({mdsa(*arguments, str(seed)).out for seed in range(4)}) > 1


def test_threads_do_not_change_the_text(mdsa):
    assert mdsa("run", TINY_LLAMA, "abc", "-n", "8", "--threads", "1").out == \
        mdsa("run", TINY_LLAMA, "abc", "-n", "8", "--threads", "2").out


@pytest.mark.parametrize("prompt", ["日本語で答えてください 🗾", "\u202eabc", "[a, b]", "hw", "a\nb\tc\x1b[31m"])
def test_any_text_is_a_prompt(mdsa, prompt):
    outcome = mdsa("run", TINY_LLAMA, prompt, "-n", "2", "--json")
    assert outcome.code == 0, outcome
    assert outcome.json()["prompt_tokens"] == len(prompt.encode())


def test_ill_formed_utf8_is_a_prompt(mdsa):
    outcome = mdsa("run", TINY_LLAMA, b"a\xffb", "-n", "2", "--json")
    assert outcome.json()["prompt_tokens"] == 5  # U+FFFD has three bytes
    assert mdsa("run", TINY_LLAMA, "-n", "2", "--json", stdin=b"a\xffb").json()["prompt_tokens"] == 5


def test_options_end_at_two_dashes(mdsa):
    assert mdsa("run", TINY_LLAMA, "-n", "2", "--json", "--", "--json").json()["prompt_tokens"] == 6


# --- embed, classify ----------------------------------------------------------------------------------------------


def test_embed_gives_one_vector_a_line(mdsa):
    outcome = mdsa("embed", MINILM, "a text", "[a, b]", "")
    assert outcome.code == 0 and outcome.err == ""
    vectors = [json.loads(line) for line in outcome.out.splitlines()]
    assert [len(vector) for vector in vectors] == [384, 384, 384]
    for vector in vectors:
        assert math.isclose(sum(x * x for x in vector), 1.0, rel_tol=1e-5)
    as_json = mdsa("embed", MINILM, "a text", "[a, b]", "", "--json").json()
    assert as_json == {"model": MINILM, "dim": 384, "embeddings": vectors}


def test_embed_reads_lines(mdsa, workspace):
    text = (workspace / "questions.txt").read_text()
    by_pipe = mdsa("embed", MINILM, stdin=text)
    assert by_pipe == mdsa("embed", MINILM, *text.splitlines())
    assert by_pipe.out.count("\n") == 4
    assert mdsa("embed", MINILM, "-", stdin=text.replace("\n", "\r\n")) == by_pipe


def test_embed_of_nothing_is_nothing(mdsa):
    assert mdsa("embed", MINILM, stdin="").out == ""
    assert mdsa("embed", MINILM, "--json", stdin="").json() == {"model": MINILM, "dim": 384, "embeddings": []}


def test_batches_do_not_matter(mdsa):
    texts = ["one", "two words", "three more words"]
    alone = [json.loads(mdsa("embed", MINILM, text).out) for text in texts]
    together = mdsa("embed", MINILM, "--batch-size", "2", *texts).out
    for one, line in zip(alone, together.splitlines()):
        assert max(abs(a - b) for a, b in zip(one, json.loads(line))) < 1e-5


def test_classify(mdsa):
    outcome = mdsa("classify", CLASSIFIER, "what a film", "never again")
    assert outcome.code == 0 and outcome.err == ""
    result = mdsa("classify", CLASSIFIER, "what a film", "never again", "--json").json()
    assert result["labels"] == ["negative", "positive"]
    for line, row in zip(outcome.out.splitlines(), result["results"], strict=True):
        assert math.isclose(sum(row["probabilities"].values()), 1.0, rel_tol=1e-5)
        assert row["probability"] == max(row["probabilities"].values()) == row["probabilities"][row["label"]]
        assert line.split("\t")[0] == f"{row['label']} {row['probability']:.4f}"
        assert len(line.split("\t")) == 2


def test_classify_needs_a_classifier(mdsa):
    assert_error(mdsa("classify", MINILM, "x"), 5, "classifier", hint="mdsa inspect")


# --- estimate, inspect, hw ----------------------------------------------------------------------------------------


def test_estimate_all_quantizations(mdsa):
    rows = mdsa("estimate", SMOLLM2, "--json").json()["estimates"]
    weights = {row["quantization"]: row["weights_bytes"] for row in rows}
    assert set(weights) == {"none", "fp16", "bfloat16", "int8", "int4"}
    assert weights["int4"] < weights["int8"] < weights["fp16"] == weights["bfloat16"]
    for row in rows:
        assert row["resident_bytes"] == (
            row["weights_bytes"] + row["tokenizer_bytes"] + row["kv_bytes"] + row["scratch_bytes"])
        assert row["mapped_bytes"] <= row["weights_bytes"] < row["peak_load_bytes"]
        assert row["kv_bytes"] == 2048 * row["kv_bytes_per_token"]
        assert not row["approximate"]
    text = mdsa("estimate", SMOLLM2).out
    assert text.splitlines()[0].split() == ["quantization", "weights", "mapped", "tokenizer", "KV", "cache", "scratch",
                                            "resident", "peak", "of", "load"]
    assert text.count(" MB") > 10


def test_estimate_one_quantization(mdsa):
    outcome = mdsa("estimate", SMOLLM2, "-q", "int4", "--max-length", "100")
    assert [line.split("  ")[0] for line in outcome.out.splitlines()] == \
        ["weights", "tokenizer", "KV cache", "scratch", "resident", "peak of load"]
    (row,) = mdsa("estimate", SMOLLM2, "-q", "int4", "--max-length", "100", "--json").json()["estimates"]
    assert row["kv_bytes"] == 100 * row["kv_bytes_per_token"]


def test_estimate_agrees_with_the_loaded_model(mdsa):
    (row,) = mdsa("estimate", SMOLLM2, "-q", "int4", "--json").json()["estimates"]
    memory = 1e6 * mdsa("run", SMOLLM2, "a", "-n", "1", "-q", "int4", "--json").json()["memory_mb"]
    assert 0.95 * row["weights_bytes"] < memory < 1.05 * row["weights_bytes"] + 30e6


def test_inspect(mdsa):
    facts = mdsa("inspect", SMOLLM2, "--json").json()
    assert (facts["format"], facts["family"], facts["layers"]) == ("gguf", "llama", 30)
    assert (facts["heads"], facts["kv_heads"], facts["hidden_size"]) == (9, 3, 576)
    assert facts["tokenizer"] == {"vocab_size": 49152, "chat_template": True}
    assert sum(use["tensors"] for use in facts["dtypes"].values()) == facts["tensor_count"]
    assert sum(use["bytes"] for use in facts["dtypes"].values()) == facts["tensor_bytes"]
    assert facts["parameters"] == 134515008
    text = mdsa("inspect", SMOLLM2).out
    assert "135 M" in text and "Q4_1" in text and "chat template  yes" in text


def test_inspect_of_an_encoder_and_a_classifier(mdsa):
    facts = mdsa("inspect", MINILM, "--json").json()
    assert facts["pooling"] == {"mode": "mean", "normalize": True}
    assert facts["format"] == "safetensors" and not facts["tokenizer"]["chat_template"]
    assert mdsa("inspect", CLASSIFIER, "--json").json()["labels"] == ["negative", "positive"]
    assert "negative, positive" in mdsa("inspect", CLASSIFIER).out


def test_inspect_lists_tensors(mdsa):
    tensors = mdsa("inspect", TINY_LLAMA, "--tensors", "--json").json()["tensors"]
    by_name = {tensor["name"]: tensor for tensor in tensors}
    assert by_name["model.embed_tokens.weight"] == {"name": "model.embed_tokens.weight", "dtype": "F32",
                                                    "shape": [260, 32], "bytes": 260 * 32 * 4}
    lines = mdsa("inspect", TINY_LLAMA, "--tensors").out.splitlines()
    assert len(lines) == 1 + len(tensors) and lines[0].split() == ["tensor", "dtype", "shape", "bytes"]
    assert ["model.norm.weight", "F32", "32", "128"] in [line.split() for line in lines]


def test_hw(mdsa):
    facts = mdsa("hw", "--json").json()
    assert 1 <= facts["usable_cores"] <= facts["logical_cores"]
    assert 0 < facts["available_memory_bytes"] <= facts["total_memory_bytes"]
    assert f"{facts['usable_cores']} usable" in mdsa("hw").out


# --- what can be wrong with a model -------------------------------------------------------------------------------


def test_hub_id_in_a_local_cache(mdsa):
    assert mdsa("run", "some/llama", "a", "-n", "1").code == 0
    assert mdsa("inspect", "some/llama", "--json").json()["family"] == "llama"


def test_cache_dir_is_looked_in_first(mdsa, workspace):
    empty_hub = {"HF_HUB_CACHE": str(workspace / "home")}
    assert mdsa("inspect", "some/llama", env=empty_hub).code == 3
    assert mdsa("inspect", "some/llama", "--cache-dir", "hub", env=empty_hub).code == 0


@pytest.mark.parametrize("arguments", [["run", "no/model", "x"], ["embed", "no-model", "x"], ["inspect", "./none"],
                                       ["estimate", "./none.gguf"], ["quantize", "no/model", "out", "-q", "int4"]])
def test_missing_model(mdsa, arguments):
    assert_error(mdsa(*arguments), 3, arguments[1], hint="Hugging Face cache")
    error = mdsa(*arguments, "--json").json()["error"]
    assert error["code"] == "not_found" and arguments[1] in error["message"] and "hint" in error


def test_empty_folder_is_no_model(mdsa, tmp_path):
    assert_error(mdsa("run", tmp_path, "x"), 3, str(tmp_path))


@pytest.mark.parametrize("size", [0, 3, 8, 100, 5000, 1_000_000])
def test_truncated_gguf(mdsa, tmp_path, workspace, size):
    file = tmp_path / "cut.gguf"
    with (workspace / SMOLLM2).open("rb") as whole:
        file.write_bytes(whole.read(size))
    for command in (["run", file, "x"], ["inspect", file], ["estimate", file]):
        assert_error(mdsa(*command), 4, "cut.gguf")
    assert mdsa("run", file, "x", "--json").json()["error"]["code"] == "invalid_format"


@pytest.mark.parametrize("size", [0, 7, 200, 20_000])
def test_truncated_safetensors(mdsa, tmp_path, workspace, size):
    folder = tmp_path / "cut"
    shutil.copytree(workspace / TINY_LLAMA, folder)
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:size])
    assert_error(mdsa("run", folder, "x"), 4, "model.safetensors")
    assert_error(mdsa("quantize", folder, tmp_path / "out", "-q", "int4"), 4, "model.safetensors")
    assert sorted(os.listdir(tmp_path)) == ["cut"]


def test_hostile_tensor_names_do_not_reach_the_terminal(mdsa, tmp_path, workspace):
    folder = tmp_path / "hostile"
    shutil.copytree(workspace / TINY_LLAMA, folder)
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data.replace(b"model.norm.weight", rb"model.\u001b[2Jht"))
    text = mdsa("inspect", folder, "--tensors")
    assert text.code == 0 and "\x1b" not in text.out and r"\x1b[2J" in text.out
    assert_error(mdsa("run", folder, "x"), 4, "norm.weight")


def test_unknown_family(mdsa, tmp_path):
    write_tiny_llama(tmp_path / "m", model_type="martian", architectures=["MartianForCausalLM"])
    assert_error(mdsa("run", tmp_path / "m", "x"), 5, "martian", "llama")


def test_contradictory_config(mdsa, tmp_path):
    write_tiny_llama(tmp_path / "m", hidden_size="32")
    assert_error(mdsa("run", tmp_path / "m", "x"), 4, "config.json", "hidden_size")


def test_prompt_longer_than_the_context(mdsa):
    outcome = mdsa("run", TINY_LLAMA, "x" * 200)
    assert outcome.code == 6 and "128" in outcome.err
    assert mdsa("run", TINY_LLAMA, "x" * 20, "--max-length", "10").code == 6


def test_encoder_does_not_generate_and_decoder_does_not_embed(mdsa):
    assert mdsa("run", MINILM, "x").code in (5, 7)
    assert mdsa("embed", TINY_LLAMA, "x").code in (5, 7)


def test_forced_kernel_target_must_exist(mdsa):
    for command in (["run", TINY_LLAMA, "x"], ["hw"], ["version"]):
        assert_error(mdsa(*command, env={"MDSA_CPU_TARGET": "sse9"}), 2, "sse9")


# --- quantize -----------------------------------------------------------------------------------------------------


def test_quantize_makes_a_folder_that_runs(mdsa, tmp_path):
    for quantization in ("int4", "int8"):
        out = tmp_path / quantization
        report = mdsa("quantize", TINY_LLAMA, out, "-q", quantization, "--json")
        assert report.code == 0 and report.json()["quantized_tensors"] == 14
        assert report.json()["file_bytes"] == (out / "model.safetensors").stat().st_size
        assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} == set(os.listdir(out))
        config = json.loads((out / "config.json").read_text())
        assert config["quantization_config"]["quant_method"] == "bitsandbytes"
    assert sorted(os.listdir(tmp_path)) == ["int4", "int8"]


def test_quantize_refuses_what_exists(mdsa, tmp_path):
    out = tmp_path / "out"
    assert mdsa("quantize", TINY_LLAMA, out, "-q", "int4").code == 0
    before = (out / "model.safetensors").read_bytes()
    assert_error(mdsa("quantize", TINY_LLAMA, out, "-q", "int8"), 7, "exists", hint="--force")
    assert (out / "model.safetensors").read_bytes() == before
    assert mdsa("quantize", TINY_LLAMA, out, "-q", "int8", "--force").code == 0
    assert (out / "model.safetensors").read_bytes() != before
    assert os.listdir(tmp_path) == ["out"]


def test_force_replaces_checkpoints_only(mdsa, tmp_path, workspace):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/thesis.txt").write_text("years of work")
    assert_error(mdsa("quantize", TINY_LLAMA, tmp_path / "precious", "-q", "int4", "--force"), 7, "precious")
    assert (tmp_path / "precious/thesis.txt").read_text() == "years of work"
    assert_error(mdsa("quantize", TINY_LLAMA, workspace / TINY_LLAMA, "-q", "int4", "--force"), 2, "the model itself")
    assert mdsa("inspect", TINY_LLAMA).code == 0


def test_quantize_refuses_what_it_cannot_write_exactly(mdsa, tmp_path):
    assert_error(mdsa("quantize", SMOLLM2, tmp_path / "a", "-q", "int4"), 5, "GGUF")
    assert_error(mdsa("quantize", TINY_LLAMA, tmp_path / "a", "-q", "fp16"), 2, "fp16")
    assert mdsa("quantize", TINY_LLAMA, tmp_path / "q", "-q", "int4").code == 0
    assert_error(mdsa("quantize", tmp_path / "q", tmp_path / "a", "-q", "int4"), 5, "quantized")
    assert_error(mdsa("quantize", TINY_LLAMA, tmp_path / "none/a", "-q", "int4"), 3, "none")
    assert os.listdir(tmp_path) == ["q"]
