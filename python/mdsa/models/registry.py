"""Which models are loaded, how they were used, and which goes first when the limit is reached."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from mdsa import _native
from mdsa.model import Model
from mdsa.models.config import ModelConfig

_PRESSURE = 0.7  # of the limit; a warning, it evicts nothing


@dataclasses.dataclass
class ModelInfo:
    """One entry of a registry. Holding it keeps the model in memory, so hold it for a call only."""

    model_id: str
    config: Any
    model: Any
    tokenizer: Any = None
    load_time: float = dataclasses.field(default_factory=time.time)
    """Seconds since the epoch, as last_used."""
    last_used: float = dataclasses.field(default_factory=time.time)
    use_count: int = 0
    memory_mb: float = 0.0

    def mark_used(self) -> None:
        """Counts a use on this object. Entries of a registry are counted by its get()."""
        self.last_used = time.time()
        self.use_count += 1

    def to_dict(self) -> dict[str, Any]:
        """Everything but the objects; load_time and last_used are seconds since the epoch."""
        config = self.config
        tier = getattr(config, "tier", None)
        return {
            "model_id": self.model_id,
            "config": config.to_dict() if hasattr(config, "to_dict") else None,
            "tier": getattr(tier, "value", tier),
            "load_time": self.load_time,
            "loaded_at": iso_time(self.load_time),
            "last_used": self.last_used,
            "use_count": self.use_count,
            "memory_mb": self.memory_mb,
            "age_seconds": time.time() - self.load_time,
        }


class ModelRegistry:
    """Thread-safe. Entries are models, or any objects of the application with a declared size.

    At the limit, the least recently used entries go first, as many as needed and no more; recency
    is a counter of uses, so clock steps cannot change the victim.
    """

    def __init__(self, max_models: int = 2) -> None:
        self._native = _native.ModelRegistry(max_models)

    @classmethod
    def _over(cls, native: _native.ModelRegistry) -> ModelRegistry:
        """A view of a registry that the C++ library owns."""
        registry = cls.__new__(cls)
        registry._native = native
        return registry

    def register(
        self,
        model_id: str,
        config: Any,
        model: Any,
        tokenizer: Any = None,
        memory_mb: float = 0.0,
    ) -> ModelInfo:
        """Adds an entry; registering is not a use. A known id is an AlreadyExistsError."""
        info = ModelInfo(model_id, config, model, tokenizer, memory_mb=memory_mb)
        self._native.register(model_id, info, memory_mb)
        return info

    def get(self, model_id: str) -> ModelInfo | None:
        """The entry, counting a use; None if there is none."""
        return self._info(self._native.get(model_id))

    def peek(self, model_id: str) -> ModelInfo | None:
        """The same without counting a use."""
        return self._info(self._native.peek(model_id))

    def is_loaded(self, model_id: str) -> bool:
        return self._native.is_loaded(model_id)

    def unregister(self, model_id: str) -> bool:
        """False if there is no such entry. Calls in progress keep the model until they end."""
        return self._native.unregister(model_id)

    def list_models(self) -> list[str]:
        """Ids in the order of registration."""
        return self._native.list_models()

    def clear(self) -> None:
        self._native.clear()

    def check_memory_pressure(self) -> bool:
        """True when the registry is 70 % full or more."""
        return len(self) >= _PRESSURE * self.max_models

    def get_stats(self) -> dict[str, Any]:
        """Totals and, by id, ModelInfo.to_dict()."""
        stats = self._native.get_stats()
        models = {}
        for entry in stats["models"]:
            info = self.peek(entry["model_id"])
            # An entry that went away since the snapshot is reported as it was, without its config.
            models[entry["model_id"]] = (info or _snapshot(entry)).to_dict()
        return {**stats, "models": models}

    @property
    def max_models(self) -> int:
        """The limit; a new value counts from the next register on."""
        return self._native.max_models

    @max_models.setter
    def max_models(self, value: int) -> None:
        self._native.set_max_models(value)

    @property
    def _models(self) -> MutableMapping[str, Any]:
        return _ModelsView(self)

    @_models.setter
    def _models(self, entries: Mapping[str, Any]) -> None:
        self.clear()
        self._models.update(entries)

    def _info(self, entry: dict[str, Any] | None) -> ModelInfo | None:
        if entry is None:
            return None
        if isinstance(entry["foreign"], ModelInfo):
            # The object that register returned; the library's counters are the true ones.
            info = entry["foreign"]
            info.load_time, info.last_used = entry["loaded_at"], entry["last_used"]
            info.use_count, info.memory_mb = entry["use_count"], entry["memory_mb"]
            return info
        return _snapshot(entry)

    def __len__(self) -> int:
        return len(self._native)

    def __contains__(self, model_id: object) -> bool:
        return isinstance(model_id, str) and self._native.is_loaded(model_id)

    def __repr__(self) -> str:
        return f"<ModelRegistry loaded={len(self)} max={self.max_models}>"


class _ModelsView(MutableMapping[str, Any]):
    """The entries of a registry as a live mapping from id to ModelInfo. Reading counts no use."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    def __getitem__(self, model_id: str) -> ModelInfo:
        info = self._registry.peek(model_id)
        if info is None:
            raise KeyError(model_id)
        return info

    def __setitem__(self, model_id: str, value: Any) -> None:
        self._registry.unregister(model_id)
        if isinstance(value, ModelInfo):
            self._registry._native.register(model_id, value, value.memory_mb)
        else:
            self._registry.register(model_id, None, value)

    def __delitem__(self, model_id: str) -> None:
        if not self._registry.unregister(model_id):
            raise KeyError(model_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._registry.list_models())

    def __len__(self) -> int:
        return len(self._registry)


def iso_time(seconds: float) -> str:
    """ISO 8601 with zone (UTC), from seconds since the epoch."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat()


def config_of(entry: dict[str, Any]) -> ModelConfig | None:
    """The configuration in an entry of the C++ library."""
    return None if entry["config"] is None else ModelConfig.from_dict(json.loads(entry["config"]))


def _snapshot(entry: dict[str, Any]) -> ModelInfo:
    config = config_of(entry)
    native = entry["model"]
    model = None if native is None else Model(native, config)
    return ModelInfo(
        model_id=entry["model_id"],
        config=config,
        model=model,
        tokenizer=None if model is None else model.tokenizer,
        load_time=entry["loaded_at"],
        last_used=entry["last_used"],
        use_count=entry["use_count"],
        memory_mb=entry["memory_mb"],
    )
