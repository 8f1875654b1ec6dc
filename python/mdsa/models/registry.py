"""Which models are loaded, how they were used, and which goes first when the limit is reached."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from mdsa import _native
from mdsa.model import Model
from mdsa.models.config import ModelConfig

_PRESSURE = 0.7  # of the limit; a warning, it evicts nothing
_STATE_FIELDS = ("leases", "pinned", "time_to_live", "state")
_STAMPS = 4  # configurations that are remembered to fit one loaded model


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
    leases: int = 0
    """Calls that use it now."""
    pinned: bool = False
    time_to_live: float | None = None
    """Seconds that it may stay unused; None: it stays."""
    state: str = "ready"
    """"ready", or "draining" when it takes no new calls."""

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
            "leases": self.leases,
            "pinned": self.pinned,
            "time_to_live": self.time_to_live,
            "state": self.state,
        }


class ModelRegistry:
    """Thread-safe. Entries are models, or any objects of the application with a declared size.

    At the limit, the least recently used entries go first, as many as needed and no more; recency
    is a counter of uses, so clock steps cannot change the victim.
    """

    def __init__(self, max_models: int = 2) -> None:
        self._native = _native.ModelRegistry(max_models)
        self._hits = HitCache()

    @classmethod
    def _over(cls, native: _native.ModelRegistry, hits: HitCache) -> ModelRegistry:
        """A view of a registry that the C++ library owns."""
        registry = cls.__new__(cls)
        registry._native = native
        registry._hits = hits
        return registry

    def register(
        self,
        model_id: str,
        config: Any,
        model: Any,
        tokenizer: Any = None,
        memory_mb: float = 0.0,
    ) -> ModelInfo:
        """Adds an entry; registering is not a use. A known id is an AlreadyExistsError.

        It counts for the memory of `config.device`. At a limit, entries that nobody uses are
        evicted; ResourceExhaustedError, naming who is in the way, if that does not make room.
        """
        info = ModelInfo(model_id, config, model, tokenizer, memory_mb=memory_mb)
        self._register(model_id, info)
        return info

    def _register(self, model_id: str, info: ModelInfo) -> None:
        try:
            self._native.register(model_id, info, info.memory_mb, memory_device(info.config))
        finally:
            self._hits.drop_stale()

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
        try:
            return self._native.unregister(model_id)
        finally:
            self._hits.drop_stale()

    def list_models(self) -> list[str]:
        """Ids in the order of registration."""
        return self._native.list_models()

    def clear(self) -> None:
        self._native.clear()
        self._hits.drop_stale()

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
            for name in _STATE_FIELDS:
                setattr(info, name, entry[name])
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
            self._registry._register(model_id, value)
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


def config_from_json(text: str) -> ModelConfig:
    """A configuration as the C++ library writes it."""
    return ModelConfig.from_dict(json.loads(text))


def _snapshot(entry: dict[str, Any]) -> ModelInfo:
    config = None if entry["config"] is None else config_from_json(entry["config"])
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
        **{name: entry[name] for name in _STATE_FIELDS},
    )


class HitCache(dict[str, tuple[Any, ...]]):
    """What ModelManager.get_or_load answers at once: see python/native/hit_method.cc.

    Objects of the application are kept by weak reference, so that they go with their entry; models
    of this library, which take no memory themselves but for the tokenizer, by drop_stale.
    """

    _all: weakref.WeakValueDictionary[int, HitCache] = weakref.WeakValueDictionary()

    def __init__(self) -> None:
        super().__init__()
        self._all[id(self)] = self

    def remember(
        self, model_id: str, entry: _native.EntryRef, answer: Any, config: ModelConfig | None
    ) -> None:
        """`config` is the caller's, checked; None: it gave none."""
        default, pairs = answer, ()
        known = self.get(model_id)
        if known is not None and known[0].is_ready():
            default, pairs = (answer if config is None else known[1]), known[2:]
        if config is not None:
            pairs = (config._stamp, answer, *pairs[: 2 * _STAMPS - 2])
        self[model_id] = (entry, default, *pairs)
        if not entry.is_ready():  # gone meanwhile, and nobody has seen it here
            self.pop(model_id, None)

    def drop_stale(self) -> None:
        """Forgets what is not in memory any more."""
        for model_id, hit in list(self.items()):
            if not hit[0].is_ready():
                self.pop(model_id, None)


def drop_stale_hits() -> None:
    """The native module has this called after an eviction."""
    for hits in list(HitCache._all.values()):
        hits.drop_stale()


def memory_device(config: Any) -> str:
    """Whose memory a model of that configuration takes, as the library names devices."""
    device = str(getattr(config, "device", "cpu"))
    return {"cuda": "cuda:0", "auto": "cpu"}.get(device, device)
