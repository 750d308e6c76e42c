"""The retry policy is decided here and nowhere else.

A reading is tried four times. The first wait is 2 seconds, and each further wait is twice as long, up to 15 seconds.
Only a GaugeError is tried again: a wrong setting would fail in the same way every time.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tidewatch.gauge import GaugeError

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    attempts: int = 4
    first_wait_s: float = 2.0
    factor: float = 2.0
    longest_wait_s: float = 15.0

    def wait_before(self, attempt: int) -> float:
        """Seconds to wait before an attempt; attempts are counted from 1."""
        if attempt == 1:
            return 0.0
        return min(self.first_wait_s * self.factor ** (attempt - 2), self.longest_wait_s)

    def run(self, action: Callable[[], T], sleep: Callable[[float], None] = time.sleep) -> T:
        """Call an action until it succeeds; the error of the last attempt is raised."""
        for attempt in range(1, self.attempts + 1):
            sleep(self.wait_before(attempt))
            try:
                return action()
            except GaugeError:
                if attempt == self.attempts:
                    raise
        raise ValueError("a retry policy needs at least one attempt")
