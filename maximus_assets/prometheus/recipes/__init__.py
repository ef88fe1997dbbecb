"""Ready queries by exporter: one TOML file each, in the very form a user writes `[[prometheus.sensors]]` in.

Belongs here: which series of an exporter make a sensor of the catalogue. Does not: which labels a target has (the user
says so). Each file opens by saying which labels usually tell its targets apart. A test has a real server parse them all.
"""

import tomllib
from functools import cache
from importlib.resources import files

from pydantic import TypeAdapter

from maximus_assets.contracts.prometheus import PrometheusSection, PromQLSensor, RecipeName

_SENSORS = TypeAdapter(tuple[PromQLSensor, ...])


@cache
def recipe(name: RecipeName) -> tuple[PromQLSensor, ...]:
    """The queries of a recipe, in the order of its file."""
    text = files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return _SENSORS.validate_python(tomllib.loads(text)["sensors"])


def sensors_of(section: PrometheusSection) -> tuple[PromQLSensor, ...]:
    """What is asked for a section's targets: its own queries, then those of its recipes for other sensors.

    Of two recipes that have the same sensor, the one named first gives it.
    """
    found = {sensor.sensor: sensor for sensor in section.sensors}
    for name in section.recipes:
        for sensor in recipe(name):
            found.setdefault(sensor.sensor, sensor)
    return tuple(found.values())
