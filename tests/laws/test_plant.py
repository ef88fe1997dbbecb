"""What holds of the simulated service whatever the seed and the instant."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from maximus_assets.contracts.catalogue import SERVICE_SENSORS
from maximus_assets.plant.noise import drift, normals, uniforms
from maximus_assets.plant.scenarios import incidents_of_week
from maximus_assets.plant.world import Plant

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**63)
instants = st.integers(-150_000_000_000, 3_800_000_000_000).map(
    lambda ms: datetime.fromtimestamp(ms / 1000, tz=UTC)
)
lengths = st.integers(0, 6 * 3600).map(lambda seconds: timedelta(seconds=seconds))
steps = st.sampled_from([1, 7, 15, 60, 300])


@quick
@given(seeds, instants, lengths, lengths, steps)
def test_a_span_is_the_sum_of_its_parts(seed, start, first, second, step):
    step = max(step, 15) if first + second > timedelta(hours=1) else step
    plant, middle, end = Plant(seed), start + first, start + first + second
    whole = plant.samples("shop", start, end, step)
    parts = [plant.samples("shop", start, middle, step), plant.samples("shop", middle, end, step)]
    assert whole.equals(pl.concat(parts))


@quick
@given(seeds, instants, lengths)
def test_live_readings_are_the_samples_of_history(seed, start, since):
    at = start + since
    history = Plant(seed).samples("shop", at - timedelta(minutes=5), at + timedelta(minutes=5), 15)
    live = Plant(seed).readings("shop", at)
    assert [sample.sensor for sample in live] == list(SERVICE_SENSORS)
    seen = history.filter(pl.col("observed_at") == live[0].observed_at)
    assert seen.rows() == [tuple(sample) for sample in live]
    assert timedelta(0) <= at - live[0].observed_at < timedelta(seconds=15)


@quick
@given(seeds, instants)
def test_a_coarser_reading_shows_the_values_of_the_finer_one(seed, start):
    plant, end = Plant(seed), start + timedelta(hours=1)
    fine, coarse = (plant.samples("shop", start, end, step) for step in (15, 300))
    assert fine.filter(pl.col("observed_at").is_in(coarse["observed_at"].implode())).equals(coarse)


@given(seeds, st.integers(-300, 6000))
@settings(max_examples=10, deadline=None)
def test_incidents_are_announced_ordered_and_never_overlap(seed, week):
    found = [incident for number in range(week, week + 150) for incident in incidents_of_week(seed, number)]
    for incident in found:
        assert incident.precursor_at < incident.starts_at < incident.ends_at
        assert 0.6 <= incident.severity <= 1.0
        # Each keeps within its third of a week, which is why none can reach another.
        first, last = (at.timestamp() + 3 * 86_400 for at in (incident.precursor_at, incident.ends_at))
        assert first // (56 * 3600) == (last - 1) // (56 * 3600)
    for earlier, later in pairwise(found):
        assert earlier.ends_at <= later.precursor_at


@quick
@given(seeds, st.integers(-(2**33), 2**33), st.sampled_from([600, 7200]))
def test_a_drift_has_no_jumps(seed, start, knot):
    values = drift(seed, 3, np.arange(start, start + 2 * knot, dtype=np.int64), knot)
    # Easing is steepest half way: 1.5 times the straight line between two knots, which may lie just outside.
    assert np.abs(np.diff(values)).max() <= 1.5 / knot * 12.0
    assert np.ptp(values) > 0.0


@quick
@given(seeds, st.integers(-(2**40), 2**40), st.integers(1, 50), st.integers(0, 49))
def test_chance_depends_on_the_index_alone(seed, first, count, offset):
    index = np.arange(first, first + count, dtype=np.int64)
    offset %= count
    assert uniforms(seed, (3, 5), index)[1, offset] == uniforms(seed, (5,), index[offset:])[0, 0]
    assert normals(seed, (6,), index)[0, offset] == normals(seed, (6,), index[offset : offset + 1])[0, 0]
    drawn = uniforms(seed, (3,), index)
    assert drawn.min() > 0.0
    assert drawn.max() < 1.0
