"""Keeps language models ready on one machine: loads, quantizes, runs and evicts them."""

from typing import Any

from mdsa import errors, models
from mdsa._native import __version__
from mdsa.errors import MdsaError
from mdsa.models import (
    Lease,
    Model,
    ModelConfig,
    ModelInfo,
    ModelLoader,
    ModelManager,
    ModelRegistry,
    ModelTier,
    QuantizationType,
    Subscription,
    Tokenizer,
)
from mdsa.utils.hardware import HardwareDetector, get_hardware_info

__author__ = "The mdsa authors"
__license__ = "Apache 2.0"

__all__ = [
    "TIER1_TINYBERT",
    "TIER2_PHI",
    "HardwareDetector",
    "Lease",
    "MdsaError",
    "Model",
    "ModelConfig",
    "ModelInfo",
    "ModelLoader",
    "ModelManager",
    "ModelRegistry",
    "ModelTier",
    "QuantizationType",
    "Subscription",
    "Tokenizer",
    "__author__",
    "__license__",
    "__version__",
    "errors",
    "get_hardware_info",
]


def __getattr__(name: str) -> Any:
    if name in ("TIER1_TINYBERT", "TIER2_PHI"):
        return getattr(models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
