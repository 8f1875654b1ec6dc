"""Model management: what to load, loading it, tracking it, and keeping it under a limit."""

from typing import Any

from mdsa.model import Model
from mdsa.models import config as _config
from mdsa.models.config import ModelConfig, ModelTier, QuantizationType
from mdsa.models.events import Subscription
from mdsa.models.lease import Lease
from mdsa.models.loader import ModelLoader
from mdsa.models.manager import ModelManager
from mdsa.models.registry import ModelInfo, ModelRegistry
from mdsa.tokenizer import Tokenizer

__all__ = [
    "TIER1_TINYBERT",
    "TIER2_PHI",
    "Lease",
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
]


def __getattr__(name: str) -> Any:
    if name in ("TIER1_TINYBERT", "TIER2_PHI"):
        return getattr(_config, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
