"""The models that help texts and docs name, and a way to run the program in a folder of them."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy
import safetensors.numpy
import tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from real_models import minilm_folder  # noqa: E402

CLI = pathlib.Path(os.environ.get("MDSA_CLI", ROOT / "build/release/apps/mdsa/mdsa")).resolve()

SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
MINILM = "all-MiniLM-L6-v2"
CLASSIFIER = "sentiment-classifier"
TINY_LLAMA = "tiny-llama"


@dataclasses.dataclass
class Outcome:
    code: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


class Program:
    """Runs mdsa in the workspace. Nothing of the caller's models or settings is seen."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        hidden = {"MDSA_CPU_TARGET", "MDSA_NUM_THREADS", "HF_HOME", "NO_COLOR", "XDG_CACHE_HOME"}
        self.environment = {k: v for k, v in os.environ.items() if k not in hidden} | {
            "HOME": str(folder / "home"),
            "MDSA_HOME": str(folder / "home/.mdsa"),
            "HF_HUB_CACHE": str(folder / "hub"),
            "PATH": f"{CLI.parent}:{os.environ['PATH']}",
        }

    def __call__(self, *arguments, stdin=b"", env=None) -> Outcome:
        done = subprocess.run([CLI, *arguments], input=stdin.encode() if isinstance(stdin, str) else stdin,
                              capture_output=True, cwd=self.folder, timeout=120, env=self.environment | (env or {}))
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *arguments, env=None, **streams) -> subprocess.Popen:
        return subprocess.Popen([CLI, *arguments], cwd=self.folder, env=self.environment | (env or {}), **streams)

    def shell(self, line: str) -> Outcome:
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, cwd=self.folder,
                              timeout=120, env=self.environment, stdin=subprocess.DEVNULL)
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def configuration_example() -> str:
    """The mdsa.toml of docs/configuration.md; its models are those of the workspace."""
    (text,) = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs/configuration.md").read_text(), re.MULTILINE | re.DOTALL)
    return text


def model(id: str, source: str, more: str = "") -> str:
    """One [[model]] of a configuration."""
    return f"[[model]]\nid = '{id}'\nsource = '{source}'\n{more}\n"


def _matrices(shapes: dict[str, tuple[int, ...]]) -> dict[str, numpy.ndarray]:
    random = numpy.random.default_rng(7)
    return {name: (0.05 * random.standard_normal(shape)).astype(numpy.float32) for name, shape in shapes.items()}


def write_classifier(folder: pathlib.Path) -> None:
    """A random BERT with two labels and the word pieces of MiniLM."""
    folder.mkdir()
    hidden, wide, vocabulary = 32, 64, 30522
    shapes = {"bert.embeddings.word_embeddings.weight": (vocabulary, hidden),
              "bert.embeddings.position_embeddings.weight": (64, hidden),
              "bert.embeddings.token_type_embeddings.weight": (2, hidden),
              "bert.embeddings.LayerNorm.weight": (hidden,), "bert.embeddings.LayerNorm.bias": (hidden,)}
    layer = "bert.encoder.layer.0."
    for name, rows, cols in [("attention.self.query", hidden, hidden), ("attention.self.key", hidden, hidden),
                             ("attention.self.value", hidden, hidden), ("attention.output.dense", hidden, hidden),
                             ("intermediate.dense", wide, hidden), ("output.dense", hidden, wide)]:
        shapes |= {f"{layer}{name}.weight": (rows, cols), f"{layer}{name}.bias": (rows,)}
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        shapes |= {f"{layer}{name}.weight": (hidden,), f"{layer}{name}.bias": (hidden,)}
    shapes |= {"bert.pooler.dense.weight": (hidden, hidden), "bert.pooler.dense.bias": (hidden,),
               "classifier.weight": (2, hidden), "classifier.bias": (2,)}
    safetensors.numpy.save_file(_matrices(shapes), folder / "model.safetensors", {"format": "pt"})
    config = {"architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_act": "gelu",
              "hidden_size": hidden, "intermediate_size": wide, "num_hidden_layers": 1, "num_attention_heads": 4,
              "max_position_embeddings": 64, "type_vocab_size": 2, "vocab_size": vocabulary, "pad_token_id": 0,
              "layer_norm_eps": 1e-12, "id2label": {"0": "negative", "1": "positive"},
              "label2id": {"negative": 0, "positive": 1}, "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(minilm_folder() / name, folder / name)


def write_tiny_llama(folder: pathlib.Path, **changes) -> None:
    """A random Llama of two layers whose tokens are the bytes."""
    folder.mkdir()
    hidden, wide, vocabulary, layers = 32, 64, 260, 2
    shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,),
              "lm_head.weight": (vocabulary, hidden)}
    for i in range(layers):
        layer = f"model.layers.{i}."
        for name, rows, cols in [("self_attn.q_proj", hidden, hidden), ("self_attn.k_proj", hidden // 2, hidden),
                                 ("self_attn.v_proj", hidden // 2, hidden), ("self_attn.o_proj", hidden, hidden),
                                 ("mlp.gate_proj", wide, hidden), ("mlp.up_proj", wide, hidden),
                                 ("mlp.down_proj", hidden, wide)]:
            shapes[f"{layer}{name}.weight"] = (rows, cols)
        shapes |= {f"{layer}input_layernorm.weight": (hidden,), f"{layer}post_attention_layernorm.weight": (hidden,)}
    safetensors.numpy.save_file(_matrices(shapes), folder / "model.safetensors", {"format": "pt"})
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
              "hidden_size": hidden, "intermediate_size": wide, "num_hidden_layers": layers,
              "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
              "vocab_size": vocabulary, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": False,
              "bos_token_id": 256, "eos_token_id": 257, "dtype": "float32"} | changes
    (folder / "config.json").write_text(json.dumps(config))
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    model = tokenizers.models.BPE({character: i for i, character in enumerate(alphabet)}, [])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
