import gc
import threading
import weakref

import pytest

from mdsa import ModelConfig
from mdsa.errors import AlreadyExistsError, InvalidArgumentError
from mdsa.models import ModelInfo, ModelManager, ModelRegistry

CONFIG = ModelConfig.for_tier1()


class Thing:
    """A model of the application."""


def test_registering_is_not_a_use_and_getting_is():
    registry = ModelRegistry()
    info = registry.register("m", CONFIG, Thing())
    assert info.use_count == 0
    before = info.last_used
    assert registry.get("m") is info
    assert info.use_count == 1
    assert info.last_used >= before


def test_objects_keep_their_identity():
    model, tokenizer = Thing(), Thing()
    registry = ModelRegistry()
    registry.register("m", CONFIG, model, tokenizer)
    info = registry.get("m")
    assert info.model is model
    assert info.tokenizer is tokenizer
    assert info.config is CONFIG


def test_cycles_through_a_registry_are_freed():
    class Application:
        def __init__(self, registry):
            self.registry = registry
            registry.register("self", None, self)

    for make in (ModelRegistry, lambda: ModelManager().registry):
        application = Application(make())
        gone = weakref.ref(application)
        del application
        gc.collect()
        assert gone() is None


def test_a_collection_leaves_reachable_entries():
    manager = ModelManager()
    manager.registry.register("m", None, Thing())
    others = [manager._native.registry() for _ in range(2)]  # more views of the same entries
    gc.collect()
    assert isinstance(manager.registry.get("m").model, Thing)
    assert len(others[0]) == 1


@pytest.mark.parametrize("model", ["a string", {"type": "test"}, None, 3, lambda: 0])
def test_any_object_is_a_model(model):
    registry = ModelRegistry()
    registry.register("m", CONFIG, model)
    assert registry.get("m").model is model


def test_the_least_recently_used_one_goes():
    registry = ModelRegistry(max_models=2)
    registry.register("m1", CONFIG, Thing(), None, 500.0)
    registry.register("m2", CONFIG, Thing(), None, 300.0)
    assert registry.get_stats()["total_memory_mb"] == 800.0
    registry.get("m1")
    registry.register("m3", CONFIG, Thing())
    assert registry.list_models() == ["m1", "m3"]


@pytest.mark.parametrize(
    "look",
    [
        lambda r: r.peek("m1"),
        lambda r: r.is_loaded("m1"),
        lambda r: "m1" in r,
        lambda r: r.get_stats(),
        lambda r: r._models["m1"],
    ],
)
def test_looking_is_not_a_use(look):
    registry = ModelRegistry(max_models=2)
    registry.register("m1", CONFIG, Thing())
    registry.register("m2", CONFIG, Thing())
    look(registry)
    registry.register("m3", CONFIG, Thing())
    assert registry.list_models() == ["m2", "m3"]


def test_a_duplicate_is_refused_and_changes_nothing():
    registry = ModelRegistry()
    info = registry.register("m", CONFIG, Thing())
    with pytest.raises(AlreadyExistsError, match="'m'") as caught:
        registry.register("m", CONFIG, Thing())
    assert isinstance(caught.value, ValueError)
    assert registry.peek("m") is info


@pytest.mark.parametrize("memory_mb", [-1.0, float("nan"), float("inf")])
def test_a_senseless_size_is_refused(memory_mb):
    registry = ModelRegistry()
    with pytest.raises(InvalidArgumentError):
        registry.register("m", CONFIG, Thing(), None, memory_mb)
    assert len(registry) == 0


@pytest.mark.parametrize("max_models", [0, -1])
def test_max_models_below_one_is_refused(max_models):
    with pytest.raises(InvalidArgumentError, match="max_models"):
        ModelRegistry(max_models=max_models)
    registry = ModelRegistry()
    with pytest.raises(InvalidArgumentError, match="max_models"):
        registry.max_models = max_models
    assert registry.max_models == 2


def test_a_lower_limit_counts_from_the_next_register_on():
    registry = ModelRegistry(max_models=4)
    for name in "abcd":
        registry.register(name, CONFIG, Thing())
    registry.max_models = 2
    assert len(registry) == 4
    registry.register("e", CONFIG, Thing())
    assert registry.list_models() == ["d", "e"]


def test_unknown_ids():
    registry = ModelRegistry()
    assert registry.get("x") is None
    assert registry.peek("x") is None
    assert registry.is_loaded("x") is False
    assert registry.unregister("x") is False
    assert "x" not in registry
    assert 3 not in registry


def test_statistics():
    registry = ModelRegistry(max_models=3)
    assert registry.get_stats() == {
        "models_loaded": 0,
        "max_models": 3,
        "total_memory_mb": 0.0,
        "total_uses": 0,
        "models": {},
    }
    registry.register("a", CONFIG, Thing(), None, 1.5)
    registry.register("b", None, Thing(), None, 2.0)
    registry.get("a")
    registry.get("a")
    stats = registry.get_stats()
    assert (stats["total_memory_mb"], stats["total_uses"]) == (3.5, 2)
    a, b = stats["models"]["a"], stats["models"]["b"]
    assert (a["use_count"], a["memory_mb"], a["tier"]) == (2, 1.5, "tier1")
    assert a["config"] == CONFIG.to_dict()
    assert b["config"] is None and b["tier"] is None
    assert a["age_seconds"] >= 0
    assert repr(registry) == "<ModelRegistry loaded=2 max=3>"


def test_pressure_is_a_warning_at_seventy_percent():
    registry = ModelRegistry(max_models=2)
    pressure = [registry.check_memory_pressure()]
    for name in "ab":
        registry._models[name] = Thing()
        pressure.append(registry.check_memory_pressure())
    assert pressure == [False, False, True]
    assert len(registry) == 2


def test_the_live_mapping():
    registry = ModelRegistry(max_models=3)
    models = registry._models
    info = registry.register("a", CONFIG, Thing())
    assert dict(models) == {"a": info}
    assert models["a"] is info
    by_hand = ModelInfo("b", None, Thing(), memory_mb=7.0)
    models["b"] = by_hand
    assert registry.get("b") is by_hand
    assert registry.get_stats()["total_memory_mb"] == 7.0
    models["b"] = Thing()
    assert registry.get("b") is not by_hand
    del models["a"]
    assert list(models) == ["b"]
    with pytest.raises(KeyError):
        models["a"]
    with pytest.raises(KeyError):
        del models["a"]


def test_model_info_stands_alone():
    info = ModelInfo("m", None, Thing())
    info.mark_used()
    assert info.use_count == 1
    assert info.to_dict()["config"] is None
    assert "model" not in info.to_dict()


@pytest.mark.parametrize("leave", [ModelRegistry.clear, lambda r: r.unregister("m"), None])
def test_objects_are_released(leave):
    registry = ModelRegistry(max_models=1)
    model = Thing()
    gone = weakref.ref(model)
    registry.register("m", CONFIG, model)
    del model
    assert gone() is not None
    if leave is None:
        registry.register("other", CONFIG, Thing())
    else:
        leave(registry)
    assert gone() is None


def test_objects_are_released_with_the_registry():
    registry = ModelRegistry()
    model = Thing()
    gone = weakref.ref(model)
    registry.register("m", CONFIG, model)
    del registry, model
    gc.collect()
    assert gone() is None


def test_a_destructor_may_use_the_registry():
    registry = ModelRegistry(max_models=1)
    seen = []

    class Curious:
        def __del__(self):
            seen.append(registry.list_models())

    registry.register("a", CONFIG, Curious())
    registry.register("b", CONFIG, Thing())
    assert seen == [[]]  # the victim goes before the new entry comes


def test_an_info_that_is_held_outlives_eviction():
    registry = ModelRegistry(max_models=1)
    info = registry.register("a", CONFIG, Thing())
    registry.register("b", CONFIG, Thing())
    assert isinstance(info.model, Thing)


def test_many_threads():
    registry = ModelRegistry(max_models=8)
    start = threading.Barrier(8)
    failures = []

    def work(number):
        start.wait()
        try:
            for step in range(200):
                name = f"{number}-{step % 3}"
                registry.unregister(name)
                registry.register(name, CONFIG, Thing(), None, 1.0)
                registry.get(name)
                stats = registry.get_stats()
                assert stats["models_loaded"] <= 8
                assert stats["total_memory_mb"] == stats["models_loaded"]
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(registry) == 8


def test_threads_at_one_place():
    """Who finds another entry on its way out waits for that, and is not refused."""
    registry = ModelRegistry(max_models=1)
    start = threading.Barrier(4)
    failures = []

    def work(number):
        start.wait()
        try:
            for step in range(200):
                registry.register(f"{number}-{step}", CONFIG, Thing(), None, 1.0)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(registry) == 1


def test_a_destructor_may_register():
    registry = ModelRegistry(max_models=1)

    class Stubborn:
        def __del__(self):
            try:
                registry.register("again", CONFIG, Thing())
            except MemoryError as error:
                refused.append(error)

    refused = []
    registry.register("a", CONFIG, Stubborn())
    registry.register("b", CONFIG, Thing())
    assert registry.list_models() == ["b"]
    assert len(refused) == 1


def test_nothing_leaks_at_exit(fresh_python):
    result = fresh_python(
        "from mdsa.models import ModelRegistry, ModelManager\n"
        "class T: pass\n"
        "registry = ModelRegistry(); registry.register('a', None, T())\n"
        "manager = ModelManager(); manager.registry.register('a', None, T())\n"
        "view = registry._models\n"
    )
    assert result.stderr == ""


def test_the_table_of_entries_can_be_replaced():
    registry = ModelRegistry(max_models=2)
    registry.register("old", ModelConfig.for_tier1(), "object")
    info = ModelRegistry(max_models=2).register("new", ModelConfig.for_tier1(), "another")
    registry._models = {"new": info}
    assert registry.list_models() == ["new"]
    registry._models = {}
    assert len(registry) == 0
