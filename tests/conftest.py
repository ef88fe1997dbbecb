"""Fixtures every part of the suite shares."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest


class ManualClock:
    """A clock that stands still until a test moves it; sleepers wake when their time has come."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        self._sleepers.append((self._elapsed + seconds, woken))
        await woken.wait()

    def advance(self, seconds: float) -> None:
        """Move time on and wake who is due (they run at the test's next await)."""
        self._elapsed += seconds
        self._now += timedelta(seconds=seconds)
        due = [event for at, event in self._sleepers if at <= self._elapsed]
        self._sleepers = [(at, event) for at, event in self._sleepers if at > self._elapsed]
        for event in due:
            event.set()

    def jump(self, seconds: float) -> None:
        """Change the wall clock alone, as a correction of the machine's time would."""
        self._now += timedelta(seconds=seconds)

    @property
    def sleepers(self) -> int:
        """How many are asleep."""
        return len(self._sleepers)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 2, 12, 0, tzinfo=UTC))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
