"""Real work runs without the GIL, and from many threads at once."""

import os
import signal
import sys
import threading

import numpy as np
import pytest

from mdsa import ModelConfig, ModelLoader, ModelManager


@pytest.fixture
def no_preemption():
    """Python threads change only where the GIL is given up on purpose."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e6)
    yield
    sys.setswitchinterval(before)


def progress_of_another_thread_during(work):
    """How many steps another thread makes while `work` runs; 0 if it holds the GIL throughout."""
    steps, done, started = [0], threading.Event(), threading.Event()

    def count():
        while not done.is_set():
            steps[0] += 1
            started.set()
            done.wait(1e-6)  # gives the GIL up

    thread = threading.Thread(target=count)
    thread.start()
    started.wait()
    before = steps[0]
    work()
    after = steps[0]
    done.set()
    thread.join()
    return after - before


def others_run_during(work, minimum=10):
    """Whether another thread makes more steps than that while `work` runs.

    On a busy machine the other thread may get no core in time: work that gives the GIL up lets it
    run sooner or later, work that holds it never does.
    """
    return any(progress_of_another_thread_during(work) > minimum for _ in range(50))


def test_the_probe_itself(no_preemption):
    assert progress_of_another_thread_during(lambda: sum(range(2_000_000))) == 0


def test_generate(no_preemption, smollm2):
    model, tokenizer = smollm2
    ids = tokenizer("Once upon a time")["input_ids"]
    assert others_run_during(lambda: model.generate(ids, max_new_tokens=8))


def test_forward_and_embed(no_preemption, minilm):
    model, tokenizer = minilm
    inputs = tokenizer(["some words " * 60] * 4, return_tensors="np")
    assert others_run_during(lambda: model(**inputs))
    assert others_run_during(lambda: model.embed(["some words " * 60] * 4))


def test_load(no_preemption, smollm2_gguf):
    config = ModelConfig.for_tier3(smollm2_gguf)
    assert others_run_during(lambda: ModelLoader().load(config))


def test_encoding(no_preemption, minilm):
    _, tokenizer = minilm
    text = "the quick brown fox " * 20000
    native = tokenizer._native
    assert others_run_during(lambda: native.encode(text))


def test_texts_and_tokens_of_lists(no_preemption, minilm):
    _, tokenizer = minilm
    text = "the quick brown fox " * 20000
    ids = tokenizer._native.encode(text)
    native = tokenizer._native
    assert others_run_during(lambda: native.encode_batch([text] * 2, None, True, 0))
    assert others_run_during(lambda: native.decode(ids))
    assert others_run_during(lambda: native.decode_batch([ids] * 2, True))


def test_generate_text(no_preemption, smollm2):
    model, _ = smollm2
    assert others_run_during(lambda: model.generate_text("Once upon a time", max_new_tokens=8))


def test_classify(no_preemption, classifier_dir):
    model, _ = ModelLoader().load(ModelConfig.for_tier1(classifier_dir))
    assert others_run_during(lambda: model.classify(["so good news " * 100] * 200))


def test_estimate_and_manager(no_preemption, minilm_dir, smollm2_gguf):
    manager = ModelManager()
    config = ModelConfig.for_tier1(minilm_dir)
    estimates = [config] * 300  # each is shorter than it takes another thread to wake up
    assert others_run_during(lambda: [*map(manager.loader.estimate_memory, estimates)], minimum=0)
    large = ModelConfig.for_tier3(smollm2_gguf)

    def load():
        manager.unload("m")
        manager.get_or_load("m", large)

    assert others_run_during(load)


def test_eight_threads_give_the_tokens_of_one(smollm2):
    model, tokenizer = smollm2
    prompts = [tokenizer(f"Number {n} is")["input_ids"] for n in range(8)]
    expected = [model.generate(p, max_new_tokens=16) for p in prompts]
    results = [None] * 8
    start = threading.Barrier(8)

    def work(n):
        start.wait()
        results[n] = model.generate(prompts[n], max_new_tokens=16)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result, wanted in zip(results, expected):
        np.testing.assert_array_equal(result, wanted)


def test_streams_from_many_threads(smollm2):
    model, _ = smollm2
    expected = model.generate_text("Once upon a time", max_new_tokens=12)
    results = [None] * 4

    def work(n):
        results[n] = "".join(model.stream_text("Once upon a time", max_new_tokens=12))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def interrupt_this_process():
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_stops_a_generation(smollm2):
    model, tokenizer = smollm2
    seen = []

    def on_token(token_id):
        seen.append(token_id)
        if len(seen) == 3:
            interrupt_this_process()

    ids = tokenizer("Once upon a time")["input_ids"]
    with pytest.raises(KeyboardInterrupt):
        model.generate(ids, max_new_tokens=1500, min_new_tokens=1500, streamer=on_token)
    assert 3 <= len(seen) < 1500


def test_ctrl_c_stops_generate_text(no_preemption, smollm2):
    model, _ = smollm2
    ready = threading.Event()

    def send():
        ready.set()
        go.acquire()  # then the main thread has released the GIL, which it does inside the call
        interrupt_this_process()

    go = threading.Semaphore(0)
    thread = threading.Thread(target=send)
    thread.start()
    ready.wait()
    with pytest.raises(KeyboardInterrupt):
        go.release()
        model.generate_text("Once upon a time", max_new_tokens=1500, min_new_tokens=1500)
    thread.join()


def test_ctrl_c_stops_a_stream(smollm2):
    model, _ = smollm2
    stream = model.stream_text("Once upon a time", max_new_tokens=1500, min_new_tokens=1500)
    pieces = [next(stream)]
    with pytest.raises(KeyboardInterrupt):
        for piece in stream:
            pieces.append(piece)
            if len(pieces) == 3:
                interrupt_this_process()
    stream.close()
    assert len(pieces) >= 3
    assert stream.finish_reason == "cancelled"


@pytest.mark.parametrize("what", ["embed", "forward"])
def test_ctrl_c_stops_a_long_call(no_preemption, minilm_dir, what):
    config = ModelConfig.for_tier1(minilm_dir, max_length=512, batch_size=64)
    model, tokenizer = ModelLoader().load(config)
    texts = ["some words " * 250] * 64
    inputs = tokenizer(texts, truncation=True, max_length=512, return_tensors="np")
    go, finished = threading.Semaphore(0), []

    def send():
        go.acquire()  # then the main thread has released the GIL, which it does inside the call
        interrupt_this_process()

    thread = threading.Thread(target=send)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        go.release()
        finished.append(model.embed(texts) if what == "embed" else model(**inputs))
    thread.join()
    assert finished == []


def test_ctrl_c_stops_a_load(smollm2_hf):
    config = ModelConfig.for_tier3(smollm2_hf)
    seen = []

    def on_progress(phase, done, total):
        if phase == "convert":
            seen.append((done, total))
            interrupt_this_process()

    with pytest.raises(KeyboardInterrupt):
        ModelLoader().load(config, progress=on_progress)
    done, total = seen[-1]
    assert done < total
    assert ModelLoader().load(config)[0].description.can_generate


DAEMON_AT_EXIT = """
import sys, threading
from mdsa import ModelConfig, ModelLoader
path, what = sys.argv[1:]
model, tokenizer = ModelLoader().load(ModelConfig(path, "tier3", device="cpu", max_length=2048))
running = threading.Event()
def work():
    if what == "generate":
        model.generate(tokenizer("a")["input_ids"], max_new_tokens=1500, min_new_tokens=1500,
                       streamer=lambda token_id: running.set())
    elif what == "generate_text":
        running.set()
        model.generate_text("a", max_new_tokens=1500, min_new_tokens=1500)
    else:
        while True:
            running.set()
            model.embed(["some words " * 40] * 8)
threading.Thread(target=work, daemon=True).start()
running.wait()
"""


@pytest.mark.parametrize("what", ["generate", "generate_text", "embed"])
def test_the_end_of_the_process_stops_calls_of_daemon_threads(
    fresh_python, smollm2_gguf, minilm_dir, what
):
    result = fresh_python(DAEMON_AT_EXIT, minilm_dir if what == "embed" else smollm2_gguf, what)
    assert "nanobind" not in result.stderr
    assert "terminate" not in result.stderr


LOAD_WITHOUT_MEMORY = """
import resource, sys
import numpy, mdsa
config = mdsa.ModelConfig.for_tier1(sys.argv[1])
mdsa.ModelLoader()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
for extra in (0, 4 << 20, 16 << 20, 40 << 20):
    resource.setrlimit(resource.RLIMIT_AS, (used + extra, resource.RLIM_INFINITY))
    try:
        mdsa.ModelLoader().load(config)
    except (MemoryError, OSError, ValueError) as error:
        kind = type(error).__name__
    else:
        kind = "loaded"
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(extra, kind)
"""


def test_a_load_without_memory_is_an_exception(fresh_python, minilm_dir):
    lines = fresh_python(LOAD_WITHOUT_MEMORY, minilm_dir).stdout.splitlines()
    assert len(lines) == 4
    assert all("loaded" not in line for line in lines)
