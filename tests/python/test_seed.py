"""What the user asked for, literally: the Quick Verification script and the documented examples."""

import datetime

import pytest

import mdsa
from mdsa import ModelConfig, ModelManager, ModelTier, QuantizationType
from mdsa.models import ModelLoader, ModelRegistry

QUICK_VERIFICATION = r"""
from mdsa import ModelConfig, QuantizationType, ModelTier
from mdsa.models import ModelRegistry, ModelManager

# Test Config
config = ModelConfig.for_tier1()
print(f'Config: {config.model_name}')

# Test Registry
registry = ModelRegistry(max_models=2)
registry.register('model1', config, {'data': 1}, None, 100.0)
print(f'Registered: {registry.list_models()}')

# Test Manager
manager = ModelManager()
stats = manager.get_stats()
print(f'Manager: models={stats["models_loaded"]}, max={stats["max_models"]}')

print('Phase 3 OK!')
"""

EXPECTED = """\
Config: huawei-noah/TinyBERT_General_6L_768D
Registered: ['model1']
Manager: models=0, max=10
Phase 3 OK!
"""


def test_quick_verification_prints_exactly_the_expected_output(fresh_python):
    result = fresh_python(QUICK_VERIFICATION)
    assert result.stdout == EXPECTED
    assert result.stderr == ""


def test_enums():
    assert {t.name: t.value for t in ModelTier} == {
        "TIER1": "tier1",
        "TIER2": "tier2",
        "TIER3": "tier3",
    }
    assert {q.name: q.value for q in QuantizationType} == {
        "NONE": "none",
        "INT4": "int4",
        "INT8": "int8",
        "FP16": "fp16",
        "BFLOAT16": "bfloat16",
    }


def test_presets():
    tier1 = ModelConfig.for_tier1()
    assert (tier1.device, tier1.quantization, tier1.max_length) == ("cpu", QuantizationType.NONE, 128)
    tier2 = ModelConfig.for_tier2()
    assert tier2.model_name == "microsoft/phi-1_5"
    assert (tier2.quantization, tier2.max_length) == (QuantizationType.INT8, 512)
    tier3 = ModelConfig.for_tier3("meta-llama/Llama-2-7b-hf")
    assert tier3.model_name == "meta-llama/Llama-2-7b-hf"
    assert (tier3.quantization, tier3.max_length) == (QuantizationType.INT4, 2048)
    assert [c.tier for c in (tier1, tier2, tier3)] == list(ModelTier)


def test_custom_configuration():
    config = ModelConfig(
        model_name="custom-model",
        tier=ModelTier.TIER3,
        device="cuda",
        quantization=QuantizationType.INT4,
        max_length=2048,
        batch_size=1,
    )
    assert config.device == "cuda"
    config = ModelConfig.for_tier3("model", quantization=QuantizationType.INT4)
    assert config.quantization is QuantizationType.INT4


def test_registry_examples():
    config = ModelConfig.for_tier3("llama")
    registry = ModelRegistry(max_models=3)
    registered = registry.register(
        model_id="llama-7b",
        config=config,
        model=object(),
        tokenizer=object(),
        memory_mb=3500.0,
    )
    assert registered.model_id == "llama-7b"
    info = registry.get("llama-7b")
    assert info.use_count == 1
    assert registry.is_loaded("llama-7b") is True
    registry.register("phi-1.5", config, {"type": "test"}, None, 4000.0)
    stats = registry.get_stats()
    assert stats["models_loaded"] == 2
    assert stats["total_memory_mb"] == 7500.0
    assert stats["total_uses"] == 1
    assert set(stats["models"]) == {"llama-7b", "phi-1.5"}
    assert registry.list_models() == ["llama-7b", "phi-1.5"]
    assert registry.unregister("llama-7b") is True
    registry.clear()
    assert registry.list_models() == []


def test_lru_eviction_example():
    config = ModelConfig.for_tier1()
    registry = ModelRegistry(max_models=2)
    registry.register("model1", config, "a", None, 100.0)
    registry.register("model2", config, "b", None, 100.0)
    registry.register("model3", config, "c", None, 100.0)
    assert registry.list_models() == ["model2", "model3"]


def test_loader_example(minilm_dir, tmp_path):
    loader = ModelLoader(cache_dir=str(tmp_path))
    config = ModelConfig.for_tier1(minilm_dir)
    model, tokenizer = loader.load(config)
    estimated_mb = loader.estimate_memory(config)
    assert isinstance(estimated_mb, float)
    assert model(**tokenizer("hello", return_tensors="np")).last_hidden_state.shape[2] == 384
    assert 0.5 * estimated_mb < model.memory_mb < 1.5 * estimated_mb


@pytest.mark.parametrize(
    ("config", "megabytes"),
    [
        (ModelConfig.for_tier1(), 250),
        (ModelConfig.for_tier2(), 1300),
        (ModelConfig.for_tier3("meta-llama/Llama-2-7b-hf"), 3500),
        (ModelConfig.for_tier3("meta-llama/Llama-2-7b-hf", quantization="none"), 14000),
    ],
    ids=["tier1", "tier2-int8", "tier3-int4", "tier3-none"],
)
def test_estimates_of_presets_without_a_checkpoint(config, megabytes, tmp_path):
    estimated = ModelLoader(cache_dir=tmp_path).estimate_memory(config)
    assert 0.5 * megabytes < estimated < 2.5 * megabytes


def test_a_model_in_another_server_counts_its_client():
    assert ModelLoader().estimate_memory(ModelConfig("ollama://phi", "tier1")) == 50.0


def test_manager_example(minilm_dir):
    manager = ModelManager(max_models=10)
    config = ModelConfig.for_tier1(minilm_dir)
    model, tokenizer = manager.get_or_load("minilm", config)
    again, _ = manager.get_or_load("minilm", config)
    assert again is model
    assert manager.is_loaded("minilm")
    assert model.embed("a text").shape == (1, 384)

    info = manager.get_info("minilm")
    assert info["model_id"] == "minilm"
    assert info["tier"] == "tier1"
    assert 20 < info["memory_mb"] < 200
    assert info["use_count"] >= 1
    for key in ("loaded_at", "last_used"):
        assert datetime.datetime.fromisoformat(info[key]).utcoffset() is not None

    stats = manager.get_stats()
    assert (stats["models_loaded"], stats["max_models"]) == (1, 10)
    assert stats["total_memory_mb"] == pytest.approx(info["memory_mb"])
    assert stats["total_uses"] == info["use_count"]
    assert manager.list_models() == ["minilm"]
    assert manager.unload("minilm") is True
    manager.clear_all()
    assert manager.list_models() == []


def test_package_says_what_it_is():
    assert mdsa.__version__ == "0.1.0"
    assert mdsa.__license__ == "Apache 2.0"
    assert set(mdsa.__all__) <= set(dir(mdsa)) | {"TIER1_TINYBERT", "TIER2_PHI"}
