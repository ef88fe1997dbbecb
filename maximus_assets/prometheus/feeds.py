"""Feeds: one sensor of some targets of one section, asked for in one query whatever the number of targets.

Belongs here: which feeds there are and what they ask. Does not: what comes back (`readings`). It is light, because every
start of the command line checks the mapping with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.prometheus import PrometheusSection, PromQLSensor, check_sections
from maximus_assets.contracts.target import Target
from maximus_assets.prometheus import promql
from maximus_assets.prometheus.recipes import sensors_of


@dataclass(frozen=True)
class Feed:
    """One sensor of some targets.

    Attributes:
        section: Where it is asked for.
        sensor: How.
        targets: Whose; all of them are in the section.
    """

    section: PrometheusSection
    sensor: PromQLSensor
    targets: tuple[str, ...]

    def only(self, targets: Sequence[str]) -> "Feed":
        """The same for some of its targets."""
        return Feed(self.section, self.sensor, tuple(targets))

    def instant_query(self) -> str:
        """The query for the present value of every target, with the instant of its newest raw sample."""
        section = self.section
        return promql.dated(
            self.sensor,
            matchers=self._matchers(),
            by=section.label_names,
            window_seconds=section.window_seconds,
        )

    def range_query(self) -> str:
        """The query for past values of every target, where they rest on fresh raw samples."""
        section = self.section
        return promql.while_fresh(
            self.sensor,
            matchers=self._matchers(),
            by=section.label_names,
            window_seconds=section.window_seconds,
            limit_seconds=CATALOGUE[self.sensor.sensor].staleness_limit_seconds,
        )

    def count_query(self, seconds: float) -> str:
        """The query for how many raw samples of every target there are in the seconds before an instant."""
        labels = self.section.label_names
        return promql.counted(self.sensor, matchers=self._matchers(), by=labels, seconds=seconds)

    def _matchers(self) -> str:
        return promql.selector([self.section.targets[name] for name in self.targets], self.section.matchers)


def feeds(sections: Sequence[PrometheusSection]) -> dict[str, tuple[Feed, ...]]:
    """Every feed, by section.

    A sensor of a target that several sections could give is given by the first of them.

    Args:
        sections: All there are, in the order of `maximus.toml`.
    """
    claimed: set[tuple[str, str]] = set()
    found: dict[str, tuple[Feed, ...]] = {}
    for section in sections:
        mine = []
        for sensor in sensors_of(section):
            targets = tuple(name for name in section.targets if (name, sensor.sensor) not in claimed)
            claimed |= {(name, sensor.sensor) for name in targets}
            if targets:
                mine.append(Feed(section, sensor, targets))
        found[section.name] = tuple(mine)
    return found


def check_mapping(sections: Sequence[PrometheusSection], targets: Sequence[Target]) -> None:
    """Make sure that sections and targets fit together, and that what every target is sized by is asked for.

    Args:
        sections: All there are.
        targets: All there are; those of other sources are passed over.

    Raises:
        ValueError: They do not fit (`contracts.prometheus.check_sections`), or a target's demand is asked for nowhere; says
            whose.
    """
    check_sections(sections, targets)
    asked = {
        (name, feed.sensor.sensor)
        for mine in feeds(sections).values()
        for feed in mine
        for name in feed.targets
    }
    for one in targets:
        if one.source == "prometheus" and (one.name, one.demand_sensor) not in asked:
            msg = f"nothing asks for {one.demand_sensor}, which target {one.name} is sized by: add a recipe or a sensor"
            raise ValueError(msg)
