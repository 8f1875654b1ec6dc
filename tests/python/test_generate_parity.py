"""Generation against transformers: padded batches, sampling, penalties, every kernel target."""

import json

import numpy as np
import pytest
import torch
import transformers

from mdsa import ModelConfig, _native
from mdsa.models import ModelLoader

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SIZES = dict(vocab_size=97, intermediate_size=76, num_hidden_layers=3, max_position_embeddings=64)
SHAPES = {
    "llama-1-head": ("Llama", 32, 1, 1),
    "llama-3-heads": ("Llama", 48, 3, 3),
    "llama-6-over-2": ("Llama", 72, 6, 2),
    "llama-9-over-3": ("Llama", 72, 9, 3),
    "phi-1-head": ("Phi", 32, 1, 1),
    "phi-3-heads": ("Phi", 48, 3, 3),
}
LENGTHS = (1, 4, 7, 8, 15)


def load(path):
    return ModelLoader().load(ModelConfig(str(path), "tier3", device="cpu", quantization="none"))[0]


def random_model(family, hidden, heads, kv_heads):
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(
        **SIZES,
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            else:
                parameter.copy_(torch.randn_like(parameter) / parameter.shape[-1] ** 0.5)
    return model


@pytest.fixture(scope="module", params=list(SHAPES))
def pair(request, tmp_path_factory):
    oracle = random_model(*SHAPES[request.param])
    path = tmp_path_factory.mktemp("checkpoint")
    oracle.save_pretrained(path)
    return load(path), oracle


def left_padded():
    rng = np.random.default_rng(2)
    ids = rng.integers(0, SIZES["vocab_size"], (len(LENGTHS), max(LENGTHS)))
    mask = np.zeros_like(ids)
    for row, length in zip(mask, LENGTHS, strict=True):
        row[-length:] = 1
    return ids, mask


def test_logits_for_unusual_head_counts(pair):
    model, oracle = pair
    ids, mask = left_padded()
    with torch.no_grad():
        expected = oracle(torch.tensor(ids), attention_mask=torch.tensor(mask)).logits.numpy()
    kept = mask.astype(bool)
    np.testing.assert_allclose(
        model(ids, attention_mask=mask).logits[kept], expected[kept], atol=2e-5
    )


def test_a_padded_batch_continues_as_each_prompt_alone(pair):
    model, oracle = pair
    ids, mask = left_padded()
    found = model.generate(ids, attention_mask=mask, max_new_tokens=24)
    assert found.shape == (len(ids), ids.shape[1] + 24)
    for row, length, answer in zip(ids, LENGTHS, found, strict=True):
        prompt = torch.tensor(row[None, -length:])
        expected = oracle.generate(prompt, max_new_tokens=24, do_sample=False, pad_token_id=0)
        assert answer[-length - 24 :].tolist() == expected[0].tolist(), length


def test_a_repetition_penalty_gives_the_same_greedy_tokens(smollm2_hf):
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2_hf)
    oracle = transformers.AutoModelForCausalLM.from_pretrained(
        smollm2_hf, dtype=torch.float32
    ).eval()
    model = load(smollm2_hf)
    for prompt in (
        "The capital of France is",
        "Roses are red,",
        "1, 2, 3, 5, 8,",
        "# Introduction\n",
        "la la la la",
    ):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        options = dict(max_new_tokens=20, do_sample=False, repetition_penalty=1.3)
        expected = oracle.generate(ids, pad_token_id=0, **options)[0].tolist()
        assert model.generate(ids.numpy(), **options)[0].tolist() == expected, prompt


SAMPLING = {
    "temperature": dict(temperature=0.7),
    "hot": dict(temperature=2.5, top_k=0),
    "top-k": dict(top_k=5),
    "top-p": dict(top_k=0, top_p=0.6),
    "min-p": dict(top_k=0, min_p=0.1),
    "all": dict(temperature=1.4, top_k=20, top_p=0.85, min_p=0.05),
    "penalty": dict(temperature=0.9, top_k=10, repetition_penalty=1.8),
}
DRAWS = 2000


def probabilities(
    oracle, prompt, temperature=1.0, top_k=50, top_p=None, min_p=None, repetition_penalty=None
):
    """What transformers draws the next token from: its processors in the order of generate()."""
    steps = transformers.LogitsProcessorList()
    if repetition_penalty is not None:
        steps.append(transformers.RepetitionPenaltyLogitsProcessor(repetition_penalty))
    steps.append(transformers.TemperatureLogitsWarper(temperature))
    if top_k:
        steps.append(transformers.TopKLogitsWarper(top_k))
    if top_p is not None:
        steps.append(transformers.TopPLogitsWarper(top_p))
    if min_p is not None:
        steps.append(transformers.MinPLogitsWarper(min_p))
    ids = torch.tensor([prompt])
    with torch.no_grad():
        return steps(ids, oracle(ids).logits[:, -1]).softmax(-1)[0].double().numpy()


@pytest.fixture(scope="module")
def small_llama(tmp_path_factory):
    oracle = random_model("Llama", 40, 4, 2)
    path = tmp_path_factory.mktemp("checkpoint")
    oracle.save_pretrained(path)
    return load(path), oracle


@pytest.mark.parametrize("options", SAMPLING.values(), ids=SAMPLING.keys())
def test_samples_follow_the_distribution_of_transformers(small_llama, options):
    model, oracle = small_llama
    prompt = [5, 23, 71, 8, 42]
    expected = probabilities(oracle, prompt, **options)
    drawn = model.generate(
        [prompt] * DRAWS,
        max_new_tokens=1,
        do_sample=True,
        seed=7,
        **{"temperature": 1.0, **options},
    )
    counts = np.bincount(drawn[:, -1], minlength=len(expected))
    assert not counts[expected == 0].any()
    # Every token that should come up at least ten times on average does.
    assert counts[expected * DRAWS >= 10].all()
    # Rare tokens together: the statistic is of chi-square only if no class has too few draws.
    rare = expected * DRAWS < 5
    classes = np.append(expected[~rare], expected[rare].sum())
    found = np.append(counts[~rare], counts[rare].sum())
    possible = classes > 0
    statistic = ((found - classes * DRAWS)[possible] ** 2 / (classes * DRAWS)[possible]).sum()
    degrees = possible.sum() - 1
    assert degrees >= 1
    # Mean and standard deviation of chi-square; the seed is fixed, so this is no matter of luck.
    assert statistic < degrees + 4 * (2 * degrees) ** 0.5


GREEDY = """
import json, sys
import mdsa

config = mdsa.ModelConfig.for_tier3(sys.argv[1], quantization="none")
model, tokenizer = mdsa.ModelLoader().load(config)
ids = tokenizer("The capital of France is")["input_ids"]
print(json.dumps(model.generate(ids, max_new_tokens=8)[0].tolist()))
"""


def test_every_instruction_set_gives_the_same_tokens(fresh_python, smollm2_hf):
    targets = ["portable", "avx2", "avx512", "avx512_vnni"]
    usable = targets[: targets.index(_native.detect_hardware()["kernel_target"]) + 1]
    answers = [
        json.loads(fresh_python(GREEDY, smollm2_hf, MDSA_CPU_TARGET=target).stdout)
        for target in ["", *usable]
    ]
    assert len(answers[0]) == 5 + 8
    assert answers == [answers[0]] * len(answers)
