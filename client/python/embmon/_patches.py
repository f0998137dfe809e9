"""Methods replaced on an instance, and put back as they were."""

from typing import Any, Callable

_ABSENT = object()


class Patches:
    """Every replacement made, undone in reverse order by restore()."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, str, Any, Any]] = []

    def replace(self, target: Any, name: str, make: Callable[[Any], Any]) -> None:
        """target.name = make(target.name), on the instance alone."""
        before = vars(target).get(name, _ABSENT)
        after = make(getattr(target, name))
        # Past Keras' own __setattr__: it tracks what is assigned, and locks built layers.
        object.__setattr__(target, name, after)
        self._made.append((target, name, before, after))

    def restore(self) -> None:
        """Puts all back; what somebody else has replaced since is theirs."""
        while self._made:
            target, name, before, after = self._made.pop()
            if vars(target).get(name, _ABSENT) is not after:
                continue
            if before is _ABSENT:
                object.__delattr__(target, name)
            else:
                object.__setattr__(target, name, before)
