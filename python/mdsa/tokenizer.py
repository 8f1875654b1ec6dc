"""Text to token ids and back, with the calls that users of transformers know and numpy arrays."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mdsa import _native, chat
from mdsa.errors import FailedPreconditionError, InvalidArgumentError, UnsupportedError

if TYPE_CHECKING:
    import numpy as np  # at run time where it is used, so that importing mdsa stays quick

_NO_LIMIT = int(1e30)  # what transformers reports as model_max_length of a tokenizer without one
_MAX_TOKENS = 1 << 31  # of one batch; more do not fit any machine
_MAX_ID = (1 << 31) - 1
_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


class BatchEncoding(dict[str, Any]):
    """The fields of one encoded text, or of a batch; each key is an attribute as well."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def to(self, device: object) -> BatchEncoding:
        """Arrays live in main memory: "cpu" is a no-op, any other device an error."""
        require_cpu(device)
        return self


class Tokenizer:
    """Thread-safe, except for setting pad_token, padding_side, chat_template or model_max_length.

    As in transformers, ``token_type_ids`` are part of the result where the vocabulary has the
    classification and separator tokens of BERT.
    """

    def __init__(self, native: _native.Tokenizer) -> None:
        self._native = native
        self._special: dict[str, int] = native.special_tokens()
        self.padding_side = "left" if native.pads_left else "right"
        self.chat_template: str | None = native.chat_template or None
        self.model_max_length: int = native.model_max_length or _NO_LIMIT
        self._has_token_types = "cls" in self._special and "sep" in self._special

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str]) -> Tokenizer:
        """The tokenizer of a local Hugging Face folder."""
        return cls(_native.Tokenizer.from_directory(os.fspath(directory)))

    def __call__(
        self,
        text: str | Sequence[str],
        text_pair: str | Sequence[str] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        return_tensors: str | None = None,
        padding_side: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool = True,
    ) -> BatchEncoding:
        """Encodes a text, or a list of texts, to input_ids and attention_mask.

        padding: False, True or "longest", "max_length". truncation: False, True or "longest_first".
        A max_length alone truncates. return_tensors: None for lists, "np" for int64 arrays.
        """
        texts, pairs, single = _as_batch(text, text_pair)
        if return_tensors not in (None, "np"):
            raise UnsupportedError(f"return_tensors={return_tensors!r}: this package gives None or 'np'")
        limit = self._truncation_limit(truncation, padding, max_length)
        rows = self._native.encode_batch(texts, pairs, add_special_tokens, limit)
        ids = [row[0] for row in rows]
        types = [row[1] for row in rows]
        masks = [[1] * len(row) for row in ids]
        width = self._padded_width(padding, max_length, ids)
        if width is not None:
            pad = self._required_pad_id()
            side = padding_side or self.padding_side
            ids = [_padded(row, width, pad, side) for row in ids]
            types = [_padded(row, width, 0, side) for row in types]
            masks = [_padded(row, width, 0, side) for row in masks]

        encoding = BatchEncoding(input_ids=ids)
        if self._has_token_types if return_token_type_ids is None else return_token_type_ids:
            encoding["token_type_ids"] = types
        if return_attention_mask:
            encoding["attention_mask"] = masks
        for key, value in encoding.items():
            if return_tensors == "np":
                encoding[key] = _as_array(value)
            elif single:
                encoding[key] = value[0]
        return encoding

    def encode(
        self, text: str, text_pair: str | None = None, add_special_tokens: bool = True, **options: Any
    ) -> Any:
        """The input_ids alone; takes the options of a call."""
        return self(text, text_pair, add_special_tokens, **options)["input_ids"]

    def tokenize(self, text: str, add_special_tokens: bool = False) -> list[str]:
        return self.convert_ids_to_tokens(self.encode(text, add_special_tokens=add_special_tokens))

    def decode(self, token_ids: Any, skip_special_tokens: bool = False) -> Any:
        """The text of ids: an int, a list or array of them; rows of ids give a list of texts."""
        ids = as_nested_list(token_ids)
        if isinstance(ids, int):
            ids = [ids]
        if ids and isinstance(ids[0], list):
            return self.batch_decode(ids, skip_special_tokens)
        return self._native.decode(_as_row(ids), skip_special_tokens)

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False) -> list[str]:
        rows = as_nested_list(sequences)
        if isinstance(rows, int):
            raise InvalidArgumentError("a batch is a list of lists of ids, not an int")
        rows = [_as_row([row] if isinstance(row, int) else row) for row in rows]
        return self._native.decode_batch(rows, skip_special_tokens)

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> Any:
        """Ids by name; an unknown name gives the unknown token's id, or None if there is none."""
        if isinstance(tokens, str):
            token_id = self._find(tokens)
            return self.unk_token_id if token_id is None else token_id
        return [self.convert_tokens_to_ids(token) for token in _as_texts(tokens, "tokens")]

    def _find(self, token: str) -> int | None:
        try:
            return self._native.token_to_id(token)
        except TypeError:
            return None  # half of a surrogate pair is in no token

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        ids = as_nested_list(ids)
        if isinstance(ids, int):
            return self._native.id_to_token(_as_row([ids])[0])
        ids = _as_row(ids)
        kept = [i for i in ids if not (skip_special_tokens and self._native.is_special(i))]
        return [self._native.id_to_token(i) for i in kept]

    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        tools: Sequence[dict[str, Any]] | None = None,
        documents: Sequence[dict[str, Any]] | None = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        return_dict: bool = True,
        **variables: Any,
    ) -> Any:
        """Formats a conversation, or a list of them, with the model's template.

        Gives a BatchEncoding, with return_dict=False the ids alone, with tokenize=False the text.
        """
        template = chat_template or self.chat_template
        if not template:
            raise FailedPreconditionError(
                "This tokenizer has no chat template: pass one as chat_template=, or give a plain prompt"
            )
        if not isinstance(conversation, (list, tuple)) or not conversation:
            raise InvalidArgumentError("a conversation is a list of at least one message")
        batched = isinstance(conversation[0], (list, tuple))
        rendered = [
            chat.render(
                template,
                messages,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                variables={"tools": tools, "documents": documents, **self.special_tokens_map, **variables},
            )
            for messages in (conversation if batched else [conversation])
        ]
        result = rendered if batched else rendered[0]
        if not tokenize:
            return result
        encoding = self(
            result,
            add_special_tokens=False,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            return_tensors=return_tensors,
        )
        return encoding if return_dict else encoding["input_ids"]

    @property
    def vocab_size(self) -> int:
        return self._native.vocab_size

    def __len__(self) -> int:
        return self._native.vocab_size

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """Token text by role: {"bos_token": ..., "eos_token": ...}, only those that exist."""
        return {f"{role}_token": self._native.id_to_token(i) for role, i in self._special.items()}

    @property
    def all_special_ids(self) -> list[int]:
        return list(dict.fromkeys(self._special.values()))

    @property
    def all_special_tokens(self) -> list[str]:
        return [self._native.id_to_token(i) for i in self.all_special_ids]

    def _set_special(self, role: str, token: str | None) -> None:
        if token is None:
            self._special.pop(role, None)
            return
        token_id = self._find(token) if isinstance(token, str) else None
        if token_id is None:
            raise InvalidArgumentError(f"{role}_token={token!r} is not in the vocabulary")
        self._special[role] = token_id

    def _truncation_limit(
        self, truncation: bool | str | None, padding: bool | str, max_length: int | None
    ) -> int:
        """The limit for the native encoder, 0 for none."""
        if truncation not in (None, True, False, "longest_first", "do_not_truncate"):
            raise UnsupportedError(f"truncation={truncation!r}: expected a bool or 'longest_first'")
        if max_length is not None and (not _is_int(max_length) or max_length < 1):
            raise InvalidArgumentError(f"max_length must be a whole number above 0, not {max_length!r}")
        if truncation is None:
            truncation = max_length is not None and padding is False
        if truncation in (False, "do_not_truncate"):
            return 0
        limit = self.model_max_length if max_length is None else max_length
        return 0 if limit >= _MAX_TOKENS else int(limit)

    def _padded_width(
        self, padding: bool | str, max_length: int | None, rows: list[list[int]]
    ) -> int | None:
        """Length to pad to; None for no padding."""
        if padding in (False, "do_not_pad"):
            return None
        longest = max(map(len, rows), default=0)
        if padding in (True, "longest"):
            return longest
        if padding != "max_length":
            raise InvalidArgumentError(
                f"padding={padding!r}: expected a bool, 'longest', 'max_length' or 'do_not_pad'"
            )
        if max_length is None and self.model_max_length >= _NO_LIMIT:
            warnings.warn("padding='max_length' does nothing: no max_length is known", stacklevel=3)
            return None
        width = max(longest, self.model_max_length if max_length is None else int(max_length))
        if width * len(rows) > _MAX_TOKENS:
            raise InvalidArgumentError(f"padding to max_length={width} would take too much memory")
        return width

    def _required_pad_id(self) -> int:
        if "pad" not in self._special:
            raise FailedPreconditionError(
                "Asking to pad but the tokenizer does not have a padding token: "
                "set one, e.g. tokenizer.pad_token = tokenizer.eos_token"
            )
        return self._special["pad"]

    def __repr__(self) -> str:
        return f"<Tokenizer vocab_size={self.vocab_size} special={self.special_tokens_map}>"


def _special_token_property(role: str) -> property:
    def get(self: Tokenizer) -> str | None:
        token_id = self._special.get(role)
        return None if token_id is None else self._native.id_to_token(token_id)

    def set_(self: Tokenizer, token: str | None) -> None:
        self._set_special(role, token)

    return property(get, set_, doc=f"Text of the {role} token, or None.")


def _special_id_property(role: str) -> property:
    get: Callable[[Tokenizer], int | None] = lambda self: self._special.get(role)
    return property(get, doc=f"Id of the {role} token, or None.")


for _role in _ROLES:
    setattr(Tokenizer, f"{_role}_token", _special_token_property(_role))
    setattr(Tokenizer, f"{_role}_token_id", _special_id_property(_role))


def require_cpu(device: object) -> None:
    """UnsupportedError for any device but the CPU, which is where everything is."""
    if str(device).split(":")[0] != "cpu":
        raise UnsupportedError(f"device {str(device)!r}: this build computes on 'cpu' only")


def as_nested_list(ids: Any, depth: int = 0) -> Any:
    """Ids as an int, a list or a list of lists; takes arrays and tensors of any library."""
    if isinstance(ids, Mapping) and "input_ids" in ids:
        ids = ids["input_ids"]
    if hasattr(ids, "tolist"):
        return as_nested_list(ids.tolist(), depth)
    if hasattr(ids, "__index__"):
        return int(ids)
    if depth > 2 or isinstance(ids, (str, bytes, Mapping)) or not isinstance(ids, Iterable):
        raise InvalidArgumentError(f"token ids are ints in lists or arrays, not {type(ids).__name__}")
    return [as_nested_list(i, depth + 1) for i in ids]


def _as_row(ids: Any) -> list[int]:
    """The ids of one text."""
    for value in ids:
        if not isinstance(value, int):
            raise InvalidArgumentError("token ids of one text are a flat list of ints")
        if abs(value) > _MAX_ID:
            raise InvalidArgumentError(f"{value} is no token id: ids have up to 31 bits")
    return ids


def _is_int(value: object) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _as_batch(
    text: str | Sequence[str], text_pair: str | Sequence[str] | None
) -> tuple[list[str], list[str] | None, bool]:
    single = isinstance(text, str)
    texts = [text] if single else _as_texts(text, "text")
    if text_pair is None:
        return texts, None, single
    if single != isinstance(text_pair, str):
        raise InvalidArgumentError("text and text_pair must both be a str or both be lists")
    pairs = [text_pair] if single else _as_texts(text_pair, "text_pair")
    if len(pairs) != len(texts):
        raise InvalidArgumentError(f"{len(texts)} texts but {len(pairs)} in text_pair")
    return texts, pairs, single


def _as_texts(values: Any, name: str) -> list[str]:
    if isinstance(values, (bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidArgumentError(f"{name} must be a str or a list of str, not {type(values).__name__}")
    texts = list(values)
    for index, value in enumerate(texts):
        if not isinstance(value, str):
            raise InvalidArgumentError(f"{name}[{index}] must be a str, not {type(value).__name__}")
    return texts


def _padded(row: list[int], width: int, value: int, side: str) -> list[int]:
    if side not in ("left", "right"):
        raise InvalidArgumentError(f"padding_side must be 'left' or 'right', not {side!r}")
    filling = [value] * (width - len(row))
    return filling + row if side == "left" else row + filling


def _as_array(rows: list[list[int]]) -> np.ndarray:
    if len({len(row) for row in rows}) > 1:
        raise InvalidArgumentError(
            "texts of different length do not fit an array: pass padding=True, and truncation=True "
            "with max_length if they may be too long"
        )
    import numpy as np

    return np.array(rows, dtype=np.int64)
