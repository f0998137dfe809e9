"""Arrays lent to the private thread of a C client: kept until it has returned them.

Nobody but this keeps an array that a training has let go of; so what holds them is the client's
handle, which lives until the C client is closed, and not the Client.
"""

import collections
import ctypes
import threading
from typing import Any, Callable

from . import _lib

_ALL = 2**64 - 1  # what embmon_returned() says in a fork; a ticket that is still to be given
_RETURNED = 0

# A Loan array and its elements: to index it makes an object each time.
Room = tuple[Any, list[Any]]


class Loans:
    """Of one client, for any number of threads."""

    __slots__ = ("_held", "_rooms", "_pruning")

    def __init__(self) -> None:
        # (ticket, owners): C writes the ticket, so that no interrupt comes between.
        self._held: collections.deque[tuple[ctypes.c_uint64, list[Any]]] = collections.deque()
        self._rooms: dict[int, list[Room]] = {}  # by length, a power of two; those in no use
        self._pruning = threading.Lock()

    def __len__(self) -> int:
        """How many calls have lent what is still kept."""
        return len(self._held)

    def room(self, n: int) -> Room:
        """For n loans; give it to lend()."""
        length = 1 << (n - 1).bit_length() if n else 1
        try:
            return self._rooms[length].pop()
        except (KeyError, IndexError):
            loans = (_lib.Loan * length)()
            elements = list(loans)
            for element in elements:
                element.size = ctypes.sizeof(_lib.Loan)
            return loans, elements

    def lend(self, call: Callable[..., int], step: int, room: Room, n: int,
             owners: list[Any]) -> int:
        """call(embmon_lend, ...) with the first n loans of the room; keeps the owners of what they
        lead to, and lets go of what was returned."""
        ticket = ctypes.c_uint64(_ALL)
        library = _lib.load()
        try:
            self._held.append((ticket, owners))  # before it is lent
            return call(library.embmon_lend, step, room[0], n, ctypes.byref(ticket))
        finally:
            if ticket.value == _ALL:
                ticket.value = _RETURNED  # C was not called
            self._rooms.setdefault(len(room[1]), []).append(room)
            self.prune(call)

    def prune(self, call: Callable[..., int]) -> None:
        """Lets go of what was returned."""
        returned = max(call(_lib.load().embmon_returned), _RETURNED)  # negative: it is closed
        if returned == _ALL:
            self._held.clear()  # who holds the lock may be a thread that is not in this process
            return
        with self._pruning:
            held = self._held
            while held and held[0][0].value <= returned:
                held.popleft()
            # Of a call that is under way, or was interrupted: it is not to keep the others.
            if len(held) > 1 and held[0][0].value == _ALL:
                held.rotate(-1)

    def let_go(self) -> None:
        """The C client is closed: all of it is returned."""
        self._held.clear()
