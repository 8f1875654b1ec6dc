"""Small random GGUF files of the gguf package against transformers on the decoded weights."""

import struct

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Kind
from gguf import quants

from mdsa import ModelConfig
from mdsa.models import ModelLoader

VOCAB = 96
SIMPLE = [Kind.F32, Kind.F16, Kind.BF16, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0]
SUPER_BLOCKS = [Kind.Q4_K, Kind.Q5_K, Kind.Q6_K]  # which the package only decodes


def random_super_blocks(kind, values):
    """Blocks of random codes for values' shape, with scales that keep the weights near 0."""
    rng = np.random.default_rng(values.size)
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (values.size // elements, size), dtype=np.uint8)
    if kind == Kind.Q6_K:
        blocks[:, 192:208] = rng.integers(-20, 20, (len(blocks), 16), dtype=np.int8).view(np.uint8)
        blocks[:, 208:210] = np.full((len(blocks), 1), 1e-4, np.float16).view(np.uint8)
    else:
        scales = np.array([[1e-4 if kind == Kind.Q4_K else 5e-5, 8e-4]], np.float16)
        blocks[:, 0:4] = np.repeat(scales, len(blocks), axis=0).view(np.uint8)
    return blocks.reshape(*values.shape[:-1], -1)


def encode(kind, values):
    if kind in SUPER_BLOCKS:
        return random_super_blocks(kind, values)
    return quants.quantize(values, kind)


def permuted(weight, heads):
    """Rows of a query or key projection in llama.cpp's order."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def unpermuted(weight, heads):
    rows = weight.shape[0]
    return weight.reshape(heads, rows // heads // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def identity(weight):
    return weight, lambda decoded: decoded


def rows_of_heads(heads):
    return lambda weight: (permuted(weight, heads), lambda decoded: unpermuted(decoded, heads))


class Writer:
    """Writes tensors of a transformers model, which takes the decoded ones in their place."""

    def __init__(self, path, architecture, model, kind):
        self.file = gguf.GGUFWriter(path, architecture)
        self.state = model.state_dict()
        self.kind = kind

    def add(self, name, source, transform=identity):
        values, undo = transform(self.state[source].numpy())
        kind = self.kind if values.ndim == 2 else Kind.F32
        data = encode(kind, np.ascontiguousarray(values))
        self.file.add_tensor(name, data, raw_dtype=kind)
        decoded = np.ascontiguousarray(undo(quants.dequantize(data, kind)))
        with torch.no_grad():
            self.state[source].copy_(torch.from_numpy(decoded))

    def sizes(self, config, norm_key):
        file = self.file
        file.add_context_length(config.max_position_embeddings)
        file.add_embedding_length(config.hidden_size)
        file.add_feed_forward_length(config.intermediate_size)
        file.add_block_count(config.num_hidden_layers)
        file.add_head_count(config.num_attention_heads)
        norm_key(1e-5)

    def close(self):
        self.file.write_header_to_file()
        self.file.write_kv_data_to_file()
        self.file.write_tensors_to_file()
        self.file.close()


def randomized(model):
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 0.1 if parameter.ndim == 1 else parameter.shape[-1] ** -0.5
            offset = parameter if parameter.ndim == 1 else 0
            parameter.copy_(offset + torch.randn_like(parameter) * scale)
    return model.eval()


def write_llama(path, kind, tied=False):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        tie_word_embeddings=tied,
    )
    model = randomized(transformers.LlamaForCausalLM(config))
    writer = Writer(path, "llama", model, kind)
    writer.sizes(config, writer.file.add_layer_norm_rms_eps)
    writer.file.add_head_count_kv(2)
    writer.file.add_rope_dimension_count(32)
    writer.add("token_embd.weight", "model.embed_tokens.weight")
    writer.add("output_norm.weight", "model.norm.weight")
    if not tied:
        writer.add("output.weight", "lm_head.weight")
    for i in range(2):
        ours, theirs = f"blk.{i}", f"model.layers.{i}"
        writer.add(f"{ours}.attn_norm.weight", f"{theirs}.input_layernorm.weight")
        writer.add(f"{ours}.attn_q.weight", f"{theirs}.self_attn.q_proj.weight", rows_of_heads(8))
        writer.add(f"{ours}.attn_k.weight", f"{theirs}.self_attn.k_proj.weight", rows_of_heads(2))
        writer.add(f"{ours}.attn_v.weight", f"{theirs}.self_attn.v_proj.weight")
        writer.add(f"{ours}.attn_output.weight", f"{theirs}.self_attn.o_proj.weight")
        writer.add(f"{ours}.ffn_norm.weight", f"{theirs}.post_attention_layernorm.weight")
        for name in ("gate", "up", "down"):
            writer.add(f"{ours}.ffn_{name}.weight", f"{theirs}.mlp.{name}_proj.weight")
    writer.close()
    return model


def write_phi(path, kind, fused=False):
    torch.manual_seed(1)
    config = transformers.PhiConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        layer_norm_eps=1e-5,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
        },
    )
    model = randomized(transformers.PhiForCausalLM(config))
    writer = Writer(path, "phi2", model, kind)
    writer.sizes(config, writer.file.add_layer_norm_eps)
    writer.file.add_rope_dimension_count(8)
    names = {
        "token_embd": "model.embed_tokens",
        "output_norm": "model.final_layernorm",
        "output": "lm_head",
    }
    for i in range(2):
        theirs = f"model.layers.{i}"
        names[f"blk.{i}.attn_norm"] = f"{theirs}.input_layernorm"
        names[f"blk.{i}.attn_output"] = f"{theirs}.self_attn.dense"
        names[f"blk.{i}.ffn_up"] = f"{theirs}.mlp.fc1"
        names[f"blk.{i}.ffn_down"] = f"{theirs}.mlp.fc2"
        for part in "qkv":
            names[f"blk.{i}.attn_{part}"] = f"{theirs}.self_attn.{part}_proj"
    for ours, theirs in names.items():
        for suffix in ("weight", "bias"):
            if f"{theirs}.{suffix}" in writer.state and not (fused and ours[-6:-1] == "attn_"):
                writer.add(f"{ours}.{suffix}", f"{theirs}.{suffix}")
    if fused:
        for i in range(2):
            for suffix in ("weight", "bias"):
                parts = [
                    writer.state[f"model.layers.{i}.self_attn.{part}_proj.{suffix}"]
                    for part in "qkv"
                ]
                writer.file.add_tensor(f"blk.{i}.attn_qkv.{suffix}", torch.cat(parts).numpy())
    writer.close()
    return model


def write_bert(path, kind):
    torch.manual_seed(2)
    config = transformers.BertConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        layer_norm_eps=1e-5,
    )
    model = randomized(transformers.BertModel(config, add_pooling_layer=False))
    writer = Writer(path, "bert", model, kind)
    writer.sizes(config, writer.file.add_layer_norm_eps)
    writer.file.add_causal_attention(False)
    writer.file.add_pooling_type(gguf.PoolingType.CLS)
    names = {
        "token_embd": "embeddings.word_embeddings",
        "position_embd": "embeddings.position_embeddings",
        "token_types": "embeddings.token_type_embeddings",
        "token_embd_norm": "embeddings.LayerNorm",
    }
    for i in range(2):
        theirs = f"encoder.layer.{i}"
        names[f"blk.{i}.attn_q"] = f"{theirs}.attention.self.query"
        names[f"blk.{i}.attn_k"] = f"{theirs}.attention.self.key"
        names[f"blk.{i}.attn_v"] = f"{theirs}.attention.self.value"
        names[f"blk.{i}.attn_output"] = f"{theirs}.attention.output.dense"
        names[f"blk.{i}.attn_output_norm"] = f"{theirs}.attention.output.LayerNorm"
        names[f"blk.{i}.ffn_up"] = f"{theirs}.intermediate.dense"
        names[f"blk.{i}.ffn_down"] = f"{theirs}.output.dense"
        names[f"blk.{i}.layer_output_norm"] = f"{theirs}.output.LayerNorm"
    for ours, theirs in names.items():
        for suffix in ("weight", "bias"):
            if f"{theirs}.{suffix}" in writer.state:
                writer.add(f"{ours}.{suffix}", f"{theirs}.{suffix}")
    writer.close()
    return model


def load(path):
    return ModelLoader().load(ModelConfig(str(path), "tier3", device="cpu", quantization="none"))[0]


def check_output(path, oracle, name="logits"):
    ids = np.random.default_rng(1).integers(0, VOCAB, (2, 21))
    with torch.no_grad():
        expected = oracle(input_ids=torch.tensor(ids))[name].numpy()
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(load(path)(input_ids=ids)[name], expected, atol=2e-5)


@pytest.mark.parametrize("kind", SIMPLE + SUPER_BLOCKS, ids=lambda kind: kind.name)
def test_llama_of_every_block_type(tmp_path, kind):
    path = tmp_path / "model.gguf"
    check_output(path, write_llama(path, kind))


def test_llama_without_a_head_uses_the_embeddings(tmp_path):
    path = tmp_path / "model.gguf"
    check_output(path, write_llama(path, Kind.F32, tied=True))


@pytest.mark.parametrize("kind", SIMPLE, ids=lambda kind: kind.name)
def test_phi_2(tmp_path, kind):
    path = tmp_path / "model.gguf"
    check_output(path, write_phi(path, kind))


def test_phi_2_with_fused_projections(tmp_path):
    path = tmp_path / "model.gguf"
    check_output(path, write_phi(path, Kind.F32, fused=True))


@pytest.mark.parametrize("kind", SIMPLE, ids=lambda kind: kind.name)
def test_bert(tmp_path, kind):
    path = tmp_path / "model.gguf"
    check_output(path, write_bert(path, kind), "last_hidden_state")


def test_a_file_of_version_2(tmp_path):
    path = tmp_path / "model.gguf"
    oracle = write_llama(path, Kind.F32)
    with open(path, "r+b") as file:
        assert struct.unpack("<4sI", file.read(8)) == (b"GGUF", 3)
        file.seek(4)
        file.write(struct.pack("<I", 2))
    check_output(path, oracle)
