"""MiniLM and SmolLM2 beside transformers (+ bitsandbytes): load, memory, prefill, decode, embedding latency.

Run it with `make bench`. Each row is measured in a fresh process per engine (so that resident and peak memory are its
own) on the same machine, same threads and same work; the engines alternate over the rounds and the median is printed.
The work: SmolLM2-135M-Instruct from one Hugging Face folder (fp32 safetensors), a prompt of 128 tokens, 64 new tokens
greedy, and eight prompts of 16 tokens continued together by 32; MiniLM: one text of 16 tokens, one of 128, and 64 texts
of 16 to 128 tokens in one call.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

PROMPT_TOKENS, NEW_TOKENS = 128, 64
BATCH, BATCH_PROMPT_TOKENS, BATCH_NEW_TOKENS = 8, 16, 32
ENGINES = ("mdsa", "transformers")
QUANTIZATIONS = ("none", "int8", "int4")


def memory_mb(field: str) -> float:
    """VmRSS (resident now) or VmHWM (peak) of this process in MB of 1,000,000 bytes."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(field)


def reset_peak() -> None:
    """Sets VmHWM back to VmRSS, so that the peak of the load is not that of the imports."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def timed(function, repeats: int) -> float:
    """Median seconds of a call after one that does not count."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure_load(load) -> tuple[object, dict]:
    before = memory_mb("VmRSS")
    reset_peak()
    start = time.perf_counter()
    model = load()
    seconds = time.perf_counter() - start
    return model, {
        "load_s": seconds,
        "resident_mb": memory_mb("VmRSS") - before,
        "peak_mb": memory_mb("VmHWM") - before,
    }


def causal_lm_mdsa(folder: str, quantization: str, threads: int) -> dict:
    import numpy as np

    from mdsa.models import ModelConfig, ModelLoader

    config = ModelConfig(folder, "tier3", device="cpu", quantization=quantization, max_length=1024)
    (model, _), row = measure_load(lambda: ModelLoader().load(config))

    def generate(prompts, count):
        return model.generate(np.array(prompts), max_new_tokens=count, min_new_tokens=count)

    return row | generation_rates(generate)


def causal_lm_transformers(folder: str, quantization: str, threads: int) -> dict:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    torch.set_num_threads(threads)
    config = {
        "none": None,
        "int8": BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=6.0),
        "int4": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        ),
    }[quantization]
    dtype = torch.float32 if quantization == "none" else torch.bfloat16
    model, row = measure_load(
        lambda: AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, dtype=dtype).eval()
    )

    def generate(prompts, count):
        ids = torch.tensor(prompts)
        limits = {"max_new_tokens": count, "min_new_tokens": count}
        with torch.inference_mode():
            return model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=0, **limits
            )

    return row | generation_rates(generate)


def generation_rates(generate) -> dict:
    """Prefill from one new token; decode from the difference to many; tokens of all answers for a batch."""
    prompt = [list(range(1000, 1000 + PROMPT_TOKENS))]
    first = timed(lambda: generate(prompt, 1), 5)
    many = timed(lambda: generate(prompt, 1 + NEW_TOKENS), 3)
    prompts = [list(range(1000 * i, 1000 * i + BATCH_PROMPT_TOKENS)) for i in range(1, BATCH + 1)]
    batch_first = timed(lambda: generate(prompts, 1), 3)
    batch_many = timed(lambda: generate(prompts, 1 + BATCH_NEW_TOKENS), 3)
    return {
        "prefill_tok_s": PROMPT_TOKENS / first,
        "decode_tok_s": NEW_TOKENS / (many - first),
        "batch_tok_s": BATCH * BATCH_NEW_TOKENS / (batch_many - batch_first),
    }


def text_of_tokens(count: int) -> str:
    """`hello` is one token of MiniLM; two special tokens are added."""
    return " ".join(["hello"] * (count - 2))


def embedding_times(embed) -> dict:
    """Milliseconds of a call."""
    work = {f"embed_{tokens}_ms": ([text_of_tokens(tokens)], 30) for tokens in (16, 128)}
    work["embed_64_texts_ms"] = ([text_of_tokens(16 + 112 * i // 63) for i in range(64)], 3)
    return {name: 1000 * timed(lambda texts=texts: embed(texts), repeats) for name, (texts, repeats) in work.items()}


def encoder_mdsa(folder: str, quantization: str, threads: int) -> dict:
    from mdsa.models import ModelConfig, ModelLoader

    config = ModelConfig(folder, "tier1", device="cpu", max_length=256, batch_size=64)
    (model, _), row = measure_load(lambda: ModelLoader().load(config))
    return row | embedding_times(model.embed)


def encoder_transformers(folder: str, quantization: str, threads: int) -> dict:
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(threads)
    (model, tokenizer), row = measure_load(
        lambda: (AutoModel.from_pretrained(folder, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(folder))
    )

    def embed(texts):
        with torch.inference_mode():
            inputs = tokenizer(texts, padding=True, return_tensors="pt")
            hidden = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"][..., None]
            vectors = (hidden * mask).sum(1) / mask.sum(1)
            return torch.nn.functional.normalize(vectors)

    return row | embedding_times(embed)


WORKERS = {
    ("causal_lm", "mdsa"): causal_lm_mdsa,
    ("causal_lm", "transformers"): causal_lm_transformers,
    ("encoder", "mdsa"): encoder_mdsa,
    ("encoder", "transformers"): encoder_transformers,
}


def hf_folder_of_gguf(gguf: pathlib.Path, folder: pathlib.Path) -> None:
    """The same weights as a Hugging Face checkpoint in fp32, made by transformers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def run_worker(kind: str, engine: str, folder: str, quantization: str, threads: int) -> dict:
    command = [sys.executable, __file__, "--worker", kind, engine, folder, quantization, "--threads", str(threads)]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "MDSA_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{kind} {engine} {quantization} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def median_row(rows: list[dict]) -> dict:
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def print_table(title: str, results: dict[str, dict[str, dict]]) -> None:
    """results[variant][engine] -> row."""
    columns = list(next(iter(next(iter(results.values())).values())))
    print(f"\n{title}")
    print(f"{'':<8}{'':<14}" + "".join(f"{column:>18}" for column in columns))
    for variant, engines in results.items():
        for engine in ENGINES:
            print(f"{variant:<8}{engine:<14}" + "".join(f"{engines[engine][column]:>18.2f}" for column in columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=pathlib.Path, help="write all figures here")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        kind, engine, folder, quantization = arguments.worker
        print(json.dumps(WORKERS[kind, engine](folder, quantization, arguments.threads)))
        return

    from real_models import minilm_folder, smollm2_file

    with tempfile.TemporaryDirectory() as scratch:
        smollm2 = pathlib.Path(scratch) / "smollm2"
        hf_folder_of_gguf(smollm2_file(), smollm2)
        work = [("causal_lm", quantization, str(smollm2)) for quantization in QUANTIZATIONS]
        work.append(("encoder", "none", str(minilm_folder())))
        rows: dict = {}
        for _ in range(arguments.rounds):
            for kind, quantization, folder in work:
                for engine in ENGINES:
                    row = run_worker(kind, engine, folder, quantization, arguments.threads)
                    rows.setdefault((kind, quantization, engine), []).append(row)
    medians = {key: median_row(value) for key, value in rows.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps({" ".join(key): value for key, value in rows.items()}, indent=1))
    print(f"{arguments.rounds} rounds, {arguments.threads} threads, medians; memory in MB of 1,000,000 bytes")
    print_table(
        f"SmolLM2-135M, prompt {PROMPT_TOKENS} tokens, {NEW_TOKENS} new; batch of {BATCH}",
        {q: {e: medians["causal_lm", q, e] for e in ENGINES} for q in QUANTIZATIONS},
    )
    print_table("MiniLM", {"none": {e: medians["encoder", "none", e] for e in ENGINES}})


if __name__ == "__main__":
    main()
