"""Checkpoints in several files, and broken ones: errors name the part, and nothing else suffers."""

import json
import os
import pathlib
import shutil
import subprocess

import gguf
import numpy as np
import pytest
import torch
import transformers

import mdsa
from mdsa import ModelConfig, ModelLoader

ROOT = pathlib.Path(__file__).parents[2]
CLI = os.environ.get("MDSA_CLI", str(ROOT / "build/release/apps/mdsa/mdsa"))
INDEX = "model.safetensors.index.json"
IDS = np.random.default_rng(1).integers(0, 97, (2, 23))


def config_of(path):
    return ModelConfig(str(path), "tier3", device="cpu", quantization="none")


def small_llama():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=97,
        hidden_size=40,
        intermediate_size=76,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.15,
    )
    return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """(folder, the model of transformers) of a checkpoint in several files, without a tokenizer."""
    folder = tmp_path_factory.mktemp("sharded")
    oracle = small_llama()
    oracle.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 3
    return folder, oracle


def test_a_sharded_checkpoint_equals_transformers(sharded):
    folder, oracle = sharded
    model, _ = ModelLoader().load(config_of(folder))
    with torch.no_grad():
        expected = oracle(torch.tensor(IDS)).logits.numpy()
    np.testing.assert_allclose(model(IDS).logits, expected, atol=2e-5)


@pytest.fixture
def without_a_shard(sharded, tmp_path):
    folder = tmp_path / "checkpoint"
    shutil.copytree(sharded[0], folder)
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    return folder, shard.name


def test_a_missing_shard_is_named_with_its_index(without_a_shard):
    folder, shard = without_a_shard
    with pytest.raises(ValueError, match="^Model loading failed: ") as caught:
        ModelLoader().load(config_of(folder))
    assert INDEX in str(caught.value)
    assert shard in str(caught.value)


def test_the_command_names_a_missing_shard_with_its_index(without_a_shard):
    folder, shard = without_a_shard
    result = subprocess.run(
        [CLI, "run", folder, "Hello"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 3, result.stderr
    assert INDEX in result.stderr
    assert shard in result.stderr
    assert result.stdout == ""


def truncated_safetensors(minilm_dir, folder):
    link_all(minilm_dir, folder, "model.safetensors")
    whole = (pathlib.Path(minilm_dir) / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    return folder


def bad_config(minilm_dir, folder):
    link_all(minilm_dir, folder, "config.json")
    config = json.loads((pathlib.Path(minilm_dir) / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_attention_heads": 7}))
    return folder


def bad_tokenizer(minilm_dir, folder):
    link_all(minilm_dir, folder, "tokenizer.json")
    whole = (pathlib.Path(minilm_dir) / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(whole[:-100])
    return folder


def missing_shard(minilm_dir, folder):
    small_llama().save_pretrained(folder, max_shard_size="40KB")
    sorted(folder.glob("model-*.safetensors"))[1].unlink()
    return folder


def absurd_gguf(minilm_dir, folder):
    """A GGUF file whose embeddings claim 2^62 columns."""
    path = folder / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(128)
    writer.add_block_count(1)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tensor("token_embd.weight", np.zeros((97, 64), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    whole = path.read_bytes()
    shape = np.array([64, 97], "<u8").tobytes()
    assert whole.count(shape) == 1
    path.write_bytes(whole.replace(shape, np.array([1 << 62, 97], "<u8").tobytes()))
    return path


def link_all(source, folder, *without):
    for path in pathlib.Path(source).iterdir():
        if path.name not in without:
            (folder / path.name).symlink_to(path)


BROKEN = {
    "truncated-safetensors": (truncated_safetensors, "model.safetensors"),
    "bad-config": (bad_config, "config.json"),
    "bad-tokenizer": (bad_tokenizer, "tokenizer.json"),
    "missing-shard": (missing_shard, INDEX),
    "absurd-gguf": (absurd_gguf, "token_embd.weight"),
}


@pytest.fixture(params=BROKEN)
def broken(request, minilm_dir, tmp_path):
    """(path, what the error must name)"""
    make, part = BROKEN[request.param]
    return make(minilm_dir, tmp_path), part


def test_what_was_loaded_before_still_works(minilm_dir, broken):
    path, part = broken
    manager = mdsa.ModelManager(max_models=2)
    model, _ = manager.get_or_load("good", ModelConfig.for_tier1(minilm_dir))
    expected = model.embed(["still works"])
    with pytest.raises(ValueError, match="^Model loading failed: ") as caught:
        manager.get_or_load("bad", config_of(path))
    assert part in str(caught.value)
    assert manager.list_models() == ["good"]
    assert not manager.is_loaded("bad")
    np.testing.assert_array_equal(model.embed(["still works"]), expected)
    again, _ = manager.get_or_load("good", ModelConfig.for_tier1(minilm_dir))
    assert again is model
    # The place that the failed load asked for is free again.
    manager.get_or_load("other", ModelConfig.for_tier1(minilm_dir, max_length=64))
    assert manager.list_models() == ["good", "other"]


LEAKS = """
import json, os, sys
import mdsa

def resident():
    with open("/proc/self/status") as file:
        return int(dict(line.split(":", 1) for line in file)["RssAnon"].split()[0]) * 1024

def fail(times):
    for _ in range(times):
        try:
            mdsa.ModelLoader().load(mdsa.ModelConfig(sys.argv[1], "tier3", quantization="none"))
        except ValueError:
            continue
        raise SystemExit("the load did not fail")

def state():
    with open("/proc/self/maps") as file:
        mappings = len(file.readlines())
    return len(os.listdir("/proc/self/fd")), mappings, resident()

fail(20)
before = state()
fail(200)
print(json.dumps([before, state()]))
"""


def test_failed_loads_leave_nothing_behind(fresh_python, broken):
    before, after = json.loads(fresh_python(LEAKS, str(broken[0])).stdout)
    files, mappings, resident = zip(before, after, strict=True)
    assert files[1] == files[0]
    # The allocator may add or remove one of its own; one a load would be 200.
    assert mappings[1] - mappings[0] < 10
    assert resident[1] - resident[0] < 5e6


@pytest.mark.parametrize("change", ["truncate", "overwrite"])
def test_a_checkpoint_changed_under_its_model_is_an_error_of_the_call(sharded, tmp_path, change):
    """Unquantized weights are read from the file: what is no longer there must not kill the process."""
    folder = tmp_path / "checkpoint"
    sharded[1].save_pretrained(folder)
    model, _ = ModelLoader().load(config_of(folder))
    model(IDS)
    weights = folder / "model.safetensors"
    if change == "truncate":
        os.truncate(weights, 100)
    else:
        weights.write_bytes(weights.read_bytes())
    for call in (lambda: model(IDS), lambda: model.generate(IDS[:1], max_new_tokens=2)):
        with pytest.raises(mdsa.MdsaError, match="model.safetensors"):
            call()
