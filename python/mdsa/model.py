"""A loaded model, with the calls that users of transformers know and numpy arrays for tensors."""

from __future__ import annotations

import atexit
import dataclasses
import types
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mdsa import _native
from mdsa.errors import FailedPreconditionError, InvalidArgumentError
from mdsa.models.config import ModelConfig
from mdsa.tokenizer import Tokenizer, as_nested_list, require_cpu

if TYPE_CHECKING:
    import numpy as np  # at run time where it is used, so that importing mdsa stays quick

_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1
_BATCHES_PER_CALL = 8  # so that Ctrl-C is noticed between native calls of a long list
_EXIT_SECONDS = 5.0
_DEFAULT_NEW_TOKENS = 20  # of generate(), as in transformers
_DEFAULT_ANSWER_TOKENS = 256  # of generate_text() and stream_text()


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """Facts about a loaded model."""

    family: str
    architecture: str
    parameters: int
    hidden_size: int
    vocab_size: int
    num_layers: int
    context_length: int
    quantization: str
    labels: list[str]
    weight_bytes: int
    can_generate: bool


class ModelOutput(dict[str, Any]):
    """Arrays of a forward pass: by attribute, by name, or by position among those present."""

    _FIELDS = ("last_hidden_state", "pooler_output", "logits")

    def __getattr__(self, name: str) -> Any:
        if name in self._FIELDS:
            return self.get(name)
        raise AttributeError(name)

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self) -> tuple[np.ndarray, ...]:
        return tuple(self.values())


class Model:
    """Made by ModelLoader.load, ModelManager.get_or_load and ModelManager.lease. Thread-safe.

    One from get_or_load stays usable while its model is evicted: the next call loads it again.
    After an explicit unload, calls on it raise FailedPreconditionError. One from a lease computes
    with the memory that the lease holds; once it has ended, calls raise FailedPreconditionError.
    An unload by force ends calls in progress with CancelledError.
    """

    def __init__(self, native: _native.Model, config: ModelConfig) -> None:
        self._native = native
        self.load_config = config
        self.description = ModelDescription(**native.description())
        tokenizer = native.tokenizer()
        self.tokenizer = None if tokenizer is None else Tokenizer(tokenizer)
        self.config = _transformers_config(self.description)

    def _over(self, lease: _native.Model) -> Model:
        """The same model, computing with a lease."""
        model = Model.__new__(Model)
        model.__dict__.update(self.__dict__)
        model._native = lease
        return model

    def __call__(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None
    ) -> ModelOutput:
        """One forward pass over [batch, tokens] ids; a single row may be given as [tokens].

        Gives last_hidden_state, pooler_output or logits as the checkpoint's head has them.
        """
        if isinstance(input_ids, Mapping):
            return self(**input_ids)
        ids = _as_rows(input_ids, "input_ids")
        mask = None if attention_mask is None else _as_mask(attention_mask, ids.shape)
        types_ = None if token_type_ids is None else _as_rows(token_type_ids, "token_type_ids")
        if types_ is not None and types_.shape != ids.shape:
            raise InvalidArgumentError(
                f"token_type_ids has shape {types_.shape}, input_ids {ids.shape}"
            )
        return ModelOutput(self._native.forward(ids, mask, types_))

    forward = __call__

    def generate(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        *,
        max_new_tokens: int | None = None,
        max_length: int | None = None,
        min_new_tokens: int = 0,
        do_sample: bool = False,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        eos_token_id: int | Sequence[int] | None = None,
        pad_token_id: int | None = None,
        streamer: Any = None,
    ) -> np.ndarray:
        """Continues each row of ids; gives int64 ids [batch, longest], the prompts included.

        Rows of a batch are padded on the left, with attention_mask telling padding from text; rows
        that end early are filled up with the padding id. max_new_tokens is 20 unless max_length
        (prompt included) is given. Sampling defaults are the configuration's temperature and
        top_k=50; row i of a batch uses seed + i. `streamer` is a function of one new id, or an
        object with put() and end() as in transformers (one row only).
        """
        if isinstance(input_ids, Mapping):
            attention_mask = input_ids.get("attention_mask", attention_mask)
            input_ids = input_ids["input_ids"]
        ids = _as_rows(input_ids, "input_ids")
        mask = None if attention_mask is None else _as_mask(attention_mask, ids.shape)
        if len(ids) == 0:
            raise InvalidArgumentError("input_ids is empty: a batch has at least one row")
        if streamer is not None and len(ids) != 1:
            raise InvalidArgumentError("streamer takes one row of input_ids, not a batch")
        if max_new_tokens is None:
            max_new_tokens = _DEFAULT_NEW_TOKENS if max_length is None else max_length - ids.shape[1]
        options = self._options(
            max_new_tokens=max_new_tokens,
            min_new_tokens=min_new_tokens,
            do_sample=do_sample,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            stop=stop,
            eos_token_id=eos_token_id,
        )
        on_token, on_end = _token_callback(streamer, ids[0])
        options["seed"] = seed
        prompts = [row if mask is None else row[mask[i] != 0] for i, row in enumerate(ids)]
        answers = [result["ids"] for result in self._native.generate(prompts, options, on_token)]
        on_end()
        return _with_answers(ids, answers, self._pad_id(pad_token_id))

    def generate_text(self, prompt: str | Sequence[Any], **options: Any) -> str:
        """The answer to a text, or to messages ({"role": ..., "content": ...}) by the chat template.

        Takes the sampling options of generate; max_new_tokens is 256 by default.
        """
        text, is_chat = self._prompt_text(prompt)
        return self._native.generate_text(text, self._answer_options(options), not is_chat)["text"]

    def stream_text(self, prompt: str | Sequence[Any], **options: Any) -> TextStream:
        """As generate_text, but an iterator over the pieces of text as they come.

        The work runs on a thread of its own. Closing or dropping the iterator stops it.
        """
        text, is_chat = self._prompt_text(prompt)
        answer_options = self._answer_options(options)
        return TextStream(_native.stream_text(self._native, text, answer_options, not is_chat))

    def embed(self, texts: str | Sequence[str]) -> np.ndarray:
        """One vector a text: float32 [texts, dim]; a single text gives [1, dim]."""
        return self._per_text(texts, self._native.embed)

    def classify(self, texts: str | Sequence[str], top_k: int | None = None) -> list[Any]:
        """Labels and scores of a sequence classifier, best first, at most top_k of them.

        A single text gives a list of {"label", "score"}; a list of texts gives a list of those.
        """
        labels = self.description.labels
        rows = []
        for scores in self._per_text(texts, self._native.classify):
            best_first = (-scores).argsort(kind="stable")[:top_k]
            rows.append([{"label": labels[i], "score": float(scores[i])} for i in best_first])
        return rows[0] if isinstance(texts, str) else rows

    @property
    def memory_mb(self) -> float:
        """Megabytes (1,000,000 bytes) that the model keeps in memory."""
        return self._native.memory_bytes() / 1e6

    @property
    def device(self) -> str:
        return "cpu"

    def num_parameters(self) -> int:
        return self.description.parameters

    def eval(self) -> Model:
        """Models are always ready for inference; this only eases moving from transformers."""
        return self

    def to(self, device: object) -> Model:
        """Models compute on the CPU: any other device is an error."""
        require_cpu(device)
        return self

    def _per_text(
        self, texts: str | Sequence[str], call: Callable[[list[str]], np.ndarray]
    ) -> np.ndarray:
        import numpy as np

        batch = [texts] if isinstance(texts, str) else list(texts)
        for index, text in enumerate(batch):
            if not isinstance(text, str):
                raise InvalidArgumentError(f"texts[{index}] must be a str, not {type(text).__name__}")
        step = _BATCHES_PER_CALL * self.load_config.batch_size
        parts = [
            call(batch[begin : begin + step]) for begin in range(0, max(len(batch), 1), step)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _prompt_text(self, prompt: str | Sequence[Any]) -> tuple[str, bool]:
        if isinstance(prompt, str):
            return prompt, False
        if self.tokenizer is None:
            raise FailedPreconditionError("this checkpoint has no tokenizer: use generate(input_ids)")
        text = self.tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
        return text, True

    def _answer_options(self, options: dict[str, Any]) -> dict[str, Any]:
        seed = options.pop("seed", None)
        native = self._options(**{"max_new_tokens": _DEFAULT_ANSWER_TOKENS, **options})
        return {**native, "seed": seed}

    def _options(
        self,
        *,
        max_new_tokens: int,
        min_new_tokens: int = 0,
        do_sample: bool = False,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        stop: str | Sequence[str] | None = None,
        eos_token_id: int | Sequence[int] | None = None,
    ) -> dict[str, Any]:
        """The options of the native calls; None leaves the library's default."""
        sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
        if not do_sample and any(value is not None for value in sampling.values()):
            given = ", ".join(name for name, value in sampling.items() if value is not None)
            warnings.warn(f"{given} has no effect without do_sample=True", stacklevel=3)
            sampling = {}
        elif do_sample and temperature is None:
            sampling["temperature"] = self.load_config.temperature
        if sampling.get("temperature") == 0:
            do_sample, sampling = False, {}
        eos = [] if eos_token_id is None else as_nested_list(eos_token_id)
        return {
            **sampling,
            "max_new_tokens": max_new_tokens,
            "min_new_tokens": min_new_tokens,
            "do_sample": do_sample,
            "repetition_penalty": repetition_penalty,
            "stop": [stop] if isinstance(stop, str) else list(stop or ()),
            "eos_token_ids": [eos] if isinstance(eos, int) else eos,
        }

    def _pad_id(self, given: int | None) -> int:
        known = (given,)
        if self.tokenizer is not None:
            known = (given, self.tokenizer.pad_token_id, self.tokenizer.eos_token_id)
        return next((token_id for token_id in known if token_id is not None), 0)

    def __repr__(self) -> str:
        facts = self.description
        return (
            f"<Model {self.load_config.model_name} family={facts.family} "
            f"parameters={facts.parameters} quant={facts.quantization}>"
        )


class TextStream(Iterator[str]):
    """Pieces of an answer; a context manager that stops the work when left."""

    _open: weakref.WeakSet[TextStream] = weakref.WeakSet()

    def __init__(self, native: _native.TextStream) -> None:
        self._native = native
        self._open.add(self)

    def __next__(self) -> str:
        piece = self._native.next()
        if piece is None:
            raise StopIteration
        return piece

    def close(self) -> None:
        """Stops the work and waits for its thread; further iteration ends."""
        self._native.close()

    @property
    def finish_reason(self) -> str | None:
        """One of "eos", "stop", "length", "context" and "cancelled" once all pieces were taken."""
        return self._native.finish_reason()

    def __enter__(self) -> TextStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@atexit.register
def _stop_work() -> None:
    # A generating thread must not outlive the library's own threads and tables.
    for stream in list(TextStream._open):
        stream.close()
    # Nor may a call of a daemon thread; one that takes longer than this is left behind.
    _native.stop_calls(_EXIT_SECONDS)


def _transformers_config(facts: ModelDescription) -> types.SimpleNamespace:
    """The facts under the names of a transformers configuration."""
    config = types.SimpleNamespace(
        model_type=facts.family,
        architectures=[facts.architecture],
        hidden_size=facts.hidden_size,
        vocab_size=facts.vocab_size,
        num_hidden_layers=facts.num_layers,
        max_position_embeddings=facts.context_length,
    )
    if facts.labels:
        config.num_labels = len(facts.labels)
        config.id2label = dict(enumerate(facts.labels))
        config.label2id = {label: i for i, label in enumerate(facts.labels)}
    return config


def _as_rows(values: Any, name: str) -> np.ndarray:
    """int32 [batch, tokens], C-contiguous, from lists, arrays or CPU tensors of any library."""
    import numpy as np

    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InvalidArgumentError(
            f"{name}: rows of different length; encode with padding=True, or pass one at a time"
        ) from error
    if array.ndim == 1:
        array = array[np.newaxis]
    if array.ndim != 2:
        raise InvalidArgumentError(f"{name} must have shape [batch, tokens], not {array.shape}")
    if array.size and array.dtype.kind not in "iub":
        raise InvalidArgumentError(f"{name} must hold integers, not {array.dtype}")
    if array.size and (array.min() < _INT32_MIN or array.max() > _INT32_MAX):
        raise InvalidArgumentError(f"{name}: a value lies outside the range of 32 bits")
    return np.ascontiguousarray(array, dtype=np.int32)


def _as_mask(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    import numpy as np

    mask = np.asarray(values)
    mask = mask[np.newaxis] if mask.ndim == 1 else mask
    if mask.shape != shape:
        raise InvalidArgumentError(f"attention_mask has shape {mask.shape}, input_ids {shape}")
    return np.ascontiguousarray(mask != 0, dtype=np.uint8)


def _token_callback(
    streamer: Any, prompt: np.ndarray
) -> tuple[Callable[[int], None] | None, Callable[[], None]]:
    """A function to call with each new id, and one to call at the end."""
    if streamer is None:
        return None, lambda: None
    if not hasattr(streamer, "put"):
        return streamer, lambda: None
    import numpy as np

    streamer.put(prompt.astype(np.int64)[np.newaxis])
    return lambda token_id: streamer.put(np.array([token_id], dtype=np.int64)), streamer.end


def _with_answers(prompts: np.ndarray, answers: list[np.ndarray], pad_id: int) -> np.ndarray:
    import numpy as np

    longest = max(map(len, answers), default=0)
    result = np.full((len(prompts), prompts.shape[1] + longest), pad_id, dtype=np.int64)
    result[:, : prompts.shape[1]] = prompts
    for row, answer in zip(result, answers):
        row[prompts.shape[1] : prompts.shape[1] + len(answer)] = answer
    return result
