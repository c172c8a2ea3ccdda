"""The governor: leaves a provider alone for a growing while when it cannot be reached."""

import random
import time
from collections.abc import Callable
from threading import Lock

# Seconds; the last one repeats.
PAUSES = (1, 2, 5, 10, 30, 60)


class Governor:
    """Pauses by provider, for all threads of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._until: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def is_paused(self, provider: str) -> bool:
        """Whether the provider is to be left alone now."""
        return self._clock() < self._until.get(provider, 0.0)

    def failed(self, provider: str) -> float:
        """The provider could not be reached; answers the seconds that it is left alone."""
        with self._lock:
            if self.is_paused(provider):
                # Another thread has just met the same trouble.
                return self._until[provider] - self._clock()
            failures = self._failures.get(provider, 0)
            pause = PAUSES[min(failures, len(PAUSES) - 1)] * random.uniform(0.75, 1.25)  # noqa: S311  no secret
            self._failures[provider] = failures + 1
            self._until[provider] = self._clock() + pause
            return pause

    def reached(self, provider: str) -> None:
        """The provider answered for a message, so the next trouble is a first one."""
        self._failures.pop(provider, None)


governor = Governor()
