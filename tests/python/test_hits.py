"""The quick way through get_or_load finds what is there, and nothing that is not."""

import copy
import gc
import inspect
import pickle
import threading
import weakref

import pytest

from mdsa import ModelConfig, ModelManager, errors


@pytest.fixture
def config(classifier_dir):
    return ModelConfig.for_tier1(classifier_dir)


@pytest.fixture
def slow(monkeypatch):
    """Counts the requests that a hit does not answer."""
    calls = []
    is_native = ModelManager._is_native

    def counted(self, model_id):
        calls.append(model_id)
        return is_native(self, model_id)

    monkeypatch.setattr(ModelManager, "_is_native", counted)
    return calls


def test_a_hit_is_answered_at_once(config, slow):
    manager = ModelManager()
    answer = manager.get_or_load("a", config)
    for request in (
        lambda: manager.get_or_load("a", config),
        lambda: manager.get_or_load("a", config=config),
        lambda: manager.get_or_load("a"),
        lambda: ModelManager.get_or_load(manager, "a", config),
        lambda: getattr(manager, "get_or_load")("a"),
    ):
        assert request()[0] is answer[0]
    assert slow == ["a"]
    assert manager.get_info("a")["use_count"] == 6
    assert manager.metrics()["hits"] == 5


def test_other_ways_to_ask_give_the_same(config):
    manager = ModelManager()
    model, _ = manager.get_or_load(model_id="a", config=config)
    assert manager.get_or_load("a", config, None, timeout=1.0, wait=False)[0] is model
    assert manager.get_or_load("a", config.to_dict())[0] is model
    with pytest.raises(TypeError):
        manager.get_or_load("a", config, None, 1.0)
    with pytest.raises(TypeError):
        manager.get_or_load("a", settings=config)


def test_it_looks_like_a_method():
    method = ModelManager.get_or_load
    assert list(inspect.signature(method).parameters)[:4] == [
        "self",
        "model_id",
        "config",
        "progress",
    ]
    assert "loaded with `config`" in inspect.getdoc(method)
    assert method.__name__ == "get_or_load"
    assert inspect.isroutine(method)
    assert list(inspect.signature(ModelManager().get_or_load).parameters)[0] == "model_id"


@pytest.mark.parametrize(
    ("field", "value"), [("quantization", "int8"), ("max_length", 1000), ("model_name", "other")]
)
def test_a_change_of_the_configuration_is_noticed(config, field, value):
    manager = ModelManager()
    manager.get_or_load("a", config)
    manager.get_or_load("a", config)
    before = getattr(config, field)
    setattr(config, field, value)
    with pytest.raises(errors.FailedPreconditionError, match=field):
        manager.get_or_load("a", config)
    with pytest.raises(errors.FailedPreconditionError, match=field):
        manager.lease("a", config)
    setattr(config, field, before)
    assert manager.get_or_load("a", config)


def test_a_copy_that_was_changed_is_another_configuration(config, slow):
    manager = ModelManager()
    model, _ = manager.get_or_load("a", config)
    for other in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other == config
        assert manager.get_or_load("a", other)[0] is model
        other.quantization = "int8"
        with pytest.raises(errors.FailedPreconditionError, match="quantization"):
            manager.get_or_load("a", other)
    assert manager.get_or_load("a", config)[0] is model


def test_two_configurations_that_share_a_model_are_both_hits(config, slow):
    manager = ModelManager()
    warm = copy.copy(config)
    warm.temperature = 0.2
    first, _ = manager.get_or_load("a", config)
    second, _ = manager.get_or_load("a", warm)
    assert (first.load_config.temperature, second.load_config.temperature) == (0.7, 0.2)
    del slow[:]
    for _ in range(3):
        assert manager.get_or_load("a", config)[0] is first
        assert manager.get_or_load("a", warm)[0] is second
    assert manager.get_or_load("a")[0] is first
    assert slow == []


def test_many_configurations_are_no_burden(config):
    manager = ModelManager()
    for _ in range(50):
        manager.get_or_load("a", copy.deepcopy(config))
    assert len(manager._hits["a"]) <= 2 + 2 * 4


def test_an_unload_is_noticed_and_frees_the_tokenizer(config):
    manager = ModelManager()
    for drop in (lambda: manager.unload("a"), manager.clear_all):
        answer = manager.get_or_load("a", config)
        manager.get_or_load("a", config)
        gone = [weakref.ref(part) for part in answer]
        del answer
        gc.collect()
        assert all(ref() is not None for ref in gone)
        drop()
        assert [ref() for ref in gone] == [None, None]
        with pytest.raises(errors.InvalidArgumentError):
            manager.get_or_load("a")
    assert manager.metrics()["loads"] == 2


def test_an_eviction_is_noticed_and_frees_the_tokenizer(config):
    manager = ModelManager(max_models=1)
    answer = manager.get_or_load("a", config)
    gone = [weakref.ref(part) for part in answer]
    del answer
    manager.get_or_load("b", config)
    assert [ref() for ref in gone] == [None, None]
    manager.get_or_load("a", config)
    assert manager.list_models() == ["a"]
    assert manager.metrics()["loads"] == 3


def test_an_eviction_by_time_is_noticed(config):
    manager = ModelManager()
    gone = [weakref.ref(part) for part in manager.get_or_load("a", config)]
    freed = threading.Event()
    with manager.subscribe(lambda event: event["kind"] == "freed" and freed.set()):
        manager.set_time_to_live("a", 0)
        assert freed.wait(60)
    for _ in range(10_000):  # the main thread gets to it between two steps
        if gone[0]() is None:
            break
    assert [ref() for ref in gone] == [None, None]


def test_objects_are_not_kept_by_hits():
    class Thing:
        pass

    manager = ModelManager(max_models=1)
    for drop in (
        lambda: manager.registry.unregister("a"),
        lambda: manager.registry.clear(),
        lambda: manager.registry.register("b", None, 1),
        manager.clear_all,
    ):
        manager.clear_all()
        thing = Thing()
        gone = weakref.ref(thing)
        manager.registry.register("a", None, thing, "tokenizer")
        for _ in range(2):
            assert manager.get_or_load("a") == (thing, "tokenizer")
        del thing
        drop()
        assert gone() is None


def test_an_entry_that_is_changed_by_hand_is_answered_as_it_is():
    manager = ModelManager()
    info = manager.registry.register("a", None, "model")
    assert manager.get_or_load("a") == ("model", None)
    info.model = "another"
    assert manager.get_or_load("a") == ("another", None)
    manager.registry._models["a"] = "third"
    assert manager.get_or_load("a") == ("third", None)


def test_statistics_are_no_use(config):
    manager = ModelManager(max_models=2)
    for name in "ab":
        manager.get_or_load(name, config)
        manager.get_or_load(name, config)
    manager.get_info("a")
    manager.get_stats()
    manager.metrics()
    manager.explain("a")
    manager.list_models()
    assert manager.is_loaded("a")
    assert manager.registry.peek("a")
    assert manager.get_info("a")["use_count"] == 2
    manager.get_or_load("c", config)
    assert manager.list_models() == ["b", "c"]


def test_a_hit_is_a_use(config):
    manager = ModelManager(max_models=2)
    for name in "ab":
        manager.get_or_load(name, config)
    manager.get_or_load("a")
    manager.get_or_load("c", config)
    assert manager.list_models() == ["a", "c"]
    assert manager.get_info("a")["use_count"] == 2


def test_a_subclass_may_have_its_own(config):
    class Counting(ModelManager):
        asked = 0

        def get_or_load(self, model_id, config=None, progress=None):
            self.asked += 1
            return super().get_or_load(model_id, config, progress)

    manager = Counting()
    model, _ = manager.get_or_load("a", config)
    assert manager.get_or_load("a", config)[0] is model
    assert manager.asked == 2


def test_a_loader_that_is_replaced_is_asked_for_what_is_not_there(config, monkeypatch):
    manager = ModelManager()
    model, _ = manager.get_or_load("a", config)
    monkeypatch.setattr(manager.loader, "load", lambda config: ("object", "tokenizer"))
    assert manager.get_or_load("a", config)[0] is model
    assert manager.get_or_load("b", config) == ("object", "tokenizer")
    assert manager.get_or_load("b", config) == ("object", "tokenizer")


def test_a_manager_that_is_dropped_is_freed(config):
    manager = ModelManager()
    model, _ = manager.get_or_load("a", config)
    manager.get_or_load("a", config)
    gone = weakref.ref(manager)
    del manager
    gc.collect()
    assert gone() is None
    with pytest.raises(errors.FailedPreconditionError):
        model.classify("good")


def test_cycles_through_hits_are_freed():
    class Application:
        def __init__(self):
            self.manager = ModelManager()
            self.manager.registry.register("self", None, self)
            self.manager.get_or_load("self")

    application = Application()
    gone = weakref.ref(application)
    del application
    gc.collect()
    assert gone() is None


def test_hits_from_many_threads(config):
    manager = ModelManager()
    model, _ = manager.get_or_load("a", config)
    start = threading.Barrier(8)
    failures = []

    def hit():
        start.wait()
        if any(manager.get_or_load("a", config)[0] is not model for _ in range(2000)):
            failures.append("another model")

    threads = [threading.Thread(target=hit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert manager.get_info("a")["use_count"] == 16001


def test_hits_while_models_come_and_go(config):
    manager = ModelManager(max_models=1)
    done = threading.Event()
    failures = []

    def ask(name):
        try:
            while not done.is_set():
                model, tokenizer = manager.get_or_load(name, config)
                assert model.tokenizer is tokenizer
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for _ in range(50):
        manager.unload("a")
        manager.clear_all()
    done.set()
    for thread in threads:
        thread.join()
    # An unload ends the wait of those who were loading the model.
    assert all(isinstance(error, errors.FailedPreconditionError) for error in failures), failures
