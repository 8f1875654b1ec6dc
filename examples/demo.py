"""The main job on two real models: a small encoder routes questions, two domain models answer, two may be resident.

Run it with `make demo`. The weights come as Python packages: all-MiniLM-L6-v2 (BERT, 22.7M parameters) and
SmolLM2-135M-Instruct (Llama family), the latter loaded as INT4 for one domain and as INT8 for the other.
"""

import pathlib
import shutil
import sys
import textwrap
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scripts"))

from real_models import minilm_folder, smollm2_file  # noqa: E402

from mdsa import ModelConfig, ModelManager, ModelTier, QuantizationType  # noqa: E402

DOMAINS = {
    "travel": "Travel: countries, cities, capitals, sights, flights, trains and hotels",
    "cooking": "Cooking: recipes, ingredients, meals, baking, boiling and kitchen tools",
}
QUESTIONS = [
    "What is the capital of France?",
    "How long should I boil an egg?",
    "Which city would you visit to see the Colosseum?",
]
WIDTH = min(shutil.get_terminal_size().columns, 110)


def print_statistics(manager: ModelManager) -> None:
    stats = manager.get_stats()
    print(f"\n  resident: {stats['models_loaded']} of {stats['max_models']} models, {stats['total_memory_mb']:.1f} MB")
    print(f"  {'model':<22}{'tier':<8}{'memory MB':>10}{'uses':>6}  {'loaded at':<13}{'last used':<13}")
    for model_id in manager.list_models():
        info = manager.get_info(model_id)
        loaded, used = (info[key][11:23] for key in ("loaded_at", "last_used"))
        print(
            f"  {model_id:<22}{info['tier']:<8}{info['memory_mb']:>10.1f}{info['use_count']:>6}  {loaded:<13}{used:<13}"
        )
    print()


def get(manager: ModelManager, model_id: str, config: ModelConfig):
    """get_or_load, telling what happened: a hit, or a load and who had to go."""
    before = set(manager.list_models())
    start = time.perf_counter()
    model, tokenizer = manager.get_or_load(model_id, config)
    seconds = time.perf_counter() - start
    if model_id in before:
        print(f"  {model_id}: already resident")
    else:
        evicted = before - set(manager.list_models())
        because = f", evicted {', '.join(sorted(evicted))} (least recently used)" if evicted else ""
        print(f"  {model_id}: loaded in {seconds:.2f} s{because}")
    return model, tokenizer


def main() -> None:
    encoder_config = ModelConfig.for_tier1(str(minilm_folder()))
    domain_configs = {
        "travel": ModelConfig.for_tier3(str(smollm2_file()), device="cpu", quantization=QuantizationType.INT4),
        "cooking": ModelConfig.for_tier3(str(smollm2_file()), device="cpu", quantization=QuantizationType.INT8),
    }
    manager = ModelManager(max_models=2)
    print("A manager that keeps at most 2 models. Three are wanted: an encoder and two domain models.\n")

    names = list(DOMAINS)
    encoder, _ = get(manager, "encoder", encoder_config)
    domain_vectors = encoder.embed([DOMAINS[name] for name in names])
    print_statistics(manager)

    for number, question in enumerate(QUESTIONS, 1):
        print(f"[{number}] {question}")
        encoder, _ = get(manager, "encoder", encoder_config)
        start = time.perf_counter()
        scores = domain_vectors @ encoder.embed([question])[0]
        milliseconds = 1000 * (time.perf_counter() - start)
        domain = names[int(scores.argmax())]
        similarities = ", ".join(f"{name} {score:.2f}" for name, score in zip(names, scores))
        print(f"  classified as '{domain}' ({similarities}) in {milliseconds:.1f} ms")

        config = domain_configs[domain]
        model, tokenizer = get(manager, f"{domain}-{config.quantization.value}", config)
        answer, tokens, start = "", 0, time.perf_counter()
        print("  ", end="")
        column = 2
        messages = [
            {"role": "system", "content": "You are a helpful assistant. Answer in one or two sentences."},
            {"role": "user", "content": question},
        ]
        for piece in model.stream_text(messages, max_new_tokens=48):
            answer += piece
            for word in piece.splitlines(keepends=True):
                if column + len(word) > WIDTH:
                    word, column = "\n  " + word.lstrip(), 2
                print(word.replace("\n\n", "\n"), end="", flush=True)
                column += len(word)
        tokens = len(tokenizer(answer)["input_ids"])
        seconds = time.perf_counter() - start
        print(f"\n  ({tokens} tokens in {seconds:.2f} s, {tokens / seconds:.0f} tokens/s)")
        print_statistics(manager)

    manager.clear_all()
    print(textwrap.fill("Cleared: nothing is resident, the memory is back with the system.", WIDTH))
    print_statistics(manager)


if __name__ == "__main__":
    main()
