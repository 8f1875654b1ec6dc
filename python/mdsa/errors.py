"""One exception class for each error code of the library.

Every class also derives from the built-in exception that Python users expect for that situation, so
``except ValueError`` or ``except MemoryError`` work without importing anything from here.
"""

from __future__ import annotations


class MdsaError(Exception):
    """Base of all errors that this library raises. ``code`` is stable and meant for programs."""

    code = "internal"


class InvalidArgumentError(MdsaError, ValueError):
    """The caller passed a value that no state of the system could accept."""

    code = "invalid_argument"


class NotFoundError(MdsaError, FileNotFoundError, ValueError):
    """A file, model, tensor or id does not exist."""

    code = "not_found"


class AlreadyExistsError(MdsaError, ValueError):
    """An id is taken."""

    code = "already_exists"


class InvalidFormatError(MdsaError, ValueError):
    """A file is damaged, truncated, contradictory or hostile."""

    code = "invalid_format"


class UnsupportedError(MdsaError, ValueError):
    """Well-formed, but this build or machine cannot do it."""

    code = "unsupported"


class ResourceExhaustedError(MdsaError, MemoryError):
    """Memory, context length or another limit does not suffice."""

    code = "resource_exhausted"


class FailedPreconditionError(MdsaError, RuntimeError, ValueError):
    """Right call, wrong moment: for one, a call on a model that was unloaded."""

    code = "failed_precondition"


class CancelledError(MdsaError):
    """The caller asked to stop."""

    code = "cancelled"


class DeadlineExceededError(MdsaError, TimeoutError):
    """A wait took longer than its bound."""

    code = "deadline_exceeded"


class IoError(MdsaError, OSError, ValueError):
    """The operating system refused a read or a write."""

    code = "io"


class InternalError(MdsaError, RuntimeError):
    """A defect of this library."""

    code = "internal"


_CLASSES: dict[str, type[MdsaError]] = {
    cls.code: cls
    for cls in (
        InvalidArgumentError,
        NotFoundError,
        AlreadyExistsError,
        InvalidFormatError,
        UnsupportedError,
        ResourceExhaustedError,
        FailedPreconditionError,
        CancelledError,
        DeadlineExceededError,
        IoError,
        InternalError,
    )
}


def error_for_code(code: str, message: str) -> MdsaError:
    """The exception for an error of the C++ library; the native module calls this."""
    return _CLASSES.get(code, InternalError)(message)


def as_load_error(error: MdsaError) -> MdsaError:
    """The same error as ModelLoader.load reports it, for the caller to raise from the original."""
    text = str(error)
    if isinstance(error, CancelledError):
        return type(error)(text)
    if isinstance(error, ResourceExhaustedError) and "Insufficient memory" not in text:
        text = f"Insufficient memory: {text}"
    return type(error)(f"Model loading failed: {text}")


__all__ = [
    "AlreadyExistsError",
    "CancelledError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidFormatError",
    "IoError",
    "MdsaError",
    "NotFoundError",
    "ResourceExhaustedError",
    "UnsupportedError",
]
