"""embmon: watches the gradients and activations of embedding layers while a model trains.

    import embmon
    client = embmon.Client(run="mine")
    client.post("tower/embedding", "gradient", step, array)
    client.step(step)
    client.close()

embmon.keras holds the callback for Keras. Nothing is opened, started or changed by importing.
"""

from ._values import Stats, Summary
from .alert import Alert
from .client import Client
from .daemon import Daemon, start
from .errors import (AddressError, AlreadyDeclaredError, ClosedError, DroppedError, DtypeError,
                     EmbmonError, InvalidArgumentError, InvalidNameError, LimitError,
                     OutOfMemoryError, ThreadStartError, TokenError, UnknownTargetError)

__version__ = "0.1.0"

__all__ = [
    "Alert", "Client", "Daemon", "Stats", "Summary", "start",
    "AddressError", "AlreadyDeclaredError", "ClosedError", "DroppedError", "DtypeError",
    "EmbmonError", "InvalidArgumentError", "InvalidNameError", "LimitError", "OutOfMemoryError",
    "ThreadStartError", "TokenError", "UnknownTargetError",
]
