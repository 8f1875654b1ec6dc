"""Memory of a load, measured in a fresh process: what stays, and the most there ever was.

The bound: the process keeps at most the packed weights plus 5 % plus 30 MB, interpreter included;
the peak is at most that plus the largest tensor in its source form for each loading thread.
"""

import json
import struct

import pytest

MEASURE = """
import json, sys
import mdsa
from mdsa import _native

def resident():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    kilobytes = lambda key: int(status[key].split()[0]) * 1024
    return kilobytes("RssAnon") + kilobytes("RssFile"), kilobytes("VmHWM")

threads = _native.detect_hardware()["usable_cores"]
config = mdsa.ModelConfig(
    sys.argv[1], "tier3", quantization=sys.argv[2])
model, _ = mdsa.ModelLoader().load(config)
stays, peak = resident()
model([1, 2, 3, 4])
used, _ = resident()
print(json.dumps({
    "stays": stays, "used": used, "peak": peak, "threads": threads,
    "weights": model.description.weight_bytes,
}))
"""


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


@pytest.mark.parametrize("quantization", ["none", "int8", "int4"])
@pytest.mark.parametrize("source", ["smollm2_hf", "smollm2_gguf", "minilm_dir"])
def test_what_a_load_takes(request, fresh_python, source, quantization):
    path = request.getfixturevalue(source)
    measured = json.loads(fresh_python(MEASURE, path, quantization).stdout)
    may_stay = 1.05 * measured["weights"] + 30e6
    assert measured["stays"] <= may_stay, measured
    # Mapped weights become resident when they are used; numpy, cache and activations come on top.
    assert measured["used"] <= may_stay + 20e6, measured
    may_peak = may_stay + largest_source_tensor(path) * measured["threads"]
    assert measured["peak"] <= may_peak, measured


def test_a_quantized_model_is_smaller(fresh_python, smollm2_hf):
    sizes = [
        json.loads(fresh_python(MEASURE, smollm2_hf, quantization).stdout)["weights"]
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
