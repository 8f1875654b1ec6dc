"""Importing the package is quick and does nothing else."""

import json

MEASURE = """
import json, os, sys, time
before = set(os.listdir(os.environ["HOME"]))
started = time.perf_counter()
import mdsa, mdsa.models, mdsa.utils
seconds = time.perf_counter() - started
heavy = {"torch", "transformers", "numpy", "jinja2", "tqdm", "socket", "ssl", "subprocess"}
print(json.dumps({
    "seconds": seconds,
    "heavy": sorted(heavy & set(sys.modules)),
    "made": sorted(set(os.listdir(os.environ["HOME"])) - before),
}))
"""

NO_NETWORK = """
import sys
def audit(event, arguments):
    if event.startswith("socket.") or event in ("os.mkdir", "subprocess.Popen", "os.system"):
        raise RuntimeError(f"{event} {arguments}")
sys.addaudithook(audit)
import mdsa
manager = mdsa.ModelManager()
manager.get_stats()
mdsa.ModelLoader().estimate_memory(mdsa.TIER1_TINYBERT)
try:
    mdsa.ModelLoader().load(mdsa.TIER1_TINYBERT)
except ValueError as error:
    print(error)
"""


def test_import_is_quick_and_pure(fresh_python, tmp_path):
    runs = [
        json.loads(fresh_python(MEASURE, HOME=str(tmp_path), MDSA_HOME=str(tmp_path / "mdsa")).stdout)
        for _ in range(5)
    ]
    # The best of several runs, because the machine may be busy.
    assert min(run["seconds"] for run in runs) < 0.15
    assert all(run["heavy"] == [] and run["made"] == [] for run in runs)


def test_nothing_reaches_for_the_network(fresh_python, tmp_path):
    output = fresh_python(
        NO_NETWORK, HOME=str(tmp_path), MDSA_HOME=str(tmp_path / "mdsa"), HF_HOME=str(tmp_path)
    )
    assert output.stdout.startswith("Model loading failed: ")
    assert "TinyBERT_General_6L_768D" in output.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_replaced_torch_is_asked_for_devices(monkeypatch):
    from types import SimpleNamespace

    from mdsa.utils import hardware

    def fake(devices):
        properties = SimpleNamespace(total_memory=24 << 30, major=8, minor=9)
        return SimpleNamespace(
            cuda=SimpleNamespace(
                is_available=lambda: bool(devices),
                device_count=lambda: devices,
                get_device_name=lambda index: f"GPU {index}",
                get_device_properties=lambda index: properties,
            )
        )

    monkeypatch.setattr(hardware, "torch", fake(1))
    detector = hardware.HardwareDetector()
    assert detector.has_cuda is True
    assert detector.cuda_devices == [
        {"id": 0, "name": "GPU 0", "memory_gb": 24.0, "compute_capability": (8, 9)}
    ]
    assert detector.best_device_for_tier2() == "cuda:0"
    assert detector.best_device_for_tier3() == "cuda:0"
    monkeypatch.setattr(hardware, "torch", fake(0))
    detector = hardware.HardwareDetector()
    assert (detector.has_cuda, detector.cuda_devices) == (False, [])


def test_hardware_of_this_machine():
    from mdsa import HardwareDetector, get_hardware_info

    detector = HardwareDetector()
    assert detector.cpu_count >= 1
    assert 0 < detector.available_memory_gb <= detector.memory_gb
    assert detector.best_device_for_tier1() == "cpu"
    assert detector.check_requirements(1)[0] is True
    assert detector.check_requirements(9)[0] is False
    assert "HardwareDetector" in repr(detector)
    assert set(get_hardware_info()) == {
        "platform",
        "python_version",
        "cpu_cores",
        "memory_gb",
        "has_cuda",
        "has_mps",
        "has_rocm",
        "cuda_devices",
        "tier1_device",
        "tier2_device",
        "tier3_device",
    }


def test_tier_3_on_a_small_machine(monkeypatch):
    import pytest

    from mdsa import HardwareDetector

    detector = HardwareDetector()
    detector.memory_gb, detector.cuda_devices, detector.has_mps = 8.0, [], False
    with pytest.raises(RuntimeError, match="GPU"):
        detector.best_device_for_tier3()
    assert detector.get_summary()["tier3_device"].startswith("Error: ")
    assert detector.check_requirements(3)[0] is False
    assert detector.get_optimal_device(1000) == "cpu"
