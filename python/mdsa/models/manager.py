"""Keeps models ready under limits: the way most applications use this library."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Mapping
from typing import Any

from mdsa import _native
from mdsa.errors import (
    AlreadyExistsError,
    MdsaError,
    ResourceExhaustedError,
    as_load_error,
    error_for_code,
)
from mdsa.model import Model
from mdsa.models.config import ModelConfig, as_model_config
from mdsa.models.events import EventCallback, Subscription
from mdsa.models.lease import Lease
from mdsa.models.limits import MemorySize, limit_options
from mdsa.models.loader import LoadBar, ModelLoader, Progress
from mdsa.models.registry import (
    HitCache,
    ModelInfo,
    ModelRegistry,
    config_from_json,
    iso_time,
    memory_device,
)

_HEADROOM = 1.1  # the one margin of the memory check over an estimate
_MAX_MB = 1e12
_EVENTS_KEPT = 10_000  # for a subscriber who is slower than the manager


class ModelManager:
    """Thread-safe. Concurrent requests for one id load it once; different models load in parallel
    as the limits allow; a request for a model that is ready waits for nobody.

    Memory is reserved before it is allocated. If it is short, models that nobody uses are evicted,
    the least recently used first and no more than needed.

    `loader` may be replaced by any object with load(config) and estimate_memory(config); what it
    makes is kept, counted and evicted by the same rules.
    """

    def __init__(
        self,
        cache_dir: str | os.PathLike[str] | None = None,
        max_models: int = 10,
        *,
        max_memory: MemorySize | None = None,
        max_device_memory: Mapping[str, int | str] | None = None,
        time_to_live: float | None = None,
        min_residency: float = 0.0,
        max_queue_wait: float = 2.0,
        wait_timeout: float = 300.0,
        retry_delay: float = 0.5,
        max_retry_delay: float = 60.0,
        report_waits_after: float = 10.0,
    ) -> None:
        """Times are in seconds.

        max_models, max_memory and max_device_memory ({"cuda:0": bytes}) limit what is in memory at
        once: the models and, on the host, the calls that run. A model that was unused for
        time_to_live leaves (None: it stays); one stays at least min_residency once it is ready.
        After max_queue_wait a load that waits for memory in use makes the models in its way take no
        new calls; after wait_timeout it gives up. A failed load is not repeated for retry_delay,
        doubled at each further failure up to max_retry_delay. Longer waits than report_waits_after
        are events.
        """
        options = limit_options(
            max_memory,
            max_device_memory,
            time_to_live,
            max_models=max_models,
            min_residency=min_residency,
            max_queue_wait=max_queue_wait,
            wait_timeout=wait_timeout,
            retry_delay=retry_delay,
            max_retry_delay=max_retry_delay,
            report_waits_after=report_waits_after,
        )
        given = None if cache_dir is None else os.path.expanduser(os.fsencode(cache_dir))
        self._start(_native.ModelManager.make(options, given), cache_dir)

    @classmethod
    def from_config(cls, path: str | os.PathLike[str], *, preload: bool = True) -> ModelManager:
        """With the limits and the models of a configuration file, such as mdsa.toml.

        Models that ask for it are loaded at once, as preload() does, unless `preload` is False. The
        file's models need no configuration in get_or_load and lease.
        """
        manager = cls.__new__(cls)
        manager._start(*_native.ModelManager.from_config(os.path.expanduser(os.fsencode(path))))
        if preload:
            manager.preload()
        return manager

    def _start(
        self, native: _native.ModelManager, cache_dir: str | os.PathLike[str] | None
    ) -> None:
        self._native = native
        self._hits = HitCache()
        self.loader: Any = ModelLoader(cache_dir)
        self.registry = ModelRegistry._over(native.registry(), self._hits)
        self.preload_failures: dict[str, Exception] = {}
        """Of the last preload(), by model id."""
        self._own_loader = self.loader
        self._lock = threading.Lock()
        self._flights: dict[str, _Flight] = {}  # loads through a replaced loader, by id
        # Handles in use, so that asking twice gives the same object.
        self._handles: weakref.WeakValueDictionary[str, Model] = weakref.WeakValueDictionary()

    @_native.hit_path
    def get_or_load(
        self,
        model_id: str,
        config: Any = None,
        progress: Progress | None = None,
        *,
        timeout: float | None = None,
        wait: bool = True,
    ) -> tuple[Any, Any]:
        """The model of that id and its tokenizer, loaded with `config` if it is not there.

        Without a configuration, the one that was declared for the id or with which it was loaded is
        used. The model may be kept for as long as the manager lives: while it is evicted it takes
        no memory, and the next call on it loads it again.

        `timeout` is the longest wait in seconds (None: as long as a load takes; wait_timeout for
        memory), after which DeadlineExceededError is raised. With wait=False, memory that is in use
        is a ResourceExhaustedError at once. After a failed load nothing stays registered, and the
        same error is raised for a while without another try. Errors as in ModelLoader.load;
        MemoryError when the model cannot fit.
        """
        self._hits.drop_stale()
        if self._is_native(model_id):
            return self._get_or_load_native(model_id, config, progress, timeout, wait)
        return self._get_or_load_object(model_id, config)

    def lease(
        self, model_id: str, config: Any = None, *, timeout: float | None = None, wait: bool = True
    ) -> Lease:
        """The model of that id, in memory until the lease is released.

        with manager.lease("a", config) as model: gives the Model (the object itself for one that is
        not of this library), loaded if it is not there. Arguments and errors as in get_or_load.
        """
        hit = self._hits.get(model_id)
        answer = None if hit is None else _answer(hit, config)
        if answer is not None:
            native = hit[0].lease()
            if native is not None:
                model, tokenizer = answer
                leased = native.model()
                return Lease(native, model if leased is None else model._over(leased), tokenizer)
        self._hits.drop_stale()
        if self._is_native(model_id):
            return self._lease_native(model_id, config, timeout, wait)
        while True:
            model, tokenizer = self._get_or_load_object(model_id, config)
            native = self.registry._native.lease(model_id)
            if native is not None and (info := native.foreign()) is not None:
                return Lease(native, info.model, info.tokenizer)

    def is_loaded(self, model_id: str) -> bool:
        return self.registry.is_loaded(model_id)

    def get_info(self, model_id: str) -> dict[str, Any] | None:
        """What is known of a loaded model; asking counts no use.

        loaded_at and last_used are ISO 8601 with zone, load_time is in seconds since the epoch.
        """
        info = self.registry.peek(model_id)
        return None if info is None else {**info.to_dict(), "last_used": iso_time(info.last_used)}

    def get_stats(self) -> dict[str, Any]:
        """models_loaded, max_models, total_memory_mb, total_uses and the models by id.

        Asking counts no use.
        """
        return self.registry.get_stats()

    def list_models(self) -> list[str]:
        return self.registry.list_models()

    def unload(self, model_id: str, *, force: bool = False, timeout: float | None = None) -> bool:
        """False if it was not loaded. Nobody finds the model any more; its handles become void.

        Calls in progress finish first, waited for `timeout` seconds at most (wait_timeout if
        None); later the memory is freed when they end, and DeadlineExceededError says so. With
        `force`, which a pinned model needs, they end early with CancelledError.
        """
        return self._unload(model_id, force, timeout)[0]

    def free(self, model_id: str, *, force: bool = False, timeout: float | None = None) -> int:
        """As unload, but gives the number of bytes that were given back."""
        return self._unload(model_id, force, timeout)[1]

    def clear_all(self) -> None:
        """Unloads every model and object, pinned ones too; does not wait for calls in progress."""
        self._handles.clear()
        self._hits.clear()
        self._native.clear_all()
        self._hits.drop_stale()

    def pin(self, model_id: str) -> None:
        """Never evicts the model, now or after a later load; unload needs force."""
        self._native.set_pinned(model_id, True)

    def unpin(self, model_id: str) -> None:
        self._native.set_pinned(model_id, False)

    def set_time_to_live(self, model_id: str, seconds: float | None) -> None:
        """How long the model may stay unused, instead of the manager's time; None: for ever."""
        self._native.set_time_to_live(model_id, seconds)

    def declare(
        self,
        model_id: str,
        config: Any,
        *,
        pin: bool = False,
        time_to_live: Any = ...,
        preload: bool = False,
        required: bool = False,
        warm_up: str = "",
    ) -> None:
        """Configuration and settings of an id, for requests without a configuration.

        time_to_live is in seconds or None (for ever); left out, it is the manager's. preload()
        loads those with preload=True, runs warm_up once if it is not empty, and fails when one with
        required=True does.
        """
        native = as_model_config(config)._to_json()
        own_time = None if time_to_live is ... else (time_to_live,)
        self._native.declare(model_id, native, pin, own_time, preload, required, warm_up)

    def preload(self) -> dict[str, Exception]:
        """Loads the declared models that ask for it, at the same time as far as the limits allow.

        Gives what failed by model id, and keeps it in preload_failures; the failure of a required
        model is raised.
        """
        self.preload_failures = {}
        raised = None
        for model_id, required, code, message in self._native.preload():
            if code is None:
                continue
            error = as_load_error(error_for_code(code, message))
            self.preload_failures[model_id] = error
            raised = raised or (error if required else None)
        if raised is not None:
            raise raised
        return self.preload_failures

    def explain(self, model_id: str, config: Any = None) -> dict[str, Any]:
        """Whether and how the model would find room now, and why; loads and changes nothing.

        verdict is "resident", "fits", "evicts", "waits" or "refused", reason one sentence. The
        estimate is resident_bytes, peak_bytes (of the load) and call_bytes; the budget is models,
        max_models, reserved_bytes, limit_bytes and machine_bytes; victims would be evicted, kept
        would not, and says why.
        """
        native = None if config is None else as_model_config(config)._to_json()
        return self._native.explain(model_id, native)

    def metrics(self) -> dict[str, Any]:
        """Counters, histograms ({"bounds", "counts", "count", "sum"}), devices and models by name.

        Asking changes nothing, recency least of all.
        """
        return self._native.metrics()

    def subscribe(self, callback: EventCallback) -> Subscription:
        """Calls `callback` with every event, a dict, on a thread of its own, until closed.

        "kind" is "loading", "ready", "evicted", "failed", "freed" or "waiting". What the callback
        raises is logged. Of more than 10,000 events that wait for it, those of kind "loading" are
        dropped first; "dropped" tells how many were before an event.
        """
        events = self._native.subscribe(_EVENTS_KEPT)
        weakref.finalize(self, events.close)
        return Subscription(events, callback)

    def _check_memory_availability(self, estimated_mb: float, device: str = "cpu") -> bool:
        """Whether a model of that size fits into the memory that is free now."""
        hardware = _native.detect_hardware()
        free = hardware["available_memory_bytes"]
        if device.startswith("cuda"):
            index = int(device.partition(":")[2] or 0)
            free = sum(d["free_bytes"] for d in hardware["cuda_devices"] if d["id"] == index)
        return bool(estimated_mb * 1e6 * _HEADROOM <= free)

    def _unload(self, model_id: str, force: bool, timeout: float | None) -> tuple[bool, int]:
        self._handles.pop(model_id, None)
        self._hits.pop(model_id, None)
        try:
            return self._native.unload(model_id, force, timeout)
        finally:
            self._hits.drop_stale()

    def _is_native(self, model_id: str) -> bool:
        entry = self.registry._native.peek(model_id)
        return self._loads_natively() if entry is None else entry["model"] is not None

    def _loads_natively(self) -> bool:
        """False once a caller has put another loader, or another load(), in place of ours."""
        return (
            self.loader is self._own_loader
            and getattr(self.loader.load, "__func__", None) is _LOAD
            and self._checks_memory_itself()
        )

    def _checks_memory_itself(self) -> bool:
        return getattr(self._check_memory_availability, "__func__", None) is _CHECK_MEMORY

    def _get_or_load_native(
        self,
        model_id: str,
        config: Any,
        progress: Progress | None,
        timeout: float | None,
        wait: bool,
    ) -> tuple[Model, Any]:
        try:
            used = self._config_for(model_id, config)
            native = None if config is None else used._to_json()
            with LoadBar(used.model_name, progress) as bar:
                handle = self._native.get_or_load(model_id, native, bar.callback, timeout, wait)
        except MdsaError as error:
            raise as_load_error(error) from error
        finally:
            self._hits.drop_stale()
        model = self._model_over(model_id, handle, used)
        answer = (model, model.tokenizer)
        self._remember(model_id, handle.entry(), answer, config)
        return answer

    def _lease_native(
        self, model_id: str, config: Any, timeout: float | None, wait: bool
    ) -> Lease:
        try:
            used = self._config_for(model_id, config)
            native = None if config is None else used._to_json()
            lease = self._native.lease(model_id, native, timeout, wait)
        except MdsaError as error:
            raise as_load_error(error) from error
        finally:
            self._hits.drop_stale()
        entry = self.registry._native.peek(model_id)
        if entry is None or entry["model"] is None:  # unloaded by force meanwhile
            model = Model(lease.model(), used)
            return Lease(lease, model, model.tokenizer)
        model = self._model_over(model_id, entry["model"], used)
        self._remember(model_id, entry["entry"], (model, model.tokenizer), config)
        return Lease(lease, model._over(lease.model()), model.tokenizer)

    def _config_for(self, model_id: str, config: Any) -> ModelConfig:
        """The caller's, or the one that the library will use where there is none."""
        if config is not None:
            return as_model_config(config)
        known = self._native.config_of(model_id)
        return as_model_config(None if known is None else config_from_json(known))

    def _model_over(self, model_id: str, handle: _native.Model, config: ModelConfig) -> Model:
        model = self._handles.get(model_id)
        if model is None or model.load_config != config:
            model = Model(handle, config)
            self._handles[model_id] = model
        else:
            model._native = handle
        return model

    def _remember(
        self, model_id: str, entry: _native.EntryRef, answer: Any, config: Any
    ) -> None:
        if config is None or isinstance(config, ModelConfig):
            self._hits.remember(model_id, entry, answer, config)

    def _find_object(self, model_id: str, config: Any) -> tuple[Any, Any] | None:
        """The entry that is there, counting a use."""
        entry = self.registry._native.get(model_id)
        info = self.registry._info(entry)
        if info is None:
            return None
        if info is entry["foreign"]:
            self._remember(model_id, entry["entry"], weakref.ref(info), config)
        return info.model, info.tokenizer

    def _get_or_load_object(self, model_id: str, config: Any) -> tuple[Any, Any]:
        """The same for entries that are Python objects, with a single flight of its own."""
        while True:
            with self._lock:
                found = self._find_object(model_id, config)
                if found is not None:
                    return found
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
            return self._load_object(model_id, self._config_for(model_id, config))
        except Exception as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                del self._flights[model_id]
            flight.done.set()

    def _load_object(self, model_id: str, config: ModelConfig) -> tuple[Any, Any]:
        estimated_mb = float(self.loader.estimate_memory(config))
        self._make_room(model_id, estimated_mb, config)
        model, tokenizer = self.loader.load(config)
        memory_mb = model.memory_mb if isinstance(model, Model) else estimated_mb
        try:
            with contextlib.suppress(AlreadyExistsError):
                self.registry.register(model_id, config, model, tokenizer, memory_mb)
        except MdsaError as error:
            raise as_load_error(error) from error
        # None: evicted again already. Registered by hand meanwhile? Then that is what all get.
        return self._find_object(model_id, config) or (model, tokenizer)

    def _make_room(self, model_id: str, estimated_mb: float, config: ModelConfig) -> None:
        """Evicts idle models where that makes room, and refuses where it does not."""
        # A check of the caller's has the say about the machine's memory.
        needed_mb = estimated_mb * _HEADROOM if self._checks_memory_itself() else 0.0
        try:
            self.registry._native.make_room(
                model_id, estimated_mb, min(needed_mb, _MAX_MB), memory_device(config)
            )
        except MdsaError as error:
            raise as_load_error(error) from error
        finally:
            self._hits.drop_stale()
        if not self._check_memory_availability(estimated_mb, config.device):
            raise ResourceExhaustedError(
                f"Insufficient memory for model {model_id!r} on {config.device}: about "
                f"{estimated_mb:.0f} MB are needed. Unload a model, or choose a smaller format"
            )

    def __repr__(self) -> str:
        return f"<ModelManager loaded={len(self.registry)} max={self.registry.max_models}>"


class _Flight:
    """One load that several threads wait for."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: Exception | None = None


def _answer(hit: tuple[Any, ...], config: Any) -> tuple[Any, Any] | None:
    """What is kept for a configuration, as python/native/hit_method.cc finds it."""
    if config is None:
        kept = hit[1]
    else:
        stamp = getattr(config, "_stamp", None)
        kept = next((hit[i + 1] for i in range(2, len(hit), 2) if hit[i] is stamp), None)
    if not isinstance(kept, weakref.ref):
        return kept
    info: ModelInfo | None = kept()
    return None if info is None else (info.model, info.tokenizer)


# What the members are unless a caller puts something else in their place.
_LOAD = ModelLoader.load
_CHECK_MEMORY = ModelManager._check_memory_availability
