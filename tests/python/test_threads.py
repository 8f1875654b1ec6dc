"""Real work runs without the GIL, and from many threads at once."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from mdsa import ModelConfig, ModelLoader


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


def test_the_probe_itself(no_preemption):
    assert progress_of_another_thread_during(lambda: sum(range(2_000_000))) == 0


def test_generate(no_preemption, smollm2):
    model, tokenizer = smollm2
    ids = tokenizer("Once upon a time")["input_ids"]
    assert progress_of_another_thread_during(lambda: model.generate(ids, max_new_tokens=8)) > 10


def test_forward_and_embed(no_preemption, minilm):
    model, tokenizer = minilm
    inputs = tokenizer(["some words " * 60] * 4, return_tensors="np")
    assert progress_of_another_thread_during(lambda: model(**inputs)) > 10
    assert progress_of_another_thread_during(lambda: model.embed(["some words " * 60] * 4)) > 10


def test_load(no_preemption, smollm2_gguf):
    config = ModelConfig.for_tier3(smollm2_gguf)
    assert progress_of_another_thread_during(lambda: ModelLoader().load(config)) > 10


def test_encoding(no_preemption, minilm):
    _, tokenizer = minilm
    text = "the quick brown fox " * 20000
    native = tokenizer._native
    assert progress_of_another_thread_during(lambda: native.encode(text)) > 10


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


@pytest.fixture
def interrupt_once():
    """A function that starts a thread which sends this process one SIGINT."""
    threads = []

    def start():
        threads.append(threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()


def test_ctrl_c_stops_a_generation(smollm2, interrupt_once):
    model, tokenizer = smollm2
    ids = tokenizer("Once upon a time")["input_ids"]
    started = time.process_time()
    model.generate(ids, max_new_tokens=100, min_new_tokens=100)
    of_hundred = time.process_time() - started
    started = time.process_time()
    with pytest.raises(KeyboardInterrupt):
        interrupt_once()
        model.generate(ids, max_new_tokens=1500, min_new_tokens=1500)
    assert time.process_time() - started < 5 * of_hundred


def test_ctrl_c_stops_a_stream(smollm2, interrupt_once):
    model, _ = smollm2
    stream = model.stream_text("Once upon a time", max_new_tokens=1500, min_new_tokens=1500)
    next(stream)
    with pytest.raises(KeyboardInterrupt):
        interrupt_once()
        for _ in stream:
            pass
    stream.close()
    assert stream.finish_reason == "cancelled"


def test_ctrl_c_stops_a_load(smollm2_hf, interrupt_once):
    config = ModelConfig.for_tier3(smollm2_hf)
    with pytest.raises(KeyboardInterrupt):
        interrupt_once()
        ModelLoader().load(config)
    assert ModelLoader().load(config)[0].description.can_generate
