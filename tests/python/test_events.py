"""What subscribers hear, and when."""

import logging
import queue
import threading

import pytest

from mdsa import ModelConfig, ModelManager, Subscription, _native
from mdsa.models.events import _deliver


@pytest.fixture
def config(classifier_dir):
    return ModelConfig.for_tier1(classifier_dir)


def until(events, kind):
    """The events up to the first of that kind."""
    seen = [events.get(timeout=60)]
    while seen[-1]["kind"] != kind:
        seen.append(events.get(timeout=60))
    return seen


def test_the_life_of_a_model(config):
    manager = ModelManager(max_models=1)
    events = queue.Queue()
    with manager.subscribe(events.put) as subscription:
        assert isinstance(subscription, Subscription)
        manager.get_or_load("a", config)
        *loading, ready = until(events, "ready")
        assert loading and {event["kind"] for event in loading} == {"loading"}
        assert {event["phase"] for event in loading} <= {"read", "convert"}
        assert all(0 <= event["bytes_done"] <= event["bytes_total"] for event in loading)
        assert ready["model_id"] == "a" and ready["models"] == 1
        assert ready["bytes"] > 0 and ready["estimated_bytes"] > 0 and ready["seconds"] > 0
        assert ready["reserved_bytes"] > 0 and ready["limit_bytes"] is None

        manager.get_or_load("b", config)
        *_, evicted = until(events, "evicted")
        assert (evicted["model_id"], evicted["for_model"]) == ("a", "b")
        assert evicted["reason"] == "count"
        *_, freed = until(events, "freed")
        assert (freed["model_id"], freed["bytes"]) == ("a", evicted["bytes"])
        assert until(events, "ready")[-1]["model_id"] == "b"

        manager.unload("b")
        freed = until(events, "freed")[-1]
        assert (freed["model_id"], freed["models"], freed["reserved_bytes"]) == ("b", 0, 0)
        assert freed["time"] >= evicted["time"]
        assert all(event["dropped"] == 0 for event in (ready, evicted, freed))


def test_a_failure(tmp_path):
    manager = ModelManager()
    events = queue.Queue()
    (tmp_path / "config.json").write_text("{}")
    with manager.subscribe(events.put):
        with pytest.raises(ValueError):
            manager.get_or_load("a", ModelConfig.for_tier1(str(tmp_path)))
        failed = until(events, "failed")[-1]
    assert failed["model_id"] == "a"
    assert failed["error"] and failed["code"] in ("invalid_format", "not_found", "unsupported")
    assert failed["retry_after"] == pytest.approx(0.5)


def test_an_exception_is_logged_and_ends_nothing(config, caplog):
    manager = ModelManager()
    events = queue.Queue()

    def fail(event):
        events.put(event)
        raise RuntimeError("of the subscriber")

    with caplog.at_level(logging.ERROR, "mdsa"), manager.subscribe(fail):
        manager.get_or_load("a", config)
        until(events, "ready")
        manager.unload("a")
        until(events, "freed")
    assert "of the subscriber" in caplog.text
    assert {record.name for record in caplog.records} == {"mdsa"}
    assert manager.metrics()["sink_failures"] == 0


def test_nothing_is_heard_after_the_end(config):
    manager = ModelManager()
    heard = []
    subscription = manager.subscribe(heard.append)
    subscription.close()
    subscription.close()
    manager.get_or_load("a", config)
    assert heard == []


def test_a_subscriber_may_use_the_manager_and_end_itself(config):
    manager = ModelManager()
    closed = threading.Event()
    loaded = []

    def on_event(event):
        if event["kind"] == "ready" and not closed.is_set():
            loaded.append(manager.is_loaded(event["model_id"]))
            subscription.close()
            closed.set()

    subscription = manager.subscribe(on_event)
    manager.get_or_load("a", config)
    assert closed.wait(60)
    subscription._thread.join()
    assert loaded == [True]


def test_several_subscribers(config):
    manager = ModelManager()
    first, second = queue.Queue(), queue.Queue()
    with manager.subscribe(first.put), manager.subscribe(second.put):
        manager.get_or_load("a", config)
        assert until(first, "ready") == until(second, "ready")


def test_a_subscription_ends_with_its_manager(config):
    manager = ModelManager()
    subscription = manager.subscribe(lambda event: None)
    manager.get_or_load("a", config)
    del manager
    subscription._thread.join(60)
    assert not subscription._thread.is_alive()


def test_progress_is_dropped_first(config):
    """Nobody takes events while models come and go: the queue of four keeps what matters."""
    native = _native.ModelManager.make({}, None)
    events = native.subscribe(4)
    for _ in range(3):
        native.get_or_load("a", config._to_json())
        native.unload("a")
    kept = [events.next() for _ in range(4)]
    assert "loading" not in {event["kind"] for event in kept}
    assert [event["kind"] for event in kept] == ["ready", "freed"] * 2
    assert kept[0]["dropped"] > 0
    assert [event["dropped"] for event in kept[1:]] == [0, 0, 0]
    events.close()
    assert events.next() is None


def test_delivery_ends_when_the_queue_is_closed(config):
    native = _native.ModelManager.make({}, None)
    events = native.subscribe(10_000)
    events.close()
    _deliver(events, pytest.fail)


def test_the_process_ends_with_open_subscriptions(fresh_python, classifier_dir):
    result = fresh_python(
        "import sys, threading, mdsa\n"
        "manager = mdsa.ModelManager()\n"
        "ready = threading.Event()\n"
        "manager.subscribe(lambda event: event['kind'] == 'ready' and ready.set())\n"
        "manager.get_or_load('a', mdsa.ModelConfig.for_tier1(sys.argv[1]))\n"
        "assert ready.wait(60)\n"
        "manager.subscribe(print)\n",
        classifier_dir,
    )
    assert result.stderr == ""
