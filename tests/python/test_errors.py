import inspect
import json
import pathlib

import pytest

import mdsa
from mdsa import ModelConfig, ModelLoader, ModelManager, errors
from mdsa.errors import MdsaError

BUILT_IN = {
    "invalid_argument": ValueError,
    "not_found": FileNotFoundError,
    "already_exists": ValueError,
    "invalid_format": ValueError,
    "unsupported": ValueError,
    "resource_exhausted": MemoryError,
    "failed_precondition": RuntimeError,
    "cancelled": Exception,
    "deadline_exceeded": TimeoutError,
    "io": OSError,
    "internal": RuntimeError,
}


@pytest.mark.parametrize("code", BUILT_IN)
def test_each_code_has_a_class(code):
    error = errors.error_for_code(code, "what happened")
    assert isinstance(error, MdsaError)
    assert isinstance(error, BUILT_IN[code])
    assert error.code == code
    assert str(error) == "what happened"


def test_the_classes_are_public():
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    assert {c.code for c in classes if c is not MdsaError} == set(BUILT_IN)
    assert {c.__name__ for c in classes} == set(errors.__all__)


def load(folder, **options):
    return ModelLoader().load(ModelConfig.for_tier1(str(folder), **options))


def copy_without(source, target: pathlib.Path, *names: str) -> pathlib.Path:
    for path in pathlib.Path(source).iterdir():
        if path.name not in names:
            (target / path.name).symlink_to(path)
    return target


def test_a_model_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="^Model loading failed: .*nothing-here") as caught:
        load(tmp_path / "nothing-here")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value.__cause__, MdsaError)


def test_a_truncated_file(minilm_dir, tmp_path):
    folder = copy_without(minilm_dir, tmp_path, "model.safetensors")
    whole = (pathlib.Path(minilm_dir) / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="^Model loading failed: .*model.safetensors") as caught:
        load(folder)
    assert caught.value.code == "invalid_format"


def test_a_wrong_type_in_config_json(minilm_dir, tmp_path):
    folder = copy_without(minilm_dir, tmp_path, "config.json")
    config = json.loads((pathlib.Path(minilm_dir) / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": "wide"}))
    with pytest.raises(ValueError, match="^Model loading failed: .*config.json.*hidden_size"):
        load(folder)


def test_an_unknown_family_lists_the_known_ones(minilm_dir, tmp_path):
    folder = copy_without(minilm_dir, tmp_path, "config.json")
    config = {"model_type": "mamba", "architectures": ["MambaForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="(?s)mamba.*bert.*llama.*phi") as caught:
        load(folder)
    assert caught.value.code == "unsupported"


def test_a_device_that_is_not_here(minilm_dir):
    for device in ("cuda", "mps"):
        with pytest.raises(ValueError, match=f"^Model loading failed: .*{device}.*cpu") as caught:
            load(minilm_dir, device=device)
        assert caught.value.code == "unsupported"


def test_a_failed_load_leaves_the_manager_as_it_was(minilm_dir, tmp_path):
    manager = mdsa.ModelManager()
    model, _ = manager.get_or_load("good", ModelConfig.for_tier1(minilm_dir))
    with pytest.raises(ValueError, match="Model loading failed"):
        manager.get_or_load("bad", ModelConfig.for_tier1(str(tmp_path / "none")))
    assert manager.list_models() == ["good"]
    assert model.embed(["still works"]).shape == (1, 384)


def test_an_error_of_the_progress_callback_stops_the_load(smollm2_gguf):
    class Enough(Exception):
        pass

    def progress(phase, done, total):
        raise Enough

    with pytest.raises(Enough):
        ModelLoader().load(ModelConfig.for_tier3(smollm2_gguf), progress=progress)


def test_a_name_that_is_no_unicode_names_its_field():
    with pytest.raises(ValueError, match="model_name.*udce9"):
        ModelConfig.for_tier1("caf\udce9")


def test_text_that_is_no_utf8_in_a_message(tmp_path, monkeypatch):
    monkeypatch.setenv("MDSA_HOME", str(tmp_path / "caf\udce9"))
    with pytest.raises(MdsaError, match="caf"):
        load("no/such-model")
    folder = str(tmp_path / "caf\udce9")
    assert ModelLoader(folder).cache_dir == folder
    assert ModelManager(cache_dir=folder).loader.cache_dir == folder


@pytest.mark.parametrize(
    "kwargs",
    [{("a",): 1}, {"x": float("nan")}, {"x": {"y": float("inf")}}],
    ids=["tuple-key", "nan", "nested-inf"],
)
def test_kwargs_that_json_cannot_hold_are_named(kwargs):
    with pytest.raises(ValueError, match="^kwargs: "):
        ModelConfig.for_tier1(kwargs=kwargs)


def test_kwargs_that_hold_themselves_are_named():
    kwargs = {}
    kwargs["self"] = kwargs
    with pytest.raises(ValueError, match="^kwargs: "):
        ModelConfig.for_tier1(kwargs=kwargs)
