"""The specification of one model: which checkpoint, where it runs, and in which number format."""

from __future__ import annotations

import dataclasses
import enum
import json
import operator
from typing import Any

from mdsa import _native
from mdsa.errors import InvalidArgumentError


class ModelTier(enum.Enum):
    """TIER1: a small encoder that classifies. TIER2: a small general model. TIER3: a domain model."""

    TIER1 = "tier1"
    TIER2 = "tier2"
    TIER3 = "tier3"


class QuantizationType(enum.Enum):
    """Number format of the weights in memory."""

    NONE = "none"  # as stored in the checkpoint
    INT4 = "int4"  # NF4 with double quantization, blocks of 64
    INT8 = "int8"  # the weights of LLM.int8(), with fp32 activations
    FP16 = "fp16"
    BFLOAT16 = "bfloat16"


_DEFAULT_TIER1_MODEL = "huawei-noah/TinyBERT_General_6L_768D"
_DEFAULT_TIER2_MODEL = "microsoft/phi-1_5"


@dataclasses.dataclass(repr=False)
class ModelConfig:
    """A mutable value, checked when made and again by every load.

    ``device="auto"`` is replaced at once with the best device that this build can compute on.
    ``compile_model`` and ``optimization_level`` are accepted for compatibility and have no effect,
    and code from a checkpoint is never run, whatever ``trust_remote_code`` says.
    """

    model_name: str
    """Directory, GGUF file or Hub id."""
    tier: ModelTier | str
    device: str = "auto"
    """One of "auto", "cpu", "cuda", "cuda:N" and "mps"."""
    quantization: QuantizationType | str = QuantizationType.NONE
    max_length: int = 512
    """Tokens of prompt and answer together; capped by the model's context."""
    batch_size: int = 1
    """Texts per forward pass of embed and classify."""
    temperature: float = 0.7
    """Default of sampled generation."""
    use_cache: bool = True
    trust_remote_code: bool = False
    torch_dtype: str | None = None
    """Storage of what the quantization leaves alone: "auto", "float32", "float16" or "bfloat16"."""
    compile_model: bool = False
    optimization_level: int = 1
    cache_dir: str | None = None
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Kept and reported, not interpreted."""

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        # Whoever has checked this configuration sees by the stamp whether it has changed since.
        object.__setattr__(self, "_stamp", object())

    def __post_init__(self) -> None:
        _native.check_config(self._to_json())
        self.tier = ModelTier(self.tier)
        self.quantization = QuantizationType(self.quantization)
        if self.device == "auto":
            self.device = _native.auto_device()

    @classmethod
    def for_tier1(cls, model_name: str = _DEFAULT_TIER1_MODEL, **overrides: Any) -> ModelConfig:
        """CPU, not quantized, 128 tokens. Any field may be overridden by keyword."""
        preset = {"device": "cpu", "max_length": 128}
        return cls(model_name, **{"tier": ModelTier.TIER1, **preset, **overrides})

    @classmethod
    def for_tier2(
        cls, model_name: str = _DEFAULT_TIER2_MODEL, device: str = "auto", **overrides: Any
    ) -> ModelConfig:
        """INT8, 512 tokens. Any field may be overridden by keyword."""
        preset = {"device": device, "quantization": QuantizationType.INT8, "max_length": 512}
        return cls(model_name, **{"tier": ModelTier.TIER2, **preset, **overrides})

    @classmethod
    def for_tier3(cls, model_name: str, device: str = "auto", **overrides: Any) -> ModelConfig:
        """INT4, 2048 tokens. Any field may be overridden by keyword."""
        preset = {"device": device, "quantization": QuantizationType.INT4, "max_length": 2048}
        return cls(model_name, **{"tier": ModelTier.TIER3, **preset, **overrides})

    def to_dict(self) -> dict[str, Any]:
        """All fields, enums by value. A copy: changing it does not change the configuration."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["tier"] = _enum_value(self.tier)
        values["quantization"] = _enum_value(self.quantization)
        values["kwargs"] = dict(self.kwargs)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Takes what to_dict gives. An unknown key is a TypeError."""
        return cls(**values)

    def _to_json(self) -> str:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["tier"] = _enum_value(self.tier)
        values["quantization"] = _enum_value(self.quantization)
        if not isinstance(self.kwargs, dict):
            raise InvalidArgumentError(f"kwargs must be a dict, not {type(self.kwargs).__name__}")
        try:
            # The library only carries kwargs along, so values that JSON lacks go as their text.
            kwargs = json.dumps(self.kwargs, default=_plain_or_text, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidArgumentError(f"kwargs: {error}") from error
        values["kwargs"] = json.loads(kwargs)
        for name, value in values.items():
            if isinstance(value, str) and not value.isascii():
                try:
                    value.encode()
                except UnicodeEncodeError as error:
                    raise InvalidArgumentError(f"{name} {value!a} is no valid Unicode") from error
        try:
            return json.dumps(values, default=_plain, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InvalidArgumentError(f"model configuration: {error}") from error

    def __repr__(self) -> str:
        return (
            f"<ModelConfig {self.model_name} tier={_enum_value(self.tier)} "
            f"device={self.device} quant={_enum_value(self.quantization)}>"
        )


def as_model_config(config: Any) -> ModelConfig:
    """Accepts a ModelConfig, its dict, or any object with the fields of a domain configuration."""
    if isinstance(config, ModelConfig):
        return config
    if isinstance(config, dict):
        return ModelConfig.from_dict(config)
    if hasattr(config, "model_name") and hasattr(config, "model_tier"):
        return ModelConfig(
            model_name=config.model_name,
            tier=config.model_tier,
            device=getattr(config, "device", "auto"),
            quantization=getattr(config, "quantization", QuantizationType.NONE),
            batch_size=getattr(config, "batch_size", 1),
            temperature=getattr(config, "temperature", 0.7),
        )
    raise InvalidArgumentError(
        f"config must be a ModelConfig, not {type(config).__name__}; "
        "ModelConfig.for_tier3(model_name) makes one"
    )


def _enum_value(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def _plain(value: Any) -> Any:
    """JSON form of a path or of a truth value, integer or float of another library."""
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    if getattr(getattr(value, "dtype", None), "kind", None) == "b":
        return bool(value)  # numpy's
    if hasattr(value, "__index__"):
        return operator.index(value)
    if hasattr(value, "__float__"):
        return float(value)
    raise TypeError(f"a value of type {type(value).__name__} does not belong there")


def _plain_or_text(value: Any) -> Any:
    try:
        return _plain(value)
    except TypeError:
        return str(value)


_CONSTANTS = {"TIER1_TINYBERT": ModelConfig.for_tier1, "TIER2_PHI": ModelConfig.for_tier2}


def __getattr__(name: str) -> ModelConfig:
    """TIER1_TINYBERT and TIER2_PHI are made on first use, because "auto" asks the machine."""
    if name not in _CONSTANTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, _CONSTANTS[name]())
