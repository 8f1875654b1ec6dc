"""`mdsa quantize` against transformers with bitsandbytes: the same file, byte for byte, and it loads."""

import json
import os
import pathlib
import subprocess

import pytest
import safetensors
import torch
import transformers
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, BitsAndBytesConfig

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLI = os.environ.get("MDSA_CLI", str(ROOT / "build/release/apps/mdsa/mdsa"))

QUANTIZATIONS = {
    "int4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                               bnb_4bit_compute_dtype=torch.bfloat16),
    "int8": BitsAndBytesConfig(load_in_8bit=True),
}

LLAMA = {"vocab_size": 128, "hidden_size": 64, "intermediate_size": 104, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
MODELS = {
    "llama": (AutoModelForCausalLM, transformers.LlamaConfig(**LLAMA, tie_word_embeddings=False)),
    "llama-tied-biased": (AutoModelForCausalLM, transformers.LlamaConfig(
        **LLAMA, tie_word_embeddings=True, attention_bias=True, mlp_bias=True)),
    "phi": (AutoModelForCausalLM, transformers.PhiConfig(
        vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64)),
    "bert-classifier": (AutoModelForSequenceClassification, transformers.BertConfig(
        vocab_size=128, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, num_labels=3)),
}


@pytest.fixture(autouse=True)
def one_thread():
    """The mean of many scales depends on the number of threads; the reference is one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def quantize(source, out, quantization):
    command = [CLI, "quantize", source, out, "--quantization", quantization, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def tensors_of(folder):
    with safetensors.safe_open(folder / "model.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


def save_random(loader, config, dtype, folder):
    torch.manual_seed(5)
    model = loader.from_config(config).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms are constants otherwise
            parameter.add_(torch.randn_like(parameter, dtype=torch.float32).to(dtype) * 0.05)
    model.save_pretrained(folder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("name", MODELS)
def test_file_equals_the_reference(tmp_path, name, quantization, dtype):
    loader, config = MODELS[name]
    save_random(loader, config, dtype, tmp_path / "source")
    reference = loader.from_pretrained(tmp_path / "source", quantization_config=QUANTIZATIONS[quantization])
    reference.save_pretrained(tmp_path / "reference")
    quantize(tmp_path / "source", tmp_path / "ours", quantization)

    expected, metadata = tensors_of(tmp_path / "reference")
    ours, our_metadata = tensors_of(tmp_path / "ours")
    assert set(ours) == set(expected) and our_metadata == metadata
    for key, tensor in expected.items():
        assert ours[key].dtype == tensor.dtype and ours[key].shape == tensor.shape, key
        assert torch.equal(ours[key].view(torch.uint8), tensor.view(torch.uint8)), key
    assert (tmp_path / "ours/model.safetensors").read_bytes() == (tmp_path / "reference/model.safetensors").read_bytes()

    configs = [json.loads((tmp_path / side / "config.json").read_text()) for side in ("ours", "reference")]
    assert configs[0]["quantization_config"] == configs[1]["quantization_config"]
    assert configs[0]["dtype"] == configs[1]["dtype"]


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_transformers_loads_and_computes_the_same(tmp_path, quantization):
    loader, config = MODELS["llama"]
    save_random(loader, config, torch.float32, tmp_path / "source")
    quantize(tmp_path / "source", tmp_path / "ours", quantization)
    reference = loader.from_pretrained(tmp_path / "source", quantization_config=QUANTIZATIONS[quantization])
    ours = loader.from_pretrained(tmp_path / "ours")
    for (name, a), (_, b) in zip(reference.named_parameters(), ours.named_parameters(), strict=True):
        assert type(a) is type(b) and torch.equal(a, b), name
    ids = torch.arange(1, 33).reshape(1, 32)
    assert torch.equal(reference(ids).logits, ours(ids).logits)


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_real_encoder(tmp_path, minilm_dir, quantization):
    report = quantize(minilm_dir, tmp_path / "ours", quantization)
    assert report["quantized_tensors"] == 6 * 6 + 1
    reference = AutoModel.from_pretrained(minilm_dir, quantization_config=QUANTIZATIONS[quantization])
    ours = AutoModel.from_pretrained(tmp_path / "ours")
    expected = {name: tensor for name, tensor in reference.state_dict().items()}
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    copied = {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "modules.json", "1_Pooling",
              "sentence_bert_config.json", "special_tokens_map.json", "config_sentence_transformers.json"}
    assert {entry.name for entry in (tmp_path / "ours").iterdir()} == copied | {"config.json", "model.safetensors"}


def test_sharded_source_of_mixed_types(tmp_path):
    loader, config = MODELS["llama"]
    torch.manual_seed(5)
    model = loader.from_config(config)
    model.model.layers[0].self_attn.q_proj.to(torch.bfloat16)
    model.save_pretrained(tmp_path / "source", max_shard_size="40KB")
    assert (tmp_path / "source/model.safetensors.index.json").exists()
    quantize(tmp_path / "source", tmp_path / "ours", "int4")
    reference = loader.from_pretrained(tmp_path / "source", quantization_config=QUANTIZATIONS["int4"])
    reference.save_pretrained(tmp_path / "reference")
    assert (tmp_path / "ours/model.safetensors").read_bytes() == (tmp_path / "reference/model.safetensors").read_bytes()


def test_values_that_are_not_finite_are_named(tmp_path):
    loader, config = MODELS["llama"]
    torch.manual_seed(5)
    model = loader.from_config(config)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[3, 4] = float("nan")
    model.save_pretrained(tmp_path / "source")
    done = subprocess.run([CLI, "quantize", tmp_path / "source", tmp_path / "ours", "-q", "int4"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 4 and "model.layers.1.mlp.down_proj.weight" in done.stderr
    assert not (tmp_path / "ours").exists()
