"""Turns the SmolLM2 GGUF into a Hugging Face folder: make_smollm2_hf.py GGUF FOLDER.

The folder appears at once when complete, so that several test runs may share it.
"""

import os
import pathlib
import shutil
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"


def main(gguf: str, target: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = pathlib.Path(gguf)
    parent = pathlib.Path(target).parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as scratch:
        folder = pathlib.Path(scratch) / "model"
        AutoModelForCausalLM.from_pretrained(
            source.parent,
            gguf_file=source.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
        ).save_pretrained(folder)
        AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)
        try:
            folder.rename(target)
        except OSError:
            # Another run was faster; what it made is the same.
            shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
