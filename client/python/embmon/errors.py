"""Exceptions, one for each error of the C library's one list."""

from . import _lib


class EmbmonError(Exception):
    """What libembmon refused. `code` is the negative EMBMON_E... value of embmon.h."""

    code: int = 0


class InvalidArgumentError(EmbmonError, ValueError):
    """An argument is out of its range."""

    code = _lib.ERRORS["EMBMON_EINVAL"]


class OutOfMemoryError(EmbmonError, MemoryError):
    """The library could not get memory."""

    code = _lib.ERRORS["EMBMON_ENOMEM"]


class AddressError(EmbmonError, ValueError):
    """Not an address of a daemon."""

    code = _lib.ERRORS["EMBMON_EADDRESS"]


class InvalidNameError(EmbmonError, ValueError):
    """A run, layer, variable or scalar may not be called so."""

    code = _lib.ERRORS["EMBMON_ENAME"]


class UnknownTargetError(EmbmonError, LookupError):
    """No layer or variable has this id."""

    code = _lib.ERRORS["EMBMON_EUNKNOWN"]


class AlreadyDeclaredError(EmbmonError, ValueError):
    """A layer or variable of this name was declared before, differently."""

    code = _lib.ERRORS["EMBMON_EEXISTS"]


class LimitError(EmbmonError):
    """A limit of the library or of the daemon is reached."""

    code = _lib.ERRORS["EMBMON_ELIMIT"]


class DtypeError(EmbmonError, TypeError):
    """Not a dtype, not one that this call takes, or not an array at all."""

    code = _lib.ERRORS["EMBMON_EDTYPE"]


class DroppedError(EmbmonError):
    """The inbox was full. Client never raises it: a dropped post is counted in stats()."""

    code = _lib.ERRORS["EMBMON_EDROPPED"]


class ClosedError(EmbmonError):
    """The client is closed, or this process is a fork of the one that opened it."""

    code = _lib.ERRORS["EMBMON_ECLOSED"]


class ThreadStartError(EmbmonError):
    """The library's private thread could not be started."""

    code = _lib.ERRORS["EMBMON_ETHREAD"]


class TokenError(EmbmonError):
    """The token file cannot be used: too short, too long, open to others, or not there."""

    code = _lib.ERRORS["EMBMON_ETOKEN"]


BY_CODE: dict[int, type[EmbmonError]] = {
    error.code: error for error in EmbmonError.__subclasses__()
}


def error(code: int, what: str) -> EmbmonError:
    """The exception for a negative result; `what` says in a few words what was attempted."""
    sentence = _lib.load().embmon_strerror(code).decode()
    made = BY_CODE.get(code, EmbmonError)(f"{what}: {sentence}")
    made.code = code
    return made
