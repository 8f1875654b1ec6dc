#!/usr/bin/env python3
"""Writes small valid inputs for the fuzzers: one folder a fuzzer under the folder given.

usage: make_seeds.py OUT
"""

import json
import pathlib
import struct
import sys


def safetensors(entries, metadata=None):
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, dtype, shape, size in entries:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + size]}
        data += bytes(i % 256 for i in range(size))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def gguf_string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_value(value):
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + gguf_string(value)
    kind, payload = (8, b"".join(map(gguf_string, value))) if isinstance(value[0], str) else (
        (6, struct.pack(f"<{len(value)}f", *value)) if isinstance(value[0], float) else
        (5, struct.pack(f"<{len(value)}i", *value)))
    return struct.pack("<IIQ", 9, kind, len(value)) + payload


def gguf(version, metadata, tensors):
    """tensors: (name, dims fastest first, type id, bytes)."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, value in metadata.items():
        out += gguf_string(key) + gguf_value(value)
    data = b""
    for name, dims, kind, size in tensors:
        out += gguf_string(name) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
        out += struct.pack("<IQ", kind, len(data))
        data += bytes(size) + bytes(-size % 32)
    return out + bytes(-len(out) % 32) + data


def architecture(name, eps_key, **more):
    keys = {"embedding_length": 32, "feed_forward_length": 32, "block_count": 1, "context_length": 64,
            "attention.head_count": 4, eps_key: 1e-5, **more}
    return {"general.architecture": name, **{f"{name}.{key}": value for key, value in keys.items()}}


VOCABULARY = {
    "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": ["<s>", "a", "b", "ab"], "tokenizer.ggml.token_type": [3, 1, 1, 1],
    "tokenizer.ggml.scores": [0.0, -1.0, -2.0, -3.0], "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 0,
    "tokenizer.ggml.add_bos_token": True, "tokenizer.chat_template": "{{ messages }}",
}


def gguf_seeds():
    llama = architecture("llama", "attention.layer_norm_rms_epsilon",
                         **{"attention.head_count_kv": 2, "rope.freq_base": 10000.0})
    llama_tensors = [("token_embd.weight", (32, 4), 8, 136), ("blk.0.attn_q.weight", (32, 32), 2, 576),
                     ("blk.0.attn_k.weight", (32, 16), 3, 320), ("output_norm.weight", (32,), 0, 128)]
    yield "llama_v3", gguf(3, {**llama, **VOCABULARY}, llama_tensors)
    yield "llama_v2", gguf(2, {"general.alignment": 32, **llama}, llama_tensors)
    pieces = {"tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "<0x61>", "\u2581a", "b", "[UNK]"],
              "tokenizer.ggml.token_type": [2, 3, 3, 6, 1, 1, 1], "tokenizer.ggml.scores": [0.0] * 7}
    for model in ("llama", "bert"):
        yield f"{model}_vocabulary", gguf(3, {"tokenizer.ggml.model": model, **pieces}, [])
    yield "rope_factors", gguf(3, llama, llama_tensors + [("rope_freqs.weight", (4,), 0, 16)])
    yarn = {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}
    yield "yarn", gguf(3, {**llama, **yarn}, llama_tensors)
    phi = architecture("phi2", "attention.layer_norm_epsilon", **{"rope.dimension_count": 4})
    yield "phi", gguf(3, phi, [("token_embd.weight", (32, 4), 1, 256),
                               ("blk.0.attn_qkv.weight", (32, 96), 30, 6144),
                               ("blk.0.attn_qkv.bias", (96,), 0, 384), ("output.weight", (32, 4), 0, 512)])
    bert = architecture("bert", "attention.layer_norm_epsilon", pooling_type=1)
    yield "bert", gguf(3, bert, [("token_embd.weight", (32, 4), 0, 512), ("token_types.weight", (32, 2), 0, 256)])
    yield "k_blocks", gguf(3, llama, [("token_embd.weight", (256, 1), 12, 144), ("a", (256, 1), 13, 176),
                                      ("b", (256,), 14, 210)])


def safetensors_seeds():
    yield "three", safetensors([("w", "F32", [2, 3], 24), ("b", "BF16", [3], 6), ("e", "U8", [0], 0)], {"format": "pt"})
    yield "scalar", safetensors([("s", "I64", [], 8)])
    yield "none", safetensors([])


def config_seeds():
    bert = {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 8,
            "num_attention_heads": 2, "id2label": {"0": "a", "1": "b"}, "torch_dtype": "float32"}
    old = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "rope_theta": 10000,
           "rope_scaling": {"type": "linear", "factor": 2.0}, "eos_token_id": [1, 2], "head_dim": None}
    new = {"model_type": "llama", "dtype": "bfloat16", "rope_parameters": {
        "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}
    yarn = {"model_type": "phi", "partial_rotary_factor": 0.5, "rope_scaling": {
        "rope_type": "yarn", "factor": 4.0, "beta_fast": 32, "mscale": 1.0, "mscale_all_dim": 1.0}}
    for name, config in {"bert": bert, "old": old, "new": new, "yarn": yarn}.items():
        yield name, json.dumps(config).encode()
    yield "generation", json.dumps(old).encode() + b"\0" + json.dumps({"eos_token_id": 3}).encode()
    modules = [{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": "1_Pooling"}]
    yield "pooling", json.dumps(modules).encode() + b"\0" + json.dumps({"pooling_mode_mean_tokens": True}).encode()


def index_seeds():
    names = {f"w{i}": f"model-0000{i % 2 + 1}-of-00002.safetensors" for i in range(4)}
    yield "index", json.dumps({"metadata": {"total_size": 4}, "weight_map": names}).encode()
    yield "modules", json.dumps([{"type": "x.Pooling", "path": "1_Pooling"}]).encode()


def tokenizer_seeds():
    """tokenizer.json, tokenizer_config.json, special_tokens_map.json, vocab.txt and a text, with a NUL between."""
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    yield "bpe", json.dumps({"added_tokens": [], "normalizer": None, "pre_tokenizer": byte_level,
                             "post_processor": None, "decoder": {"type": "ByteLevel"}, "model": model}).encode() + b"\0\0\0\0ab ba"
    piece = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
             "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "a": 1, "##b": 2}}
    yield "wordpiece", json.dumps({"added_tokens": [], "normalizer": {
        "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
        "lowercase": True}, "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}, "model": piece}).encode() + b"\0\0\0\0Ab, a."
    config = {"do_lower_case": True, "model_max_length": 8, "padding_side": "left", "cls_token": "[CLS]"}
    yield "vocab_txt", b"\0".join([b"", json.dumps(config).encode(), json.dumps({"unk_token": "[UNK]"}).encode(),
                                   b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n", b"Ab, a."])


def model_config_seeds():
    yield "least", json.dumps({"model_name": "m"}).encode()
    yield "all", json.dumps({
        "model_name": "m", "tier": "tier2", "device": "cuda:0", "quantization": "int4", "max_length": 16,
        "batch_size": 2, "temperature": 0.5, "use_cache": True, "trust_remote_code": False, "torch_dtype": "bfloat16",
        "compile_model": False, "optimization_level": 1, "cache_dir": "c", "kwargs": {"a": [1]}}).encode()


def config_file_seeds():
    yield "limits", b"""[limits]
max_models = 3
max_memory = "70%" # or "8GB"
max_device_memory = { "cuda:0" = "6GB", mps = 4096 }
time_to_live = "10m"
min_residency = "0s"
max_queue_wait = 1.5
wait_timeout = "5m"
retry_delay = "500ms"
max_retry_delay = '1m'
report_waits_after = 10

[store]
cache_dir = "models"
"""
    yield "models", b'''[[model]]
id = "classifier"
source = "./models/minilm"
tier = 1
quantization = "none"
device = "auto"
max_length = 128
batch_size = 8
torch_dtype = "auto"
temperature = 0.7
pin = true
time_to_live = "forever"
preload = true
required = true
warm_up = """
hello"""

[[model]]
id = 'b'
source = "org/name"
tier = "tier2"
'''
    yield "dotted", b"limits.max_memory = 0x10\n\"limits\".'max_models' = 1_0\nmodel = [{id = 'a', source = 'b'}]\n"
    yield "other", b"[limits]\na = 2024-01-01T00:00:00.5Z\nb = [[1, 2.5e3], [\"\\u00e4\"]]\n[a.b.c]\nx = inf\n"


def main():
    out = pathlib.Path(sys.argv[1])
    for fuzzer, seeds in {"safetensors": safetensors_seeds, "gguf": gguf_seeds, "config_json": config_seeds,
                          "index_json": index_seeds, "tokenizer_json": tokenizer_seeds,
                          "model_config": model_config_seeds, "config_file": config_file_seeds}.items():
        folder = out / fuzzer
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in seeds():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
