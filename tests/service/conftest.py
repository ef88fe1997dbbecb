"""The gateway in process on a real database, and what fills that database."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from maximus_assets.contracts.action import Action, ActionKind, ActionPlan, Effect
from maximus_assets.contracts.clock import Clock
from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.verdict import Verdict
from serving.knowledge.store import Heartbeat, KnowledgeStore
from serving.settings import Settings
from serving.wiring import GatewayRuntime, build_gateway


@dataclass
class Stream:
    """A client of the event stream that reads as it is sent."""

    text: bytearray = field(default_factory=bytearray)
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    has_ended: bool = False
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> dict[str, object]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message) -> None:
        async with self._changed:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                self.text += message["body"]
                self.has_ended = not message.get("more_body", False)
            self._changed.notify_all()

    def leave(self) -> None:
        self._gone.set()

    async def until(self, text: str) -> None:
        """Wait for a text to arrive."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: text.encode() in self.text)

    def events(self) -> list[tuple[str, dict[str, object], str]]:
        """(name, data, id) of every whole event so far."""
        found = []
        for block in bytes(self.text).decode().split("\n\n")[:-1]:
            lines = dict(line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":"))
            if "event" in lines:
                found.append((lines["event"], json.loads(lines["data"]), lines.get("id", "")))
        return found


@dataclass
class Served:
    """A running gateway and a client of it."""

    gateway: GatewayRuntime
    client: httpx.AsyncClient

    @asynccontextmanager
    async def stream(self, last_event_id: str | None = None) -> AsyncIterator[Stream]:
        """An open event stream."""
        headers = [(b"host", b"127.0.0.1")]
        if last_event_id is not None:
            headers.append((b"last-event-id", last_event_id.encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/api/v1/stream/events",
            "raw_path": b"/api/v1/stream/events",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        stream = Stream()
        task = asyncio.create_task(self.gateway.app(scope, stream.receive, stream.send))
        try:
            await stream.until("retry: ")
            yield stream
        finally:
            stream.leave()
            await asyncio.wait_for(task, 5)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings for the database of these URLs."""

    def make(urls, **more) -> Settings:
        return Settings(
            root=tmp_path, data_dir=tmp_path, database_url=urls.app, database_read_url=urls.read, **more
        )

    return make


@pytest.fixture
def serve(settings) -> Callable[..., object]:
    """Runs a gateway for as long as a block lasts."""

    @asynccontextmanager
    async def run(urls, *, clock: Clock | None = None, gateway: GatewayRuntime | None = None, **more):
        gateway = gateway or build_gateway(settings(urls), clock=clock, **more)
        transport = httpx.ASGITransport(gateway.app, raise_app_exceptions=False)
        async with (
            gateway.app.router.lifespan_context(gateway.app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        ):
            yield Served(gateway, client)

    return run


@pytest.fixture
async def store(database) -> AsyncIterator[KnowledgeStore]:
    async with KnowledgeStore(database.app) as store:
        yield store


@pytest.fixture
def decided() -> Callable[..., DecisionRecord]:
    """Makes decisions."""

    def make(
        at: datetime,
        *,
        target: str = "demo-shop",
        kind: str = "noop",
        reason: str = "8 replicas hold the expected 149 requests per second: no change.",
        lasts: timedelta = timedelta(),
        count: int = 1,
        identity: UUID | None = None,
    ) -> DecisionRecord:
        plan = None
        if kind == "propose":
            effect = Effect(sensor="request_p95_ms", before=231, expected=182, settles_within_seconds=180)
            action = Action(
                kind=ActionKind.SET_REPLICAS, target=target, current=8, desired=10, effects=(effect,)
            )
            plan = ActionPlan(
                id=uuid4(),
                target=target,
                proposer="sizing",
                actions=(action,),
                reason=reason,
                confidence=0.8,
                direction="protective",
            )
        return DecisionRecord(
            id=identity or uuid4(),
            target=target,
            first_at=at,
            last_at=at + lasts,
            count=count,
            epoch=2,
            kind=kind,
            is_dry_run=True,
            reason=reason,
            plan=plan,
            verdicts=(Verdict(name="stays_within_bounds", passed=True),),
            state={"demand_expected_per_second": 149.25, "forecast_status": "ok"},
            confidence=0.8,
            model_version="3",
        )

    return make


@pytest.fixture
def beat() -> Callable[..., Heartbeat]:
    """Makes heartbeats."""

    def make(at: datetime, **changes) -> Heartbeat:
        beat = Heartbeat(
            name="loop:8001",
            holder="box:4711",
            epoch=2,
            pid=4711,
            started_at=at - timedelta(hours=7),
            beat_at=at,
            turn_at=at - timedelta(seconds=2),
            turn_seconds=0.0412,
            turns=1680,
            state="leading",
            detail={
                "champion_version": "3",
                "is_dry_run": True,
                "targets": {
                    "host": {
                        "status": "cold",
                        "reason": "the live window is too short",
                        "severity": None,
                        "bins": 84,
                    },
                    "demo-shop": {"status": "ok", "reason": None, "severity": "normal", "bins": 2304},
                },
            },
        )
        return beat._replace(**changes)

    return make
