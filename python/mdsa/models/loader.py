"""Makes a model from a checkpoint: a Hugging Face folder, a GGUF file, or a Hub id in the caches."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from mdsa import _native
from mdsa.errors import MdsaError, as_load_error
from mdsa.model import Model
from mdsa.models.config import as_model_config
from mdsa.tokenizer import Tokenizer

Progress = Callable[[str, int, int], object]
"""Called with the phase ("read" or "convert"), and the source bytes done and in total."""

_BLINK_SECONDS = 0.3  # loads that end sooner show no bar
_REMOTE_PREFIX, _REMOTE_MB = "ollama://", 50.0  # a model in another server: its client alone


class ModelLoader:
    """Thread-safe: load may run in many threads at once.

    `cache_dir` is where models named by Hub id are looked for first; by default models/ in
    $MDSA_HOME or ~/.mdsa. Nothing is created.
    """

    def __init__(self, cache_dir: str | os.PathLike[str] | None = None) -> None:
        given = None if cache_dir is None else os.path.expanduser(os.fsencode(cache_dir))
        self._native = _native.ModelLoader(given)
        self.cache_dir: str = self._native.cache_dir

    def load(self, config: Any, progress: Progress | None = None) -> tuple[Model, Tokenizer | None]:
        """Blocks until the model is ready.

        Weights are read, converted and quantized tensor by tensor in parallel, with the GIL
        released. `progress` is called on this thread, at most twenty times a second; what it raises
        stops the load. Without it, a terminal shows a bar when the load takes longer than a blink.

        A failure is one of the classes of mdsa.errors, as a rule a ValueError or a MemoryError too,
        and its text starts with "Model loading failed: ".
        """
        try:
            config = as_model_config(config)
            with LoadBar(config.model_name, progress) as bar:
                native = self._native.load(config._to_json(), bar.callback)
        except MdsaError as error:
            raise as_load_error(error) from error
        model = Model(native, config)
        return model, model.tokenizer

    def estimate_memory(self, config: Any) -> float:
        """Megabytes that the loaded model will keep: weights, tokenizer, cache and workspace of one
        call.

        From the headers of the checkpoint, or from the parameter count of its tier where there is
        no checkpoint at hand. Never touches the network.
        """
        config = as_model_config(config)
        if config.model_name.startswith(_REMOTE_PREFIX):
            return _REMOTE_MB
        return self._native.estimate_memory(config._to_json())["total_mb"]

    def __repr__(self) -> str:
        return f"<ModelLoader cache_dir={self.cache_dir}>"


class LoadBar:
    """The caller's progress function or, on a terminal, a tqdm bar that appears after a blink."""

    def __init__(self, name: str, progress: Progress | None) -> None:
        self._name = os.path.basename(os.path.normpath(str(name)))
        self._started = time.monotonic()
        self._bar: Any = None
        self.callback: Progress | None = progress
        if progress is None and sys.stderr is not None and sys.stderr.isatty():
            self.callback = self._show

    def _show(self, phase: str, bytes_done: int, bytes_total: int) -> None:
        if self._bar is None:
            if time.monotonic() - self._started < _BLINK_SECONDS or bytes_done >= bytes_total:
                return
            from tqdm import tqdm

            self._bar = tqdm(
                total=bytes_total, unit="B", unit_scale=True, desc=f"Loading {self._name}"
            )
        self._bar.total = bytes_total
        self._bar.update(bytes_done - self._bar.n)

    def __enter__(self) -> LoadBar:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()
