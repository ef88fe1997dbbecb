"""The simulated source: the plant's values, however they are read."""

from datetime import timedelta

from maximus_assets.contracts.target import ReplicaSizing, Target
from maximus_assets.plant.world import Plant
from serving.monitor.simulated import SimulatedSource


def targets(count):
    return [
        Target(
            name=f"t{k}",
            source="simulated",
            demand_sensor="request_rate_per_second",
            sizing=ReplicaSizing(),
            seed=k,
        )
        for k in range(count)
    ]


def test_reading_a_stretch_at_a_time_shows_what_the_plant_shows(clock):
    source = SimulatedSource(targets(3))
    for _ in range(200):
        clock.advance(13)
        read = source.read(clock.now())
        shown = [sample for k in range(3) for sample in Plant(k).readings(f"t{k}", clock.now())]
        assert read == shown


def test_a_clock_that_jumps_shows_the_plant_of_that_time(clock):
    source = SimulatedSource(targets(1))
    source.read(clock.now())
    for jump in (86_400, -172_800):
        clock.jump(jump)
        assert source.read(clock.now()) == Plant(0).readings("t0", clock.now())


def test_the_stretches_of_a_fleet_do_not_all_end_in_one_turn(clock):
    source = SimulatedSource(targets(40))
    source.read(clock.now())
    ends = {start + timedelta(seconds=15 * len(rows)) for start, rows in source._stretches.values()}
    assert len(ends) > 30
