"""How long to wait before starting again what keeps falling over: longer each time, never in step with others."""

import random
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Exponential delays with full jitter over the upper half, forgotten after a stable stretch.

    The jitter keeps processes that died of the same cause from coming back in one thundering moment (Brooker,
    "Exponential Backoff and Jitter", AWS Architecture Blog 2015: the "equal jitter" variant, which keeps a floor).

    Attributes:
        chance: Source of the jitter.
        initial_seconds: Upper end of the first delay, > 0.
        maximum_seconds: Upper end of every later one.
        stable_seconds: A run at least this long counts as success and starts the delays over.
    """

    chance: random.Random
    initial_seconds: float = 0.5
    maximum_seconds: float = 30.0
    stable_seconds: float = 60.0
    failures: int = field(default=0, init=False)

    def delay_seconds(self, ran_seconds: float) -> float:
        """The wait before the next start, in the upper half of the current ceiling.

        Args:
            ran_seconds: How long the last run lasted.
        """
        if ran_seconds >= self.stable_seconds:
            self.failures = 0
        ceiling = min(self.maximum_seconds, self.initial_seconds * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return ceiling * self.chance.uniform(0.5, 1.0)
