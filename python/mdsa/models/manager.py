"""Keeps models ready under a limit: the way most applications use this library."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import Any

from mdsa import _native
from mdsa.errors import (
    AlreadyExistsError,
    MdsaError,
    ResourceExhaustedError,
    as_load_error,
)
from mdsa.model import Model
from mdsa.models.config import ModelConfig, as_model_config
from mdsa.models.loader import LoadBar, ModelLoader, Progress
from mdsa.models.registry import ModelRegistry, config_of, iso_time

_HEADROOM = 1.1  # the one margin of the memory check over an estimate


class ModelManager:
    """Thread-safe. Concurrent requests for one id load it once; different models load in parallel.

    `loader` may be replaced by any object with load(config) and estimate_memory(config); what it
    makes is kept, counted and evicted by the same rules.
    """

    def __init__(
        self, cache_dir: str | os.PathLike[str] | None = None, max_models: int = 10
    ) -> None:
        given = None if cache_dir is None else os.path.expanduser(os.fsencode(cache_dir))
        self._native = _native.ModelManager(max_models, given)
        self.loader: Any = ModelLoader(cache_dir)
        self.registry = ModelRegistry._over(self._native.registry())
        self._own_loader = self.loader
        self._lock = threading.Lock()
        self._flights: dict[str, _Flight] = {}  # loads through a replaced loader, by id
        # Handles in use, so that asking twice gives the same object.
        self._handles: weakref.WeakValueDictionary[str, Model] = weakref.WeakValueDictionary()

    def get_or_load(
        self, model_id: str, config: Any = None, progress: Progress | None = None
    ) -> tuple[Any, Any]:
        """The model of that id and its tokenizer, loaded with `config` if it is not there.

        The model may be kept for as long as the manager lives: while it is evicted it takes no
        memory, and the next call on it loads it again. After a failed load nothing stays
        registered. Errors as in ModelLoader.load; MemoryError when the model cannot fit.
        """
        entry = self.registry._native.peek(model_id)
        is_native = entry is not None and entry["model"] is not None
        if is_native or (entry is None and self._loads_natively()):
            return self._get_or_load_native(model_id, config, entry, progress)
        return self._get_or_load_object(model_id, config)

    def is_loaded(self, model_id: str) -> bool:
        return self.registry.is_loaded(model_id)

    def get_info(self, model_id: str) -> dict[str, Any] | None:
        """What is known of a loaded model; asking counts no use.

        loaded_at and last_used are ISO 8601 with zone, load_time is in seconds since the epoch.
        """
        info = self.registry.peek(model_id)
        return None if info is None else {**info.to_dict(), "last_used": iso_time(info.last_used)}

    def get_stats(self) -> dict[str, Any]:
        """models_loaded, max_models, total_memory_mb, total_uses and the models by id."""
        return self.registry.get_stats()

    def list_models(self) -> list[str]:
        return self.registry.list_models()

    def unload(self, model_id: str) -> bool:
        """False if it was not loaded. Calls in progress finish first."""
        self._handles.pop(model_id, None)
        return self._native.unload(model_id)

    def clear_all(self) -> None:
        self._handles.clear()
        self._native.clear_all()

    def _check_memory_availability(self, estimated_mb: float, device: str = "cpu") -> bool:
        """Whether a model of that size fits into the memory that is free now."""
        hardware = _native.detect_hardware()
        free = hardware["available_memory_bytes"]
        if device.startswith("cuda"):
            index = int(device.partition(":")[2] or 0)
            free = sum(d["free_bytes"] for d in hardware["cuda_devices"] if d["id"] == index)
        return bool(estimated_mb * 1e6 * _HEADROOM <= free)

    def _loads_natively(self) -> bool:
        """False once a caller has put another loader, or another load(), in place of ours."""
        return (
            self.loader is self._own_loader
            and getattr(self.loader.load, "__func__", None) is _LOAD
            and getattr(self._check_memory_availability, "__func__", None) is _CHECK_MEMORY
        )

    def _get_or_load_native(
        self, model_id: str, config: Any, entry: Any, progress: Progress | None
    ) -> tuple[Model, Any]:
        try:
            if config is None and entry is not None:
                config = config_of(entry)
            config = as_model_config(config)
            with LoadBar(config.model_name, progress) as bar:
                handle = self._native.get_or_load(model_id, config._to_json(), bar.callback)
        except MdsaError as error:
            raise as_load_error(error) from error
        model = self._handles.get(model_id)
        if model is None or model.load_config != config:
            model = Model(handle, config)
            self._handles[model_id] = model
        else:
            model._native = handle
        return model, model.tokenizer

    def _get_or_load_object(self, model_id: str, config: Any) -> tuple[Any, Any]:
        """The same for entries that are Python objects, with a single flight of its own."""
        while True:
            with self._lock:
                info = self.registry.get(model_id)
                if info is not None:
                    return info.model, info.tokenizer
                flight = self._flights.get(model_id)
                leads = flight is None
                if leads:
                    flight = self._flights[model_id] = _Flight()
            if leads:
                return self._fly(flight, model_id, config)
            flight.done.wait()
            if flight.error is not None:
                raise flight.error
            # Loaded; or the leading thread was interrupted, and another has to lead.

    def _fly(self, flight: _Flight, model_id: str, config: Any) -> tuple[Any, Any]:
        try:
            return self._load_object(model_id, as_model_config(config))
        except Exception as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                del self._flights[model_id]
            flight.done.set()

    def _load_object(self, model_id: str, config: ModelConfig) -> tuple[Any, Any]:
        estimated_mb = float(self.loader.estimate_memory(config))
        if not self._check_memory_availability(estimated_mb, config.device):
            raise ResourceExhaustedError(
                f"Insufficient memory for model {model_id!r} on {config.device}: about "
                f"{estimated_mb:.0f} MB are needed. Unload a model, or choose a smaller format"
            )
        model, tokenizer = self.loader.load(config)
        memory_mb = model.memory_mb if isinstance(model, Model) else estimated_mb
        with contextlib.suppress(AlreadyExistsError):
            self.registry.register(model_id, config, model, tokenizer, memory_mb)
        info = self.registry.get(model_id)
        if info is None:  # evicted again already
            return model, tokenizer
        # Registered by hand meanwhile? Then that entry is the one everybody gets.
        return info.model, info.tokenizer

    def __repr__(self) -> str:
        return f"<ModelManager loaded={len(self.registry)} max={self.registry.max_models}>"


class _Flight:
    """One load that several threads wait for."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: Exception | None = None


# What the members are unless a caller puts something else in their place.
_LOAD = ModelLoader.load
_CHECK_MEMORY = ModelManager._check_memory_availability
