"""What waits for the database survives kills, a full disk and unreadable lines; the oldest samples go first."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.telemetry import Sample
from serving.knowledge import journal
from serving.knowledge.connect import KnowledgeUnavailableError
from serving.knowledge.journal import JournalWriteError
from serving.knowledge.spool import Spool

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def decision(
    *, count: int = 1, identity: UUID | None = None, reason: str = "nothing to do"
) -> DecisionRecord:
    return DecisionRecord(
        id=identity or uuid4(),
        target="web",
        first_at=START,
        last_at=START + timedelta(seconds=15 * (count - 1)),
        count=count,
        epoch=1,
        kind="noop",
        is_dry_run=True,
        reason=reason,
        confidence=1.0,
    )


def samples(turn: int, number: int = 3) -> list[Sample]:
    return [
        Sample("web", f"sensor-{i}", START + timedelta(seconds=15 * turn), float(turn)) for i in range(number)
    ]


class Sink:
    """A store in memory that can be away, and that refuses what the test names."""

    def __init__(self) -> None:
        self.decisions: dict[UUID, DecisionRecord] = {}
        self.samples: list[Sample] = []
        self.answers_left = 10**9
        self.unfit = ""

    def _answer(self) -> None:
        if self.answers_left <= 0:
            raise KnowledgeUnavailableError("away")
        self.answers_left -= 1

    async def restore_decisions(self, records):
        self._answer()
        if self.unfit and any(record.reason == self.unfit for record in records):
            raise psycopg.DataError(self.unfit)
        self.decisions |= {record.id: record for record in records}

    async def record_samples(self, samples):
        self._answer()
        self.samples += samples


@pytest.mark.anyio
async def test_everything_kept_is_handed_on_in_order_and_forgotten(tmp_path):
    spool, sink = Spool(tmp_path / "spool"), Sink()
    kept = [decision() for _ in range(3)]
    spool.keep_decisions(kept)
    spool.keep_samples(samples(1))
    spool.keep_samples(samples(2))
    assert spool.depth == 5
    assert await spool.hand_on(sink) == 5
    assert list(sink.decisions.values()) == kept
    assert sink.samples == samples(1) + samples(2)
    assert spool.depth == Spool(tmp_path / "spool").depth == 0
    assert await spool.hand_on(sink) == 0


@pytest.mark.anyio
async def test_a_restart_finds_what_was_kept(tmp_path):
    Spool(tmp_path).keep_decisions([decision()])
    Spool(tmp_path).keep_samples(samples(1))
    sink = Sink()
    assert await Spool(tmp_path).hand_on(sink) == 2
    assert (len(sink.decisions), len(sink.samples)) == (1, 3)


@pytest.mark.anyio
async def test_a_sink_that_goes_away_half_way_loses_nothing(tmp_path):
    spool, sink = Spool(tmp_path), Sink()
    kept = [decision() for _ in range(1200)]
    spool.keep_decisions(kept)
    sink.answers_left = 1
    with pytest.raises(KnowledgeUnavailableError):
        await spool.hand_on(sink)
    late = decision()
    spool.keep_decisions([late])
    sink.answers_left = 10**9
    restarted = Spool(tmp_path)
    await restarted.hand_on(sink)
    assert set(sink.decisions) == {record.id for record in [*kept, late]}
    assert restarted.depth == 0


@pytest.mark.anyio
async def test_a_hand_on_that_is_cut_short_again_and_again_still_comes_to_an_end(tmp_path):
    spool, sink = Spool(tmp_path), Sink()
    spool.keep_decisions([decision() for _ in range(2600)])
    for turn in range(40):
        spool.keep_samples(samples(turn))
    attempts = 0
    while spool.depth:
        attempts += 1
        sink.answers_left = 2
        with suppress(KnowledgeUnavailableError):
            await spool.hand_on(sink)
    assert attempts <= 7
    assert len(sink.decisions) == 2600
    assert sink.samples == [sample for turn in range(40) for sample in samples(turn)]


@pytest.mark.anyio
async def test_what_is_kept_while_handing_on_is_not_removed_with_the_rest(tmp_path):
    spool = Spool(tmp_path)
    late, late_samples = decision(), samples(9)

    class Meanwhile(Sink):
        async def record_samples(self, given):
            if not self.samples:
                spool.keep_samples(late_samples)
                spool.keep_decisions([late])
            await super().record_samples(given)

    sink = Meanwhile()
    spool.keep_samples(samples(1))
    await spool.hand_on(sink)
    assert spool.depth == 2
    await spool.hand_on(sink)
    assert sink.samples == samples(1) + late_samples
    assert late.id in sink.decisions


@pytest.mark.anyio
@pytest.mark.parametrize("cut", [1, 40, -1])
def test_a_line_cut_off_by_a_kill_is_set_aside_and_the_rest_is_there(tmp_path, cut):
    first, torn = decision(), decision()
    Spool(tmp_path).keep_decisions([first])
    line = torn.model_dump_json()
    with (tmp_path / "decisions.jsonl").open("a") as file:
        file.write(line[:cut])
    spool = Spool(tmp_path)
    assert spool.depth == 1
    spool.keep_decisions([torn])
    assert journal.count(tmp_path / "decisions.jsonl") == 2
    assert json.loads((tmp_path / "quarantine.jsonl").read_text())["line"] == line[:cut]


@pytest.mark.anyio
async def test_an_unreadable_line_is_set_aside_and_those_after_it_go_on(tmp_path):
    kept = [decision(), decision()]
    Spool(tmp_path).keep_decisions(kept)
    whole = (tmp_path / "decisions.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "decisions.jsonl").write_bytes(whole[0] + b'{"id": "\xff\n' + whole[1])
    (tmp_path / "samples-00000001.jsonl").write_bytes(b'[["web", 1]]\n')
    sink = Sink()
    await Spool(tmp_path).hand_on(sink)
    assert set(sink.decisions) == {record.id for record in kept}
    assert journal.count(tmp_path / "quarantine.jsonl") == 2


@pytest.mark.anyio
async def test_a_decision_the_store_finds_unfit_is_set_aside_alone(tmp_path):
    spool, sink = Spool(tmp_path), Sink()
    sink.unfit = "unfit"
    spool.keep_decisions([decision(), decision(reason="unfit"), decision()])
    await spool.hand_on(sink)
    assert len(sink.decisions) == 2
    assert "unfit" in (tmp_path / "quarantine.jsonl").read_text()
    assert spool.depth == 0


@pytest.mark.anyio
async def test_a_store_without_its_tables_leaves_the_lines_where_they_are(tmp_path):
    class NoTables(Sink):
        async def restore_decisions(self, records):
            raise psycopg.errors.UndefinedTable("no table")

    spool = Spool(tmp_path)
    spool.keep_decisions([decision()])
    with pytest.raises(psycopg.errors.UndefinedTable):
        await spool.hand_on(NoTables())
    assert Spool(tmp_path).depth == 1
    assert not (tmp_path / "quarantine.jsonl").exists()


@pytest.mark.anyio
async def test_the_oldest_samples_go_when_the_bound_is_reached_and_decisions_never(tmp_path):
    spool, sink = Spool(tmp_path, samples_bytes=4000, segment_bytes=1000), Sink()
    spool.keep_decisions([decision() for _ in range(100)])
    for turn in range(200):
        spool.keep_samples(samples(turn))
    assert sum(file.stat().st_size for file in tmp_path.glob("samples-*")) < 6000
    await spool.hand_on(sink)
    turns = [sample.value for sample in sink.samples]
    assert turns == sorted(turns)
    assert turns[-1] == 199
    assert turns[0] > 150
    assert len(sink.decisions) == 100


@pytest.mark.anyio
async def test_a_long_outage_of_unchanged_decisions_stays_small(tmp_path):
    spool, sink = Spool(tmp_path, compact_bytes=10_000), Sink()
    identities = [uuid4() for _ in range(5)]
    for count in range(1, 301):
        spool.keep_decisions([decision(count=count, identity=identity) for identity in identities])
    assert (tmp_path / "decisions.jsonl").stat().st_size < 15_000
    await spool.hand_on(sink)
    assert {record.count for record in sink.decisions.values()} == {300}


def test_a_full_disk_is_said_and_leaves_no_half_line(tmp_path, monkeypatch):
    spool = Spool(tmp_path)
    spool.keep_decisions([decision()])
    before = (tmp_path / "decisions.jsonl").read_bytes()
    write = os.write

    def fill_up(descriptor, data):
        if len(data) <= 50:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:50])

    monkeypatch.setattr(os, "write", fill_up)
    with pytest.raises(JournalWriteError, match="No space left"):
        spool.keep_decisions([decision()])
    monkeypatch.undo()
    assert (tmp_path / "decisions.jsonl").read_bytes() == before
    spool.keep_decisions([decision()])
    assert Spool(tmp_path).depth == 2


def test_every_decision_said_to_be_kept_survives_a_kill(tmp_path):
    writer = textwrap.dedent("""
        import sys
        from pathlib import Path
        sys.path[:0] = [sys.argv[2]]
        from test_spool import decision
        from serving.knowledge.spool import Spool
        spool = Spool(Path(sys.argv[1]))
        while True:
            record = decision()
            spool.keep_decisions([record])
            print(record.id, flush=True)
    """)
    command = [sys.executable, "-c", writer, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.read().split()
    Spool(tmp_path)  # mends
    found = [json.loads(line)["id"] for line in journal.read(tmp_path / "decisions.jsonl")]
    assert set(acknowledged) <= set(found)
    assert len(found) - len(acknowledged) <= 1


def test_only_its_owner_may_read_it(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.keep_decisions([decision()])
    assert oct((tmp_path / "spool").stat().st_mode)[-3:] == "700"
    assert oct((tmp_path / "spool" / "decisions.jsonl").stat().st_mode)[-3:] == "600"
