"""Leases: what is in use stays in memory, and an unload by force ends the use."""

import gc
import queue
import threading
import weakref

import numpy as np
import pytest

from mdsa import Lease, ModelConfig, ModelManager, errors

LONG = {"max_new_tokens": 1500, "min_new_tokens": 1500}


class Loader:
    """Makes objects of the application."""

    def __init__(self):
        self.loads = 0

    def estimate_memory(self, config):
        return 10.0

    def load(self, config):
        self.loads += 1
        return {"name": config.model_name}, "tokenizer"


@pytest.fixture
def config(classifier_dir):
    return ModelConfig.for_tier1(classifier_dir)


@pytest.fixture
def one(config):
    """A manager with room for one model, and its configuration."""
    return ModelManager(max_models=1), config


def in_thread(function):
    """Starts it; returns (thread, queue of its result or exception)."""
    results = queue.Queue()

    def work():
        try:
            results.put(function())
        except BaseException as error:
            results.put(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, results


def test_a_lease_lasts_for_the_block(one):
    manager, config = one
    with manager.lease("a", config) as model:
        assert manager.get_info("a")["leases"] == 1
        before = model.classify("good news")
        assert model.tokenizer("good").input_ids
        assert model.memory_mb > 0
    assert manager.get_info("a")["leases"] == 0
    for use in (lambda: model.classify("good"), lambda: model.memory_mb):
        with pytest.raises(errors.FailedPreconditionError, match="lease of 'a' has ended"):
            use()
    with manager.lease("a") as again:
        assert again.classify("good news") == before
    assert manager.get_info("a")["use_count"] == 2


def test_a_lease_without_a_block(one):
    manager, config = one
    lease = manager.lease("a", config)
    assert isinstance(lease, Lease)
    model = lease.model
    assert model.classify("good")
    assert lease.cancelled is False
    lease.release()
    lease.release()
    assert lease.model is None
    assert manager.get_info("a")["leases"] == 0
    with pytest.raises(errors.FailedPreconditionError):
        model.classify("good")


def test_a_lease_that_is_dropped_ends(one):
    manager, config = one
    lease = manager.lease("a", config)
    model = lease.model
    del lease
    gc.collect()
    assert manager.get_info("a")["leases"] == 0
    with pytest.raises(errors.FailedPreconditionError):
        model.classify("good")


def test_what_is_leased_is_not_evicted(one):
    manager, config = one
    with manager.lease("a", config):
        with pytest.raises(MemoryError, match="'a'"):
            manager.get_or_load("b", config, wait=False)
        with pytest.raises(TimeoutError) as caught:
            manager.get_or_load("b", config, timeout=0.01)
        assert isinstance(caught.value, errors.DeadlineExceededError)
        with pytest.raises(MemoryError):
            manager.lease("b", config, wait=False)
        assert manager.list_models() == ["a"]
    manager.get_or_load("b", config, wait=False)
    assert manager.list_models() == ["b"]


def test_who_waits_for_a_lease_comes_next(config):
    manager = ModelManager(max_models=1, report_waits_after=1e-3)
    events = queue.Queue()
    with manager.subscribe(events.put), manager.lease("a", config):
        thread, results = in_thread(lambda: manager.get_or_load("b", config))
        while True:
            event = events.get(timeout=60)
            if event["kind"] == "waiting" and event["model_id"] == "b" and "'a'" in event["what"]:
                break
        assert event["seconds"] > 0
        assert results.empty()
    thread.join()
    assert results.get()[0].classify("good")
    assert manager.list_models() == ["b"]


def test_an_unload_waits_for_leases(one):
    manager, config = one
    with manager.lease("a", config) as model:
        with pytest.raises(errors.DeadlineExceededError):
            manager.unload("a", timeout=0)
        assert not manager.is_loaded("a")
        assert model.classify("good")
    assert manager.metrics()["devices"]["cpu"]["reserved_bytes"] == 0


def test_free_says_what_it_gave_back(one):
    manager, config = one
    manager.get_or_load("a", config)
    reserved = manager.metrics()["devices"]["cpu"]["reserved_bytes"]
    assert manager.free("a") == reserved > 0
    assert manager.free("a") == 0
    assert manager.unload("a") is False


def test_an_unload_by_force_ends_calls(smollm2_gguf):
    manager = ModelManager()
    running = threading.Event()
    model, tokenizer = manager.get_or_load("a", ModelConfig.for_tier3(smollm2_gguf))
    ids = tokenizer("Once")["input_ids"]
    calls = [
        in_thread(lambda: model.generate(ids, streamer=lambda _: running.set(), **LONG)),
        in_thread(lambda: list(model.stream_text("Once", **LONG))),
    ]
    assert running.wait(60)
    with manager.lease("a") as leased:
        calls.append(in_thread(lambda: leased.generate_text("Once", **LONG)))
        with pytest.raises(errors.DeadlineExceededError):
            manager.unload("a", force=True, timeout=0)
    for thread, results in calls:
        thread.join()
        error = results.get()
        # One that had not begun finds no model any more.
        assert isinstance(error, errors.CancelledError | errors.FailedPreconditionError), error
    assert isinstance(model.tokenizer("x").input_ids, list)


def test_a_lease_tells_that_its_model_was_unloaded_by_force(one):
    manager, config = one
    lease = manager.lease("a", config)
    with pytest.raises(errors.DeadlineExceededError):
        manager.unload("a", force=True, timeout=0)
    assert lease.cancelled is True
    with pytest.raises(errors.CancelledError, match="unloaded by force"):
        lease.model.classify("good")
    lease.release()


def test_a_callback_may_unload_its_own_model(smollm2_gguf):
    manager = ModelManager()
    model, tokenizer = manager.get_or_load("a", ModelConfig.for_tier3(smollm2_gguf))
    unloaded = []

    def on_token(token_id):
        if not unloaded:
            unloaded.append(manager.unload("a"))

    ids = tokenizer("Once")["input_ids"]
    answer = model.generate(ids, max_new_tokens=4, min_new_tokens=4, streamer=on_token)
    assert answer.shape[1] == len(ids) + 4
    assert unloaded == [True]
    assert not manager.is_loaded("a")


def test_a_release_waits_for_no_call_and_ends_none(smollm2_gguf):
    manager = ModelManager()
    config = ModelConfig.for_tier3(smollm2_gguf)
    expected = manager.get_or_load("a", config)[0].generate([1, 2, 3], max_new_tokens=4)
    lease = manager.lease("a", config)
    model = lease.model
    begun, released = threading.Event(), threading.Event()

    def on_token(token_id):
        begun.set()
        assert released.wait(60)

    thread, results = in_thread(lambda: model.generate([1, 2, 3], max_new_tokens=4, streamer=on_token))
    assert begun.wait(60)
    lease.release()
    assert manager.get_info("a")["leases"] == 1
    released.set()
    thread.join()
    np.testing.assert_array_equal(results.get(), expected)
    assert manager.get_info("a")["leases"] == 0


def test_pins(one):
    manager, config = one
    manager.pin("a")
    manager.get_or_load("a", config)
    assert manager.get_info("a")["pinned"] is True
    with pytest.raises(MemoryError, match="pinned"):
        manager.get_or_load("b", config)
    with pytest.raises(errors.FailedPreconditionError, match="pinned"):
        manager.unload("a")
    assert manager.unload("a", force=True) is True
    manager.get_or_load("a", config)
    manager.unpin("a")
    manager.get_or_load("b", config)
    assert manager.list_models() == ["b"]


def test_times_to_live(config):
    manager = ModelManager(time_to_live=3600)
    for name in "abc":
        manager.get_or_load(name, config)
    manager.set_time_to_live("a", None)
    manager.set_time_to_live("b", 7.5)
    times = [manager.get_info(name)["time_to_live"] for name in "abc"]
    assert times == [None, 7.5, 3600.0]
    gone = threading.Event()
    with manager.subscribe(lambda event: event["kind"] == "freed" and gone.set()):
        manager.set_time_to_live("b", 0)
        assert gone.wait(60)
    assert manager.list_models() == ["a", "c"]
    assert manager.metrics()["evictions"]["time_to_live"] == 1
    with pytest.raises(errors.InvalidArgumentError, match="time_to_live"):
        manager.set_time_to_live("a", -1)


def test_objects_of_the_application_can_be_leased():
    manager = ModelManager(max_models=1)
    thing = {"data": 1}
    manager.registry.register("thing", None, thing, "its tokenizer")
    with manager.lease("thing") as held:
        assert held is thing
        assert manager.get_info("thing")["leases"] == 1
        with pytest.raises(MemoryError, match="'thing'"):
            manager.registry.register("another", None, {})
        assert manager.list_models() == ["thing"]
    assert manager.lease("thing").tokenizer == "its tokenizer"
    gc.collect()
    manager.registry.register("another", None, {})
    assert manager.list_models() == ["another"]


def test_a_lease_loads_what_is_not_there_through_a_replaced_loader():
    manager = ModelManager(max_models=1)
    manager.loader = Loader()
    config = ModelConfig.for_tier3("stand-in")
    with manager.lease("a", config) as model:
        assert model == {"name": "stand-in"}
        with pytest.raises(MemoryError, match="Insufficient memory.*'a'"):
            manager.get_or_load("b", config)
    with manager.lease("a"):
        pass
    assert manager.loader.loads == 1


def test_a_leased_object_outlives_its_entry():
    class Thing:
        pass

    manager = ModelManager()
    thing = Thing()
    gone = weakref.ref(thing)
    manager.registry.register("thing", None, thing)
    del thing
    with manager.lease("thing") as held:
        with pytest.raises(errors.DeadlineExceededError):
            manager.unload("thing", timeout=0)
        assert gone() is held
    del held
    assert gone() is None


def test_threads_that_take_turns_at_one_place(config, minilm_dir):
    """Real models, more of them than fit: no errors, and no model is loaded twice at once."""
    manager = ModelManager(max_models=1, max_queue_wait=0.01)
    configs = {name: config for name in "abc"} | {"d": ModelConfig.for_tier1(minilm_dir)}
    expected = {}
    for name, its_config in configs.items():
        model, _ = manager.get_or_load(name, its_config)
        expected[name] = model([2, 5, 3])[0]
    start = threading.Barrier(4)
    failures = []

    def work(number):
        start.wait()
        names = [*configs][number:] + [*configs][:number]
        try:
            for step in range(40):
                name = names[step % 4]
                if step % 2:
                    with manager.lease(name, configs[name]) as model:
                        output = model([2, 5, 3])[0]
                else:
                    output = manager.get_or_load(name, configs[name])[0]([2, 5, 3])[0]
                np.testing.assert_array_equal(output, expected[name])
                assert len(manager.list_models()) <= 1
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    metrics = manager.metrics()
    assert metrics["load_failures"] == metrics["timeouts"] == 0
    device = metrics["devices"]["cpu"]
    resident = metrics["models"]
    assert sum(model["state"] == "ready" for model in resident.values()) == 1
    assert device["reserved_bytes"] == sum(
        model["measured_bytes"] + model["call_bytes"]
        for model in resident.values()
        if model["state"] == "ready"
    )
    # Every load but the last was followed by an eviction: nothing was loaded beside another.
    assert metrics["loads"] == sum(metrics["evictions"].values()) + 1
