"""The manager with loaders of the tests, and with the real one on a small real model."""

import datetime
import json
import math
import threading

import pytest

from mdsa import ModelConfig, ModelManager, _native, errors

CONFIG = ModelConfig.for_tier3("stand-in")


class StandInLoader:
    """Counts loads; may be made to wait inside one, or to fail."""

    def __init__(self, size_mb=10.0):
        self.size_mb = size_mb
        self.loads = []
        self.entered = threading.Event()
        self.may_finish = threading.Event()
        self.may_finish.set()
        self.error = None

    def estimate_memory(self, config):
        return self.size_mb

    def load(self, config):
        self.loads.append(config.model_name)
        self.entered.set()
        assert self.may_finish.wait(60)
        if self.error is not None:
            raise self.error
        return {"name": config.model_name}, f"tokenizer of {config.model_name}"


@pytest.fixture
def manager():
    manager = ModelManager()
    manager.loader = StandInLoader()
    return manager


def in_threads(count, function):
    """Starts `count` threads; returns (threads, results), results filled as they end."""
    results = []

    def work():
        try:
            results.append(function())
        except BaseException as error:
            results.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, results


def test_a_miss_loads_and_a_hit_does_not(manager):
    model, tokenizer = manager.get_or_load("a", CONFIG)
    again, _ = manager.get_or_load("a", CONFIG)
    assert again is model
    assert manager.get_info("a")["use_count"] == 2
    assert tokenizer == "tokenizer of stand-in"
    assert manager.loader.loads == ["stand-in"]
    assert manager.get_stats()["total_memory_mb"] == 10.0


def test_a_hit_needs_no_configuration(manager):
    model, _ = manager.get_or_load("a", CONFIG)
    assert manager.get_or_load("a")[0] is model
    with pytest.raises(errors.InvalidArgumentError, match="ModelConfig"):
        manager.get_or_load("b")


def test_concurrent_requests_load_once(manager):
    loader = manager.loader
    loader.may_finish.clear()
    threads, results = in_threads(8, lambda: manager.get_or_load("a", CONFIG))
    assert loader.entered.wait(60)
    loader.may_finish.set()
    for thread in threads:
        thread.join()
    assert len(loader.loads) == 1
    assert len({id(model) for model, _ in results}) == 1


def test_another_model_does_not_wait_for_a_load(manager):
    slow = manager.loader
    slow.may_finish.clear()
    threads, results = in_threads(1, lambda: manager.get_or_load("slow", CONFIG))
    assert slow.entered.wait(60)
    manager.loader = StandInLoader()
    manager.get_or_load("fast", CONFIG)
    manager.get_or_load("fast", CONFIG)
    assert manager.list_models() == ["fast"]
    assert results == []
    slow.may_finish.set()
    threads[0].join()
    assert manager.list_models() == ["fast", "slow"]


def test_a_failure_reaches_everyone_who_waits_and_is_not_kept(manager):
    loader = manager.loader
    loader.error = ValueError("Model loading failed: broken")
    loader.may_finish.clear()
    threads, results = in_threads(4, lambda: manager.get_or_load("a", CONFIG))
    assert loader.entered.wait(60)
    loader.may_finish.set()
    for thread in threads:
        thread.join()
    assert [type(result) for result in results] == [ValueError] * 4
    assert manager.list_models() == []
    loader.error = None
    manager.get_or_load("a", CONFIG)
    assert manager.list_models() == ["a"]


def test_eviction_at_the_limit():
    manager = ModelManager(max_models=2)
    manager.loader = StandInLoader()
    for name in ("a", "b"):
        manager.get_or_load(name, CONFIG)
    manager.get_or_load("a", CONFIG)
    manager.get_or_load("c", CONFIG)
    assert manager.list_models() == ["a", "c"]


def test_a_model_that_cannot_fit(manager):
    manager.loader.size_mb = 1e12
    with pytest.raises(MemoryError, match="Insufficient memory"):
        manager.get_or_load("a", CONFIG)
    assert manager.loader.loads == []
    assert manager.list_models() == []


def sparse_llama(folder, int4_bytes):
    """A checkpoint of at least that many bytes as INT4, whose file takes no room on the disk."""
    hidden, intermediate, vocab = 8192, 28672, 32000
    shapes = {"input_layernorm": [hidden], "post_attention_layernorm": [hidden]}
    shapes |= {f"self_attn.{name}_proj": [hidden, hidden] for name in "qkvo"}
    shapes |= {f"mlp.{name}_proj": [intermediate, hidden] for name in ("gate", "up")}
    shapes["mlp.down_proj"] = [hidden, intermediate]
    layers = 1 + int4_bytes // sum(math.prod(shape) // 2 for shape in shapes.values())
    tensors = {
        f"model.layers.{layer}.{name}.weight": shape
        for layer in range(layers)
        for name, shape in shapes.items()
    }
    tensors["model.embed_tokens.weight"] = tensors["lm_head.weight"] = [vocab, hidden]
    tensors["model.norm.weight"] = [hidden]
    header, end = {}, 0
    for name, shape in tensors.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": 64,
        "num_key_value_heads": 64,
        "vocab_size": vocab,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def test_a_real_model_that_cannot_fit(minilm_dir, tmp_path):
    total = _native.detect_hardware()["total_memory_bytes"]
    huge = ModelConfig.for_tier3(sparse_llama(tmp_path, 2 * total), device="cpu")
    manager = ModelManager()
    small, _ = manager.get_or_load("small", ModelConfig.for_tier1(minilm_dir))
    before = small.embed("hello")
    with pytest.raises(MemoryError, match="Insufficient memory.* MB, .* MB are available"):
        manager.get_or_load("huge", huge)
    assert manager.list_models() == ["small"]
    assert (small.embed("hello") == before).all()


def test_the_memory_check_may_be_replaced(manager):
    asked = []
    manager._check_memory_availability = lambda *arguments: bool(asked.append(arguments))
    with pytest.raises(MemoryError):
        manager.get_or_load("a", CONFIG)
    assert asked == [(10.0, "cpu")]


def test_the_memory_check():
    manager = ModelManager()
    assert manager._check_memory_availability(1.0) is True
    assert manager._check_memory_availability(1e12, "cpu") is False
    assert manager._check_memory_availability(1e12, "cuda:0") is False


def test_a_replaced_load_function_is_called(manager, monkeypatch):
    manager = ModelManager()
    monkeypatch.setattr(manager.loader, "load", lambda config: ("model", "tokenizer"))
    monkeypatch.setattr(manager.loader, "estimate_memory", lambda config: 1.0)
    assert manager.get_or_load("a", CONFIG) == ("model", "tokenizer")


def test_what_was_registered_by_hand_is_a_hit():
    manager = ModelManager()
    manager.registry.register("a", CONFIG, "model", "tokenizer", 1.0)
    assert manager.get_or_load("a", CONFIG) == ("model", "tokenizer")
    assert manager.get_info("a")["use_count"] == 1


def test_info(manager):
    assert manager.get_info("a") is None
    manager.get_or_load("a", CONFIG)
    manager.get_or_load("a", CONFIG)
    info = manager.get_info("a")
    assert info == {**manager.get_info("a"), "age_seconds": info["age_seconds"]}
    assert (info["model_id"], info["tier"], info["memory_mb"]) == ("a", "tier3", 10.0)
    assert info["config"] == CONFIG.to_dict()
    assert info["age_seconds"] >= 0
    loaded_at = datetime.datetime.fromisoformat(info["loaded_at"])
    assert loaded_at.timestamp() == pytest.approx(info["load_time"])
    assert datetime.datetime.fromisoformat(info["last_used"]) >= loaded_at


def test_statistics(manager):
    assert manager.get_stats() == {
        "models_loaded": 0,
        "max_models": 10,
        "total_memory_mb": 0.0,
        "total_uses": 0,
        "models": {},
    }
    manager.get_or_load("a", CONFIG)
    assert set(manager.get_stats()["models"]) == {"a"}
    assert repr(manager) == "<ModelManager loaded=1 max=10>"


def test_unload_and_clear(manager):
    assert manager.unload("a") is False
    manager.clear_all()
    for name in "abc":
        manager.get_or_load(name, CONFIG)
    assert manager.unload("b") is True
    assert manager.list_models() == ["a", "c"]
    manager.clear_all()
    assert manager.list_models() == []


@pytest.mark.parametrize("max_models", [0, -3])
def test_max_models_below_one(max_models):
    with pytest.raises(errors.InvalidArgumentError, match="max_models"):
        ModelManager(max_models=max_models)


def test_the_limit_of_the_registry_is_the_manager_s(manager):
    manager.registry.max_models = 1
    manager.get_or_load("a", CONFIG)
    manager.get_or_load("b", CONFIG)
    assert manager.list_models() == ["b"]
    assert manager.get_stats()["max_models"] == 1


@pytest.fixture
def real_config(minilm_dir):
    return ModelConfig.for_tier1(minilm_dir)


def test_a_handle_survives_eviction(real_config):
    manager = ModelManager(max_models=1)
    model, tokenizer = manager.get_or_load("a", real_config)
    before = model.embed("text")
    manager.get_or_load("b", real_config)
    assert manager.list_models() == ["b"]
    assert tokenizer("text").input_ids
    assert (model.embed("text") == before).all()
    assert manager.list_models() == ["a"]


def test_a_handle_of_an_unloaded_model_says_so(real_config):
    manager = ModelManager()
    model, _ = manager.get_or_load("a", real_config)
    manager.unload("a")
    with pytest.raises(errors.FailedPreconditionError, match="unload"):
        model.embed("text")
    fresh, _ = manager.get_or_load("a", real_config)
    assert fresh is not model
    assert fresh.embed("text").shape == (1, 384)
    with pytest.raises(errors.FailedPreconditionError):
        model.embed("text")
    manager.clear_all()
    with pytest.raises(errors.FailedPreconditionError):
        fresh.embed("text")


def test_another_configuration_for_a_loaded_id_names_the_field(real_config):
    manager = ModelManager()
    manager.get_or_load("a", real_config)
    other = ModelConfig.for_tier1(real_config.model_name, quantization="int8")
    with pytest.raises(errors.FailedPreconditionError, match="quantization"):
        manager.get_or_load("a", other)


def test_a_real_model_loads_once_for_many_threads(real_config):
    manager = ModelManager()
    threads, results = in_threads(6, lambda: manager.get_or_load("a", real_config))
    for thread in threads:
        thread.join()
    assert [type(r).__name__ for r in results] == ["tuple"] * 6
    assert manager.list_models() == ["a"]


def test_the_registry_gives_a_working_model(real_config):
    manager = ModelManager()
    manager.get_or_load("a", real_config)
    info = manager.registry.get("a")
    assert info.model.embed("text").shape == (1, 384)
    assert info.config == real_config
    assert manager.get_or_load("a")[0].embed("text").shape == (1, 384)


def test_real_and_other_models_share_the_limit(real_config):
    manager = ModelManager(max_models=2)
    manager.get_or_load("real", real_config)
    manager.registry.register("object", None, object(), None, 5.0)
    manager.registry.get("object")
    manager.registry.register("another", None, object(), None, 5.0)
    assert manager.list_models() == ["object", "another"]


def test_progress_is_reported_on_the_calling_thread(real_config):
    calls = []

    def progress(phase, done, total):
        calls.append((threading.get_ident(), phase, done, total))

    ModelManager().get_or_load("a", real_config, progress=progress)
    assert {thread for thread, *_ in calls} == {threading.get_ident()}
    _, phase, done, total = calls[-1]
    # The source may hold tensors that the model does not need.
    assert phase == "convert" and 0.99 * total < done <= total


def test_a_load_that_failed_is_not_repeated_at_once(tmp_path):
    config = ModelConfig.for_tier1(str(tmp_path / "later"))
    manager = ModelManager(retry_delay=600, max_retry_delay=600)
    with pytest.raises(errors.NotFoundError, match="Model loading failed"):
        manager.get_or_load("a", config)
    with pytest.raises(errors.NotFoundError, match="not repeated for another"):
        manager.get_or_load("a", config)
    assert manager.metrics()["load_failures"] == 1
    assert manager.metrics()["retries_refused"] == 1


def test_a_load_may_be_repeated_at_once(real_config, tmp_path):
    link = tmp_path / "model"
    manager = ModelManager(retry_delay=0)
    config = ModelConfig.for_tier1(str(link))
    with pytest.raises(errors.NotFoundError):
        manager.get_or_load("a", config)
    link.symlink_to(real_config.model_name)
    assert manager.get_or_load("a", config)[0].embed("text").shape == (1, 384)


def test_a_wait_for_a_load_may_end(real_config):
    manager = ModelManager()
    with pytest.raises(errors.DeadlineExceededError, match="Model loading failed: timed out"):
        manager.get_or_load("a", real_config, timeout=0)
    with pytest.raises(errors.InvalidArgumentError, match="timeout"):
        manager.get_or_load("a", real_config, timeout=-1)
    assert manager.get_or_load("a", real_config, timeout=60)


def test_an_idle_model_goes_for_an_object_that_needs_its_memory(real_config):
    manager = ModelManager(max_memory="200MB")
    manager.get_or_load("real", real_config)
    manager.loader = StandInLoader(size_mb=150.0)
    order = []
    manager.loader.load = lambda config: order.append(manager.list_models()) or ("object", None)
    assert manager.get_or_load("a", CONFIG) == ("object", None)
    assert order == [[]]  # it went before the object came
    assert manager.list_models() == ["a"]
    manager.loader.size_mb = 250.0
    with pytest.raises(MemoryError, match="Insufficient memory"):
        manager.get_or_load("b", CONFIG)
    assert manager.list_models() == ["a"]  # nobody went for nothing


def test_an_object_that_would_not_fit_the_machine_is_not_loaded(manager):
    total_mb = _native.detect_hardware()["total_memory_bytes"] / 1e6
    manager.loader.size_mb = 2 * total_mb
    with pytest.raises(MemoryError, match="Insufficient memory.* MB"):
        manager.get_or_load("a", CONFIG)
    assert manager.loader.loads == []


def test_a_check_of_the_caller_has_the_say(manager):
    manager.loader.size_mb = 2 * _native.detect_hardware()["total_memory_bytes"] / 1e6
    manager._check_memory_availability = lambda *arguments: True
    manager.get_or_load("a", CONFIG)
    assert manager.list_models() == ["a"]


def test_objects_and_models_share_the_memory(real_config):
    manager = ModelManager(max_memory="200MB")
    manager.registry.register("object", None, object(), None, 150.0)
    manager.get_or_load("real", real_config)
    assert manager.list_models() == ["real"]
    manager.registry.register("object", None, object(), None, 150.0)
    assert manager.list_models() == ["object"]
    with pytest.raises(MemoryError):
        manager.registry.register("another", None, object(), None, 250.0)
    assert manager.list_models() == ["object"]


def test_the_registry_s_model_keeps_no_memory(real_config):
    manager = ModelManager(max_models=1)
    manager.get_or_load("a", real_config)
    info = manager.registry.peek("a")
    manager.get_or_load("b", real_config)
    assert manager.list_models() == ["b"]
    assert info.model.embed("text").shape == (1, 384)
    assert manager.list_models() == ["a"]
