"""What a manager would do, and what it has done, as plain values."""

import json
import math

import pytest

from mdsa import ModelConfig, ModelManager, errors


@pytest.fixture
def config(classifier_dir):
    return ModelConfig.for_tier1(classifier_dir)


def test_a_model_that_fits(config):
    manager = ModelManager()
    explanation = manager.explain("a", config)
    assert json.loads(json.dumps(explanation)) == explanation
    assert (explanation["model_id"], explanation["verdict"]) == ("a", "fits")
    assert explanation["reason"]
    assert explanation["approximate"] is False
    assert 0 < explanation["resident_bytes"] <= explanation["peak_bytes"]
    assert explanation["call_bytes"] > 0
    assert (explanation["models"], explanation["max_models"]) == (0, 10)
    assert (explanation["reserved_bytes"], explanation["limit_bytes"]) == (0, None)
    assert explanation["machine_bytes"] > 0
    assert explanation["victims"] == explanation["kept"] == []
    assert manager.list_models() == []


def test_a_model_that_is_there(config):
    manager = ModelManager()
    manager.get_or_load("a", config)
    assert manager.explain("a")["verdict"] == "resident"
    assert manager.explain("a", config.to_dict())["verdict"] == "resident"
    manager.registry.register("thing", None, {})
    assert manager.explain("thing")["verdict"] == "resident"
    with pytest.raises(errors.FailedPreconditionError, match="quantization"):
        manager.explain("a", ModelConfig.for_tier1(config.model_name, quantization="int8"))
    with pytest.raises(errors.NotFoundError, match="'b'"):
        manager.explain("b")


def test_who_would_go_and_who_would_stay(config):
    manager = ModelManager(max_models=2)
    manager.get_or_load("old", config)
    manager.get_or_load("new", config)
    explanation = manager.explain("a", config)
    assert explanation["verdict"] == "evicts"
    (victim,) = explanation["victims"]
    assert (victim["model_id"], victim["reason"]) == ("old", "count")
    assert victim["bytes"] > 0 and victim["idle_seconds"] > 0
    (kept,) = explanation["kept"]
    assert (kept["model_id"], kept["state"]) == ("new", "ready")
    manager.pin("old")
    with manager.lease("new"):
        explanation = manager.explain("a", config)
        assert explanation["verdict"] == "waits"
        reasons = {kept["model_id"]: kept["reason"] for kept in explanation["kept"]}
        assert reasons == {"old": "pinned", "new": "in use by 1 call"}
    manager.pin("new")
    explanation = manager.explain("a", config)
    assert explanation["verdict"] == "refused"
    assert "pinned" in explanation["reason"]
    assert manager.list_models() == ["old", "new"]


def test_a_budget_in_bytes(config):
    needed = ModelManager().explain("a", config)["peak_bytes"]
    assert ModelManager(max_memory=needed).explain("a", config)["verdict"] == "fits"
    manager = ModelManager(max_memory=needed - 1)
    explanation = manager.explain("a", config)
    assert (explanation["verdict"], explanation["limit_bytes"]) == ("refused", needed - 1)
    with pytest.raises(MemoryError, match="Insufficient memory"):
        manager.get_or_load("a", config)
    assert manager.metrics()["refused"] > 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [("750MB", 750_000_000), ("1GiB", 1 << 30), (12_345_678, 12_345_678), ("4096", 4096)],
)
def test_limits_of_memory(given, expected):
    assert ModelManager(max_memory=given).metrics()["devices"]["cpu"]["limit_bytes"] == expected


def test_shares_of_memory():
    limits = [
        ModelManager(max_memory=share).metrics()["devices"]["cpu"]["limit_bytes"]
        for share in (0.5, "50%", 1.0)
    ]
    assert limits[0] == limits[1]
    assert math.isclose(limits[2], 2 * limits[0], rel_tol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"max_memory": 0},
        {"max_memory": -1},
        {"max_memory": 1.5},
        {"max_memory": 0.0},
        {"max_memory": math.nan},
        {"max_memory": True},
        {"max_memory": "much"},
        {"max_memory": [1]},
        {"max_device_memory": {"cpu": 1}},
        {"max_device_memory": {"cuda:0": "50%"}},
        {"max_device_memory": {"cuda:0": 0.5}},
        {"time_to_live": -1},
        {"time_to_live": math.nan},
        {"min_residency": -0.1},
        {"max_queue_wait": -1},
        {"wait_timeout": -1},
        {"retry_delay": -1},
        {"retry_delay": 2, "max_retry_delay": 1},
        {"report_waits_after": 0},
    ],
    ids=str,
)
def test_senseless_limits(options):
    with pytest.raises(errors.InvalidArgumentError, match=next(reversed(options))):
        ModelManager(**options)


def test_infinite_times_are_allowed():
    ModelManager(time_to_live=math.inf, wait_timeout=math.inf, max_queue_wait=math.inf)


def test_objects_on_a_device_share_its_limit():
    manager = ModelManager(max_device_memory={"cuda:0": "10MB"})
    on_device = ModelConfig.for_tier3("x", device="cuda")
    manager.registry.register("a", on_device, 1, None, 6.0)
    manager.registry.register("b", on_device, 2, None, 6.0)
    manager.registry.register("host", ModelConfig.for_tier1(), 3, None, 60.0)
    assert manager.list_models() == ["b", "host"]
    devices = manager.metrics()["devices"]
    assert devices["cuda:0"]["reserved_bytes"] == 6_000_000
    assert devices["cuda:0"]["limit_bytes"] == 10_000_000
    assert devices["cpu"]["reserved_bytes"] == 60_000_000


def test_metrics(config, tmp_path):
    manager = ModelManager(max_models=1)
    manager.get_or_load("a", config)
    manager.get_or_load("a", config)
    manager.get_or_load("b", config)
    with pytest.raises(ValueError):
        manager.get_or_load("c", ModelConfig.for_tier1(str(tmp_path / "nowhere")))
    with pytest.raises(ValueError):
        manager.get_or_load("c", ModelConfig.for_tier1(str(tmp_path / "nowhere")))
    b = manager.metrics()["models"]["b"]
    assert (b["state"], b["loads"], b["leases"], b["pinned"]) == ("ready", 1, 0, False)
    assert b["estimate_error"] == pytest.approx(
        (b["estimated_bytes"] - b["measured_bytes"]) / b["measured_bytes"]
    )
    manager.unload("b")
    metrics = manager.metrics()
    assert json.loads(json.dumps(metrics)) == metrics
    counted = {
        "hits": 1,
        "loads": 2,
        "load_failures": 1,
        "retries_refused": 1,
        "loads_cancelled": 0,
        "unloads": 1,
        "timeouts": 0,
        "sink_failures": 0,
    }
    assert {name: metrics[name] for name in counted} == counted
    assert metrics["evictions"] == {"count": 1, "bytes": 0, "time_to_live": 0, "underestimate": 0}
    histogram = metrics["load_seconds"]
    assert len(histogram["counts"]) == len(histogram["bounds"]) + 1
    assert sum(histogram["counts"]) == histogram["count"] == 2
    assert histogram["sum"] > 0
    device = metrics["devices"]["cpu"]
    assert device["reserved_bytes"] == 0 < device["peak_bytes"]
    assert metrics["models"]["a"]["state"] == "unloaded"


def test_information_about_a_model(config):
    manager = ModelManager()
    manager.get_or_load("a", config)
    with manager.lease("a"):
        info = manager.get_info("a")
        assert (info["leases"], info["pinned"], info["state"]) == (1, False, "ready")
        assert info["time_to_live"] is None
        assert manager.get_stats()["models"]["a"]["leases"] == 1
