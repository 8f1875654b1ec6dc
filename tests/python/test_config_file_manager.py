"""A manager from a configuration file, and declared models."""

import pytest

from mdsa import ModelConfig, ModelManager, errors


@pytest.fixture
def write(tmp_path):
    """Writes a configuration file; returns its path."""

    def write(text):
        path = tmp_path / "mdsa.toml"
        path.write_text(text)
        return path

    return write


def model_table(model_id, source, *lines):
    return "\n".join(
        ["[[model]]", f"id = '{model_id}'", f"source = '{source}'", "tier = 'tier1'", *lines, ""]
    )


def test_limits_and_models(write, classifier_dir):
    path = write(
        "[limits]\nmax_models = 3\nmax_memory = '2GB'\ntime_to_live = '1h'\n"
        + model_table("a", classifier_dir, "pin = true", "temperature = 0.3")
        + model_table("b", classifier_dir, "time_to_live = '5m'")
    )
    manager = ModelManager.from_config(path)
    assert manager.list_models() == []
    assert manager.preload_failures == {}
    model, tokenizer = manager.get_or_load("a")
    assert model.load_config.temperature == 0.3
    assert model.classify("good") and tokenizer("good")
    assert manager.get_or_load("a")[0] is model
    with manager.lease("b") as leased:
        assert leased.classify("good")
    assert manager.get_info("a")["pinned"] is True
    assert manager.get_info("a")["time_to_live"] == 3600.0
    assert manager.get_info("b")["time_to_live"] == 300.0
    assert manager.get_stats()["max_models"] == 3
    assert manager.metrics()["devices"]["cpu"]["limit_bytes"] == 2_000_000_000
    assert manager.explain("b")["verdict"] == "resident"
    with pytest.raises(errors.InvalidArgumentError, match="config"):
        manager.get_or_load("c")


def test_models_that_are_loaded_at_once(write, classifier_dir, tmp_path):
    path = write(
        model_table("a", classifier_dir, "preload = true", "warm_up = 'so good'")
        + model_table("b", classifier_dir)
        + model_table("broken", tmp_path / "nowhere", "preload = true")
    )
    manager = ModelManager.from_config(str(path))
    assert manager.list_models() == ["a"]
    assert manager.get_info("a")["use_count"] == 2  # the request and the call that warmed it up
    assert set(manager.preload_failures) == {"broken"}
    assert isinstance(manager.preload_failures["broken"], errors.NotFoundError)
    assert ModelManager.from_config(path, preload=False).list_models() == []


def test_a_required_model_that_cannot_be_loaded(write, tmp_path):
    path = write(model_table("a", tmp_path / "nowhere", "preload = true", "required = true"))
    with pytest.raises(errors.NotFoundError, match="Model loading failed.*nowhere"):
        ModelManager.from_config(path)
    manager = ModelManager.from_config(path, preload=False)
    with pytest.raises(errors.NotFoundError):
        manager.preload()
    assert set(manager.preload_failures) == {"a"}


def test_a_file_that_is_wrong_or_missing(write, tmp_path):
    with pytest.raises(errors.InvalidArgumentError, match=r"mdsa.toml:2:1: .*max_model\b"):
        ModelManager.from_config(write("[limits]\nmax_model = 3\n"))
    with pytest.raises(FileNotFoundError):
        ModelManager.from_config(tmp_path / "none.toml")


def test_the_store_of_the_file(write, tmp_path):
    manager = ModelManager.from_config(write("[store]\ncache_dir = 'models'\n"))
    assert manager.loader.cache_dir == str(tmp_path / "models")


def test_a_declared_model(classifier_dir):
    manager = ModelManager(time_to_live=60)
    config = ModelConfig.for_tier1(classifier_dir)
    manager.declare("a", config, pin=True, time_to_live=None, preload=True, warm_up="good")
    manager.declare("b", config.to_dict())
    manager.declare("c", config, time_to_live=5)
    assert manager.preload() == {}
    assert manager.list_models() == ["a"]
    for name in "bc":
        assert manager.get_or_load(name)[0].load_config == config
    info = {name: manager.get_info(name) for name in "abc"}
    assert [info[name]["time_to_live"] for name in "abc"] == [None, 60.0, 5.0]
    assert [info[name]["pinned"] for name in "abc"] == [True, False, False]


def test_a_declaration_that_is_wrong():
    manager = ModelManager()
    with pytest.raises(errors.InvalidArgumentError, match="model_id"):
        manager.declare("", ModelConfig.for_tier1())
    with pytest.raises(errors.InvalidArgumentError, match="time_to_live"):
        manager.declare("a", ModelConfig.for_tier1(), time_to_live=-1)
    with pytest.raises(errors.InvalidArgumentError, match="ModelConfig"):
        manager.declare("a", None)


def test_declared_models_go_through_a_replaced_loader(write):
    class Loader:
        def estimate_memory(self, config):
            return 1.0

        def load(self, config):
            return config.model_name, None

    manager = ModelManager.from_config(write(model_table("a", "org/name")))
    manager.loader = Loader()
    assert manager.get_or_load("a") == ("org/name", None)
