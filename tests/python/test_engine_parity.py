"""The engine against transformers and bitsandbytes: real weights and small random checkpoints of many shapes."""

import copy

import numpy as np
import pytest
import torch
import transformers
from bitsandbytes import functional as bnb

from mdsa import ModelConfig, QuantizationType
from mdsa.models import ModelLoader

pytestmark = pytest.mark.usefixtures("one_torch_thread")

PROMPTS = [
    "The capital of France is",
    "Once upon a time",
    "def fibonacci(n):",
    "<|im_start|>user\nWhat is gravity?<|im_end|>\n<|im_start|>assistant\n",
    "The quick brown fox",
    "In 1969, the first",
    "Water boils at",
    "A recipe for bread:",
    "import numpy as np\n",
    "The meaning of life",
    "1, 2, 3, 5, 8,",
    "Dear Sir or Madam,",
    "Les enfants jouent dans",
    "SELECT name FROM users WHERE",
    "The three laws of thermodynamics are",
    "Q: What is 12 times 12?\nA:",
    "Roses are red,",
    "# Introduction\n",
    "Photosynthesis is the process by which",
    "<|im_start|>system\nYou are brief.<|im_end|>\n<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\n",
]
SENTENCES = [
    "A man is eating food.",
    "Eat.",
    "The girl is carrying a baby, and the baby is carrying the girl.",
    "",
    "Un café à Zürich, s'il vous plaît — 東京!",
    "word " * 300,
]


def load(path, quantization="none", max_length=2048, **kwargs):
    config = ModelConfig(
        str(path), "tier3", device="cpu", quantization=QuantizationType(quantization), max_length=max_length, **kwargs
    )
    return ModelLoader().load(config)


def cosine(a, b):
    return ((a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)).min()


@pytest.fixture(scope="module")
def smollm2_torch(smollm2_hf):
    model = transformers.AutoModelForCausalLM.from_pretrained(smollm2_hf, dtype=torch.float32).eval()
    return model, transformers.AutoTokenizer.from_pretrained(smollm2_hf)


def torch_forward(model, ids, mask=None, **kwargs):
    attention_mask = None if mask is None else torch.tensor(mask)
    with torch.no_grad():
        return model(input_ids=torch.tensor(ids), attention_mask=attention_mask, **kwargs)


def dequantized(model, scheme):
    """The same weights as a loaded model holds: matrices that the scheme quantizes replaced by what the codes stand
    for, the fp32 embeddings and head that it leaves alone rounded to bfloat16."""
    model = copy.deepcopy(model)
    head = model.get_output_embeddings()
    with torch.no_grad():
        tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding) or module is head]
        for table in tables:
            table.weight.copy_(table.weight.bfloat16().float())
        for module in model.modules():
            if not isinstance(module, torch.nn.Linear) or module is head:
                continue
            weight = module.weight
            if scheme == "int8":
                codes, scales, _ = bnb.int8_vectorwise_quant(weight.half())
                weight.copy_(codes.float() * scales[:, None] * 7.874015718698502e-3)
            else:
                weight.copy_(dequantize_nf4(weight))
    return model


def dequantize_nf4(weight):
    # As one row: bitsandbytes 0.50.2 misreads the scales of some widths when it dequantizes matrices.
    packed, state = bnb.quantize_4bit(weight.reshape(-1), blocksize=64, quant_type="nf4", compress_statistics=True)
    nibbles = torch.stack([packed.flatten() >> 4, packed.flatten() & 15], -1).flatten()[: weight.numel()].long()
    absmax = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset
    return (state.code[nibbles] * absmax.repeat_interleave(64)[: weight.numel()]).reshape(weight.shape)


def test_minilm_embeddings_equal_transformers(minilm_dir):
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_dir)
    oracle = transformers.AutoModel.from_pretrained(minilm_dir, dtype=torch.float32).eval()
    model, _ = load(minilm_dir, max_length=512)
    found = np.asarray(model.embed(SENTENCES))
    for sentence, vector in zip(SENTENCES, found, strict=True):
        encoded = tokenizer(sentence, return_tensors="pt", truncation=True, max_length=256)
        with torch.no_grad():
            mean = oracle(**encoded).last_hidden_state[0].mean(0)
        expected = torch.nn.functional.normalize(mean, dim=0).numpy()
        np.testing.assert_allclose(vector, expected, atol=1e-5)
        assert cosine(vector, expected) > 0.99999


@pytest.mark.parametrize("batch_size", [2, 64])
def test_embeddings_do_not_depend_on_the_batch(minilm_dir, batch_size):
    texts = SENTENCES * 20
    one, _ = load(minilm_dir, max_length=128)
    many, _ = load(minilm_dir, max_length=128, batch_size=batch_size)
    np.testing.assert_allclose(np.asarray(one.embed(texts)), np.asarray(many.embed(texts)), atol=1e-5)


def test_smollm2_logits_equal_transformers(smollm2_hf, smollm2_torch):
    oracle, tokenizer = smollm2_torch
    model, _ = load(smollm2_hf)
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="np").input_ids
        np.testing.assert_allclose(model(input_ids=ids).logits, torch_forward(oracle, ids).logits.numpy(), atol=1e-3)


def test_smollm2_gives_the_same_greedy_tokens(smollm2_hf, smollm2_torch):
    oracle, tokenizer = smollm2_torch
    model, _ = load(smollm2_hf)
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            expected = oracle.generate(ids, max_new_tokens=64, do_sample=False, pad_token_id=0)[0].tolist()
        found = np.asarray(model.generate(ids.numpy(), max_new_tokens=64, do_sample=False)).reshape(-1).tolist()
        assert found == expected, prompt


def test_smollm2_from_gguf_is_close_to_its_dequantized_weights(smollm2_gguf, smollm2_torch):
    oracle, tokenizer = smollm2_torch
    model, _ = load(smollm2_gguf)
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="np").input_ids
        assert cosine(model(input_ids=ids).logits, torch_forward(oracle, ids).logits.numpy()) > 0.9995


@pytest.mark.parametrize("scheme", ["int4", "int8"])
def test_smollm2_quantized_is_close_to_bitsandbytes_weights(smollm2_hf, smollm2_torch, scheme):
    oracle, tokenizer = smollm2_torch
    oracle = dequantized(oracle, scheme)
    model, _ = load(smollm2_hf, scheme)
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="np").input_ids
        assert cosine(model(input_ids=ids).logits, torch_forward(oracle, ids).logits.numpy()) > 0.9995


def rope(kind, **kwargs):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **kwargs}}


LLAMA = dict(
    vocab_size=97,
    hidden_size=40,
    intermediate_size=76,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
)
PHI = {**LLAMA, "hidden_size": 48, "num_key_value_heads": 4}
BERT = dict(
    vocab_size=97,
    hidden_size=36,
    intermediate_size=70,
    num_hidden_layers=3,
    num_attention_heads=3,
    max_position_embeddings=64,
)


def llama(**kwargs):
    return transformers.LlamaForCausalLM, transformers.LlamaConfig(**{**LLAMA, **kwargs})


def phi(**kwargs):
    return transformers.PhiForCausalLM, transformers.PhiConfig(**{**PHI, **kwargs})


SHAPES = {
    "llama": lambda: llama(),
    "llama-one-key-head": lambda: llama(num_key_value_heads=1, head_dim=14),
    "llama-tied": lambda: llama(tie_word_embeddings=True),
    "llama-biases": lambda: llama(attention_bias=True, mlp_bias=True),
    "llama-odd": lambda: llama(hidden_size=44, intermediate_size=77, head_dim=12),
    "llama-linear": lambda: llama(**rope("linear", factor=2.5)),
    "llama-dynamic": lambda: llama(max_position_embeddings=16, **rope("dynamic", factor=3.0)),
    "llama-3": lambda: llama(
        **rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
    ),
    "llama-yarn": lambda: llama(**rope("yarn", factor=4.0, original_max_position_embeddings=16)),
    "llama-bare": lambda: (transformers.LlamaModel, transformers.LlamaConfig(**LLAMA)),
    "phi": lambda: phi(),
    "phi-grouped": lambda: phi(num_key_value_heads=2),
    "phi-normed-heads": lambda: phi(qk_layernorm=True),
    "phi-partial": lambda: phi(**rope("default", partial_rotary_factor=0.34)),
    "phi-tied": lambda: phi(tie_word_embeddings=True),
    "bert": lambda: (transformers.BertModel, transformers.BertConfig(**BERT)),
    "bert-classifier": lambda: (
        transformers.BertForSequenceClassification,
        transformers.BertConfig(**BERT, num_labels=5),
    ),
}


@pytest.fixture(scope="module", params=list(SHAPES))
def random_checkpoint(request, tmp_path_factory):
    torch.manual_seed(0)
    model_class, config = SHAPES[request.param]()
    model = model_class(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            else:
                parameter.copy_(torch.randn_like(parameter) / parameter.shape[-1] ** 0.5)
    path = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(path)
    return path, model


def outputs(result):
    for name in ("logits", "last_hidden_state", "pooler_output"):
        value = getattr(result, name, None)
        if value is not None:
            yield name, np.asarray(value)


def padding_masks():
    right = np.ones((2, 23), dtype=np.int64)
    right[0, 15:] = 0
    return {"none": None, "right": right, "left": right[:, ::-1].copy()}


@pytest.mark.parametrize("padding", ["none", "right", "left"])
def test_random_checkpoints_equal_transformers(random_checkpoint, padding):
    path, oracle = random_checkpoint
    model, _ = load(path)
    ids = np.random.default_rng(1).integers(0, 97, (2, 23))
    mask = padding_masks()[padding]
    found = dict(outputs(model(input_ids=ids, attention_mask=mask)))
    for name, expected in outputs(torch_forward(oracle, ids, mask)):
        actual = found.pop(name)
        if mask is not None and expected.ndim == 3:
            actual, expected = actual * mask[..., None], expected * mask[..., None]
        np.testing.assert_allclose(actual, expected, atol=2e-5, err_msg=name)
    assert not found


@pytest.mark.parametrize("scheme,least", [("int4", 0.999), ("int8", 0.999), ("fp16", 0.999), ("bfloat16", 0.999)])
def test_random_checkpoints_in_every_storage(random_checkpoint, scheme, least):
    path, oracle = random_checkpoint
    oracle = dequantized(oracle, scheme) if scheme.startswith("int") else oracle
    model, _ = load(path, scheme)
    ids = np.random.default_rng(2).integers(0, 97, (1, 23))
    found = dict(outputs(model(input_ids=ids)))
    for name, expected in outputs(torch_forward(oracle, ids)):
        assert cosine(found[name].astype(np.float64), expected.astype(np.float64)) > least, name
