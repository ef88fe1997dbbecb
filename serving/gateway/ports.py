"""What the application needs from outside, handed to it in one piece; `serving.wiring` makes it, tests make their own."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from maximus_assets.contracts.clock import Clock
from maximus_assets.contracts.target import Target
from serving.gateway.answers import Overview
from serving.gateway.events import EventHub
from serving.gateway.reading import Reading


class PageRenderer(Protocol):
    """Makes HTML of answers."""

    def overview(self, overview: Overview, *, target: str | None, kind: str | None, is_first: bool) -> str:
        """The first page."""
        ...

    def reference(self, document: Mapping[str, Any]) -> str:
        """The API reference, from the OpenAPI document."""
        ...


@dataclass(frozen=True)
class Ports:
    """Everything the routes use.

    Attributes:
        reading: Answers from the knowledge base.
        hub: The streams open on this worker.
        pages: Makes HTML.
        static_dir: Files served below /static.
        clock: The time.
        targets: Name -> watched target.
        running: Opens what the application needs for as long as it runs, and closes it.
        host_names: Host names served besides the loopback ones.
        keep_alive_seconds: Silence after which a stream sends a comment.
        stall_seconds: How long a stream waits for a client to take a piece.
    """

    reading: Reading
    hub: EventHub
    pages: PageRenderer
    static_dir: Path
    clock: Clock
    targets: dict[str, Target]
    running: Callable[[], AbstractAsyncContextManager[None]]
    host_names: tuple[str, ...] = field(default=())
    keep_alive_seconds: float = 15.0
    stall_seconds: float = 10.0
