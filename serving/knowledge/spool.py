"""What waits on disk while PostgreSQL is away: decisions and samples, until they can be told.

Belongs here: keeping them through any crash, and handing them on in order. Does not: deciding when to spool. It is hard
because the outage may be longer than the disk is large, the writer may be killed at any instant, and what was handed on
may be handed on again. So samples have a bound and lose their oldest; decisions have none but only the latest state of
each is kept; whatever cannot be read is set aside, never thrown away; and the store takes everything twice.

Files: `decisions.jsonl` grows, `decisions.handing.jsonl` is being handed on, `samples-NNNNNNNN.jsonl` are segments, the
highest one growing, `quarantine.jsonl` is what could not be read or taken.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final, Protocol, TypeVar

import psycopg
import structlog

from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.telemetry import Sample
from serving.knowledge import journal
from serving.observability import (
    KNOWLEDGE_SPOOL_DROPPED_TOTAL,
    KNOWLEDGE_SPOOL_ENTRIES,
    KNOWLEDGE_SPOOL_QUARANTINED_TOTAL,
)

_log = structlog.get_logger("maximus.knowledge")

_Entry = TypeVar("_Entry")

_DECISIONS_AT_ONCE: Final = 500
_SAMPLE_LINES_AT_ONCE: Final = 8  # a line holds a whole collection, up to twenty thousand samples
_UNFIT: Final = (ValueError, psycopg.DataError, psycopg.IntegrityError)
"""Errors that are the line's own fault. Any other one (no table, no right) is the store's, and the line waits."""


class SpoolSink(Protocol):
    """Where the spool is emptied to: the store, which takes everything twice without harm."""

    async def restore_decisions(self, records: Sequence[DecisionRecord]) -> None:
        """Keep decisions of whatever epoch."""
        ...

    async def record_samples(self, samples: Sequence[Sample]) -> None:
        """Keep samples."""
        ...


class Spool:
    """A folder of lines, for one process.

    While one task hands on, others may keep; two may not hand on at once.

    Args:
        folder: Made when it is missing, mode 0700.
        samples_bytes: Bound on samples; beyond it the oldest segment goes.
        segment_bytes: Size at which a segment of samples is closed.
        compact_bytes: Size at which decisions are first reduced to the latest state of each.

    Raises:
        JournalWriteError: The folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        samples_bytes: int = 256 * 2**20,
        segment_bytes: int = 8 * 2**20,
        compact_bytes: int = 16 * 2**20,
    ) -> None:
        self._folder = folder
        self._samples_bytes = samples_bytes
        self._segment_bytes = segment_bytes
        self._compact_bytes = self._compact_at = compact_bytes
        self._decisions = folder / "decisions.jsonl"
        self._handing = folder / "decisions.handing.jsonl"
        self._quarantine = folder / "quarantine.jsonl"
        self._handed: dict[Path, int] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            files = (self._decisions, self._handing, *self._segments())
            for file in files:
                self._mend(file)
            self._waiting = {file: journal.count(file) for file in files}
        except OSError as error:
            raise journal.refused(folder, error) from error
        self._show()

    @property
    def depth(self) -> int:
        """How many lines wait; 0 when there is nothing to hand on."""
        return sum(self._waiting.values())

    def keep_decisions(self, records: Sequence[DecisionRecord]) -> None:
        """Keep decisions; they are on disk when this returns.

        Raises:
            JournalWriteError: They are not.
        """
        self._append(self._decisions, [record.model_dump_json() for record in records])
        if records and self._decisions.stat().st_size > self._compact_at:
            self._compact()

    def keep_samples(self, samples: Sequence[Sample]) -> None:
        """Keep samples, at the cost of the oldest ones where there is no room; on disk when this returns.

        Raises:
            JournalWriteError: They are not.
        """
        if not samples:
            return
        segments = self._segments()
        newest = segments[-1] if segments else self._segment(1)
        if newest.exists() and newest.stat().st_size > self._segment_bytes:
            newest = self._segment(_number(newest) + 1)
        self._append(newest, [_samples_line(samples)])
        self._make_room()

    def waiting_decisions(self) -> Iterator[DecisionRecord]:
        """The decisions that wait, in the order they were kept; what cannot be read is passed over."""
        for file in (self._handing, self._decisions):
            for line in journal.read(file):
                with suppress(ValueError):
                    yield from _decision_of(line)

    async def hand_on(self, sink: SpoolSink) -> int:
        """Give everything to the sink, in order, and forget it; answers how many lines went.

        What is unfit is set aside. Where the sink fails otherwise, or the caller gives up waiting, the rest waits; the
        next call goes on where this one stopped.

        Raises:
            Retryable: The sink is away again.
        """
        went = 0
        while self._waiting.get(self._handing) or self._waiting.get(self._decisions):
            if not self._waiting.get(self._handing):
                self._decisions.rename(self._handing)
                self._waiting[self._handing] = self._waiting.pop(self._decisions)
                self._compact_at = self._compact_bytes
            went += await self._hand_file(
                self._handing, _decision_of, sink.restore_decisions, _DECISIONS_AT_ONCE
            )
        segments = self._segments()
        if segments and self._waiting.get(segments[-1]):
            # What is kept from now on must not go into a file that is about to be removed.
            self._segment(_number(segments[-1]) + 1).touch(mode=0o600)
        for segment in segments:
            went += await self._hand_file(segment, _samples_of, sink.record_samples, _SAMPLE_LINES_AT_ONCE)
        return went

    async def _hand_file(
        self,
        file: Path,
        parse: Callable[[bytes], list[_Entry]],
        give: Callable[[list[_Entry]], Awaitable[None]],
        at_once: int,
    ) -> int:
        """Hand on one file, some lines at once, then remove it; answers how many lines went."""
        went = 0
        rest = islice(journal.read(file), self._handed.get(file, 0), None)
        while lines := list(islice(rest, at_once)):
            await self._hand_lines(lines, parse, give)
            went += len(lines)
            if file not in self._waiting:  # it had to go meanwhile, to make room
                return went
            self._handed[file] = self._handed.get(file, 0) + len(lines)
            self._waiting[file] -= len(lines)
            self._show()
        if file in self._waiting:
            self._forget(file)
        return went

    async def _hand_lines(
        self,
        lines: list[bytes],
        parse: Callable[[bytes], list[_Entry]],
        give: Callable[[list[_Entry]], Awaitable[None]],
    ) -> None:
        try:
            await give([entry for line in lines for entry in parse(line)])
        except _UNFIT as error:
            if len(lines) == 1:
                self._set_aside(lines[0], error)
                return
            for line in lines:
                await self._hand_lines([line], parse, give)

    def _set_aside(self, line: bytes, error: Exception) -> None:
        entry = {"line": line.decode(errors="replace"), "reason": str(error)}
        journal.append(self._quarantine, [json.dumps(entry)])
        KNOWLEDGE_SPOOL_QUARANTINED_TOTAL.inc()
        _log.error("spool_line_set_aside", file=str(self._quarantine), reason=str(error))

    def _append(self, file: Path, lines: Sequence[str]) -> None:
        journal.append(file, lines)
        self._waiting[file] = self._waiting.get(file, 0) + len(lines)
        self._show()

    def _compact(self) -> None:
        """Keep the latest state of each decision: in a long outage most lines repeat a no-op."""
        latest: dict[object, str] = {}
        for line in journal.read(self._decisions):
            try:
                (record,) = _decision_of(line)
            except ValueError as error:
                self._set_aside(line, error)
                continue
            latest.pop(record.id, None)
            latest[record.id] = line.decode()
        fresh = self._decisions.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        journal.append(fresh, list(latest.values()))
        fresh.replace(self._decisions)
        journal.sync_folder(self._folder)
        self._waiting[self._decisions] = len(latest)
        # When nearly every line is another decision there is nothing to win: then wait until it has doubled.
        self._compact_at = max(self._compact_bytes, 2 * self._decisions.stat().st_size)
        self._show()

    def _make_room(self) -> None:
        segments = self._segments()
        sizes = [segment.stat().st_size for segment in segments]
        while len(segments) > 1 and sum(sizes) > self._samples_bytes:
            oldest = segments.pop(0)
            sizes.pop(0)
            lost = sum(line.count(b"],[") + 1 for line in journal.read(oldest))
            self._forget(oldest)
            KNOWLEDGE_SPOOL_DROPPED_TOTAL.inc(lost)
            _log.warning("spool_dropped_samples", samples=lost, reason="the spool is full")

    def _mend(self, file: Path) -> None:
        """Set aside a last line without its newline: its writer was killed before it could say that it was kept."""
        torn = journal.torn_end(file)
        if torn:
            self._set_aside(torn, ValueError("the line was cut off"))
            journal.cut_torn_end(file)

    def _forget(self, file: Path) -> None:
        file.unlink(missing_ok=True)
        self._waiting.pop(file, None)
        self._handed.pop(file, None)
        self._show()

    def _segments(self) -> list[Path]:
        return sorted(self._folder.glob("samples-*.jsonl"))

    def _segment(self, number: int) -> Path:
        return self._folder / f"samples-{number:08d}.jsonl"

    def _show(self) -> None:
        decisions = sum(self._waiting.get(file, 0) for file in (self._decisions, self._handing))
        KNOWLEDGE_SPOOL_ENTRIES.labels("decisions").set(decisions)
        KNOWLEDGE_SPOOL_ENTRIES.labels("samples").set(self.depth - decisions)


def _samples_line(samples: Sequence[Sample]) -> str:
    rows = [[s.target, s.sensor, s.observed_at.isoformat(), s.value] for s in samples]
    return json.dumps(rows, allow_nan=False, separators=(",", ":"))


def _decision_of(line: bytes) -> list[DecisionRecord]:
    return [DecisionRecord.model_validate_json(line)]


def _samples_of(line: bytes) -> list[Sample]:
    try:
        return [Sample(t, s, datetime.fromisoformat(at), float(v)) for t, s, at, v in json.loads(line)]
    except TypeError as error:  # JSON, but not of this shape
        raise ValueError(str(error)) from error


def _number(segment: Path) -> int:
    return int(segment.stem.removeprefix("samples-"))
