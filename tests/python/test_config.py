import dataclasses
import pathlib

import numpy as np
import pytest

import mdsa
from mdsa import ModelConfig, ModelTier, QuantizationType
from mdsa.errors import InvalidArgumentError
from mdsa.models.config import as_model_config

FIELDS = [
    "model_name",
    "tier",
    "device",
    "quantization",
    "max_length",
    "batch_size",
    "temperature",
    "use_cache",
    "trust_remote_code",
    "torch_dtype",
    "compile_model",
    "optimization_level",
    "cache_dir",
    "kwargs",
]


def test_fields_and_their_order():
    assert [field.name for field in dataclasses.fields(ModelConfig)] == FIELDS


def test_defaults():
    config = ModelConfig("m", ModelTier.TIER2)
    assert config.to_dict() == {
        "model_name": "m",
        "tier": "tier2",
        "device": "cpu",
        "quantization": "none",
        "max_length": 512,
        "batch_size": 1,
        "temperature": 0.7,
        "use_cache": True,
        "trust_remote_code": False,
        "torch_dtype": None,
        "compile_model": False,
        "optimization_level": 1,
        "cache_dir": None,
        "kwargs": {},
    }


def test_strings_become_enums():
    config = ModelConfig("m", "tier1", quantization="bfloat16")
    assert config.tier is ModelTier.TIER1
    assert config.quantization is QuantizationType.BFLOAT16


def test_auto_device_is_resolved_at_once():
    assert ModelConfig("m", "tier3", device="auto").device == "cpu"


def test_a_device_that_is_not_here_can_be_specified():
    assert ModelConfig("m", "tier3", device="cuda:1").device == "cuda:1"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_length", 0),
        ("max_length", -5),
        ("max_length", "many"),
        ("max_length", 1 << 70),
        ("batch_size", 0),
        ("batch_size", 1.5),
        ("tier", "tier9"),
        ("tier", None),
        ("quantization", "int3"),
        ("device", "tpu"),
        ("device", "cuda:x"),
        ("model_name", ""),
        ("model_name", 7),
        ("torch_dtype", "float8"),
        ("temperature", "hot"),
        ("temperature", float("nan")),
        ("use_cache", "yes"),
        ("kwargs", 3),
    ],
)
def test_a_wrong_value_is_an_error(field, value):
    with pytest.raises(ValueError) as caught:
        ModelConfig(**{"model_name": "m", "tier": "tier3", field: value})
    assert isinstance(caught.value, InvalidArgumentError)
    if value == value:
        assert field in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="tier1.*tier2.*tier3"):
        ModelConfig("m", "tier9")
    with pytest.raises(ValueError, match="none.*int4.*int8.*fp16.*bfloat16"):
        ModelConfig("m", "tier3", quantization="int3")


def test_round_trip_through_a_dict():
    config = ModelConfig.for_tier3("m", kwargs={"a": [1, {"b": None}]}, cache_dir="c")
    assert ModelConfig.from_dict(config.to_dict()) == config


def test_an_unknown_key_is_a_type_error():
    with pytest.raises(TypeError, match="colour"):
        ModelConfig.from_dict({"model_name": "m", "tier": "tier1", "colour": "red"})


def test_the_dict_is_a_copy():
    config = ModelConfig("m", "tier1")
    config.to_dict()["kwargs"]["x"] = 1
    assert config.kwargs == {}


def test_a_preset_takes_any_field_as_override():
    config = ModelConfig.for_tier1(max_length=64, quantization="int8", device="cuda")
    assert (config.max_length, config.quantization, config.device) == (
        64,
        QuantizationType.INT8,
        "cuda",
    )
    assert ModelConfig.for_tier2(tier="tier3").tier is ModelTier.TIER3
    assert ModelConfig.for_tier3("m", max_length=64).max_length == 64


def test_it_is_mutable_and_checked_again_by_a_load(minilm_dir):
    config = ModelConfig.for_tier1(minilm_dir)
    config.max_length = -1
    with pytest.raises(InvalidArgumentError, match="max_length"):
        mdsa.ModelLoader().load(config)


def test_integers_and_paths_of_other_libraries():
    config = ModelConfig(pathlib.Path("some") / "folder", "tier1", max_length=np.int64(7))
    assert config._to_json().startswith('{"model_name": "some/folder"')


def test_kwargs_may_hold_anything():
    marker = object()
    config = ModelConfig("m", "tier1", kwargs={"object": marker})
    assert config.to_dict()["kwargs"] == {"object": marker}


def test_repr():
    config = ModelConfig.for_tier3("org/name")
    assert repr(config) == "<ModelConfig org/name tier=tier3 device=cpu quant=int4>"


def test_constants():
    assert mdsa.TIER1_TINYBERT == ModelConfig.for_tier1()
    assert mdsa.models.TIER2_PHI == ModelConfig.for_tier2()
    assert mdsa.models.config.TIER2_PHI is mdsa.TIER2_PHI


def test_a_domain_configuration_is_accepted():
    @dataclasses.dataclass
    class DomainConfig:
        domain_id: str = "finance"
        model_name: str = "m"
        model_tier: ModelTier = ModelTier.TIER2
        quantization: str = "int8"
        device: str = "cpu"
        temperature: float = 0.3

    config = as_model_config(DomainConfig())
    assert (config.tier, config.quantization) == (ModelTier.TIER2, QuantizationType.INT8)
    assert config.temperature == 0.3


def test_something_else_is_refused():
    with pytest.raises(InvalidArgumentError, match="ModelConfig"):
        as_model_config("a string")


def test_truth_values_of_numpy_are_taken():
    config = ModelConfig.for_tier1(use_cache=np.True_, compile_model=np.False_)
    assert ModelConfig.from_dict(config.to_dict()) == config
