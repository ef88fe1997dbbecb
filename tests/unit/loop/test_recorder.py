"""What the recorder hands to the knowledge base, and what it spares it."""

from datetime import UTC, datetime, timedelta

import pytest

from maximus_assets.contracts.telemetry import Sample
from serving.knowledge.connect import KnowledgeUnavailableError
from serving.knowledge.spool import Spool
from serving.loop.recorder import Recorder

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class Samples:
    """The part of the knowledge base that takes samples; every batch it was asked to write."""

    def __init__(self):
        self.batches = []
        self.error = None

    async def record_samples(self, samples):
        if self.error is not None:
            raise self.error
        self.batches.append([sample.observed_at for sample in samples])


@pytest.fixture
def store():
    return Samples()


@pytest.fixture
def recorder(store, tmp_path):
    return Recorder(store, Spool(tmp_path))


def at(minutes):
    return Sample("shop", "request_rate_per_second", NOON + timedelta(minutes=minutes), 1.0)


async def test_a_sample_that_was_kept_is_not_written_again(recorder, store):
    for _ in range(3):
        await recorder.samples([at(0)])
    await recorder.samples([at(0), at(1)])
    assert store.batches == [[NOON], [at(1).observed_at]]


async def test_a_late_sample_is_written_and_does_not_make_the_newest_one_news(recorder, store):
    await recorder.samples([at(5)])
    await recorder.samples([at(3)])
    await recorder.samples([at(5)])
    assert store.batches == [[at(5).observed_at], [at(3).observed_at]]


async def test_a_sample_that_was_refused_is_tried_again(recorder, store):
    store.error = ValueError("no name")
    with pytest.raises(ValueError, match="no name"):
        await recorder.samples([at(0)])
    store.error = None
    await recorder.samples([at(0)])
    assert store.batches == [[NOON]]


async def test_a_sample_that_waits_on_disk_is_kept_once(recorder, store, tmp_path):
    store.error = KnowledgeUnavailableError("away")
    await recorder.samples([at(0)])
    await recorder.samples([at(0)])
    assert recorder.depth == 1
