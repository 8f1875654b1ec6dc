"""Cores, memory and accelerators of this machine or container, and which device suits a tier.

CUDA devices are asked of the driver. A ``torch`` that was imported before, or that a caller puts
into this module, is asked instead, so that both agree on what there is.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

from mdsa import _native

torch: Any = sys.modules.get("torch")

_GIB = float(1 << 30)
_TIER2_MIN_GB = 3.0  # an INT8 model of 1.3B parameters with its cache
_TIER3_MIN_GB = 8.0  # an INT4 model of 7B to 13B parameters with its cache
_TIER3_MPS_MIN_GB = 16.0  # shared with everything else on the machine
_TIER3_CPU_MIN_GB = 32.0


class HardwareDetector:
    """Asks the machine once, when made. Sizes ending in _gb are GiB."""

    def __init__(self) -> None:
        native = _native.detect_hardware()
        self.cpu_count: int = max(1, native["physical_cores"])
        self.memory_gb: float = native["total_memory_bytes"] / _GIB
        self.available_memory_gb: float = native["available_memory_bytes"] / _GIB
        self.platform: str = platform.system()
        self.python_version: str = platform.python_version()
        self.cpu_model: str = native["cpu_model"]
        self.cpu_features: list[str] = native["cpu_features"]
        self.kernel_target: str = native["kernel_target"]
        if torch is None:
            self.cuda_devices: list[dict[str, Any]] = [_from_driver(d) for d in native["cuda_devices"]]
            self.has_mps: bool = native["has_mps"]
            self.has_rocm: bool = False
        else:
            self.cuda_devices = _torch_cuda_devices()
            self.has_mps = _torch_has_mps()
            self.has_rocm = getattr(getattr(torch, "version", None), "hip", None) is not None
        self.has_cuda: bool = bool(self.cuda_devices)

    def best_device_for_tier1(self) -> str:
        return "cpu"

    def best_device_for_tier2(self) -> str:
        return self._cuda_with(_TIER2_MIN_GB) or ("mps" if self.has_mps else "cpu")

    def best_device_for_tier3(self) -> str:
        """RuntimeError if nothing here suits a model of 7 to 13 billion parameters."""
        device = self._cuda_with(_TIER3_MIN_GB)
        if device:
            return device
        if self.has_mps and self.memory_gb >= _TIER3_MPS_MIN_GB:
            return "mps"
        if self.memory_gb >= _TIER3_CPU_MIN_GB:
            return "cpu"
        raise RuntimeError(
            f"Tier 3 needs a GPU with {_TIER3_MIN_GB:g} GiB or {_TIER3_CPU_MIN_GB:g} GiB of RAM; "
            f"this machine has {self.memory_gb:.1f} GiB of RAM and {len(self.cuda_devices)} GPU(s). "
            "A smaller model, or INT4, may still fit: ModelLoader().estimate_memory(config) tells."
        )

    def get_optimal_device(self, min_memory_gb: float = 0) -> str:
        """The first of CUDA, MPS and CPU with that much memory; "cpu" if there is none."""
        device = self._cuda_with(min_memory_gb)
        if device:
            return device
        return "mps" if self.has_mps and self.memory_gb >= min_memory_gb else "cpu"

    def check_requirements(self, tier: int = 3) -> tuple[bool, str]:
        """Whether models of a tier can run here, and why."""
        if tier in (1, 2):
            return True, f"Tier {tier} runs on any machine"
        if tier != 3:
            return False, f"unknown tier {tier}: expected 1, 2 or 3"
        try:
            return True, f"Tier 3 can run on {self.best_device_for_tier3()}"
        except RuntimeError as error:
            return False, str(error)

    def get_summary(self) -> dict[str, Any]:
        try:
            tier3_device = self.best_device_for_tier3()
        except RuntimeError as error:
            tier3_device = f"Error: {error}"
        return {
            "platform": self.platform,
            "python_version": self.python_version,
            "cpu_cores": self.cpu_count,
            "memory_gb": round(self.memory_gb, 2),
            "has_cuda": self.has_cuda,
            "has_mps": self.has_mps,
            "has_rocm": self.has_rocm,
            "cuda_devices": self.cuda_devices,
            "tier1_device": self.best_device_for_tier1(),
            "tier2_device": self.best_device_for_tier2(),
            "tier3_device": tier3_device,
        }

    def print_summary(self) -> None:
        for key, value in self.get_summary().items():
            print(f"{key}: {value}")

    def _cuda_with(self, min_memory_gb: float) -> str | None:
        for device in self.cuda_devices:
            if device["memory_gb"] >= min_memory_gb:
                return f"cuda:{device['id']}"
        return None

    def __repr__(self) -> str:
        return (
            f"<HardwareDetector cpu={self.cpu_count} memory_gb={self.memory_gb:.1f} "
            f"cuda={len(self.cuda_devices)} mps={self.has_mps}>"
        )


def get_hardware_info() -> dict[str, Any]:
    """HardwareDetector().get_summary()."""
    return HardwareDetector().get_summary()


def _from_driver(device: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": device["id"],
        "name": device["name"],
        "memory_gb": device["total_bytes"] / _GIB,
        "compute_capability": (device["compute_major"], device["compute_minor"]),
    }


def _torch_cuda_devices() -> list[dict[str, Any]]:
    if not torch.cuda.is_available():
        return []
    devices = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append(
            {
                "id": index,
                "name": torch.cuda.get_device_name(index),
                "memory_gb": properties.total_memory / _GIB,
                "compute_capability": (properties.major, properties.minor),
            }
        )
    return devices


def _torch_has_mps() -> Any:
    backend = getattr(getattr(torch, "backends", None), "mps", None)
    return backend.is_available() if backend is not None else False
