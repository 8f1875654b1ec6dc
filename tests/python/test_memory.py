"""Memory of a load, measured in a fresh process: what stays, and the most there ever was.

The bound: the process keeps at most the packed weights plus 5 % plus 30 MB, interpreter included;
the peak is at most that plus the largest tensor in its source form for each of two loading threads
(more of them would make the bound one that no load can miss).
"""

import json
import pathlib
import struct

import pytest

MEASURE = """
import json, sys
import mdsa

def resident():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    kilobytes = lambda key: int(status[key].split()[0]) * 1024
    return kilobytes("RssAnon") + kilobytes("RssFile"), kilobytes("VmHWM")

config = mdsa.ModelConfig(
    sys.argv[1], "tier3", quantization=sys.argv[2])
model, _ = mdsa.ModelLoader().load(config)
stays, peak = resident()
model([1, 2, 3, 4])
used, _ = resident()
print(json.dumps({
    "stays": stays, "used": used, "peak": peak,
    "weights": model.description.weight_bytes,
}))
"""
THREADS = 2


def measure(fresh_python, path: str, quantization: str) -> dict[str, int]:
    return json.loads(
        fresh_python(MEASURE, path, quantization, MDSA_NUM_THREADS=str(THREADS)).stdout
    )


def largest_source_tensor(folder_or_file: str) -> int:
    """Bytes of the largest tensor, from the header."""
    if folder_or_file.endswith(".gguf"):
        import gguf

        return max(int(tensor.n_bytes) for tensor in gguf.GGUFReader(folder_or_file).tensors)
    with open(f"{folder_or_file}/model.safetensors", "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return max(end - begin for begin, end in (t["data_offsets"] for t in header.values()))


@pytest.mark.parametrize("quantization", ["none", "fp16", "bfloat16", "int8", "int4"])
@pytest.mark.parametrize("source", ["smollm2_hf", "smollm2_gguf", "minilm_dir"])
def test_what_a_load_takes(request, fresh_python, source, quantization):
    path = request.getfixturevalue(source)
    measured = measure(fresh_python, path, quantization)
    may_stay = 1.05 * measured["weights"] + 30e6
    assert measured["stays"] <= may_stay, measured
    # Mapped weights become resident when they are used; numpy, cache and activations come on top.
    assert measured["used"] <= may_stay + 20e6, measured
    may_peak = may_stay + largest_source_tensor(path) * THREADS
    assert measured["peak"] <= may_peak, measured


@pytest.mark.parametrize("quantization", ["fp16", "bfloat16", "int8", "int4"])
def test_a_conversion_never_holds_the_whole_source(fresh_python, smollm2_hf, quantization):
    source = (pathlib.Path(smollm2_hf) / "model.safetensors").stat().st_size
    assert measure(fresh_python, smollm2_hf, quantization)["peak"] < source


def test_a_quantized_model_is_smaller(fresh_python, smollm2_hf):
    sizes = [
        measure(fresh_python, smollm2_hf, quantization)["weights"]
        for quantization in ("none", "int8", "int4")
    ]
    assert sizes[0] > sizes[1] > sizes[2]


FREED = """
import gc, sys
import mdsa

def resident():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["RssAnon"].split()[0]) * 1024

manager = mdsa.ModelManager()
config = mdsa.ModelConfig.for_tier3(sys.argv[1], quantization="int8")
before = resident()
model, tokenizer = manager.get_or_load("a", config)
loaded = resident()
manager.unload("a")
gc.collect()
print(loaded - before, resident() - before)
"""


def test_unloading_gives_the_memory_back(fresh_python, smollm2_gguf):
    output = fresh_python(FREED, smollm2_gguf).stdout
    loaded, left = map(int, output.split())
    assert loaded > 100e6
    assert left < 0.3 * loaded
