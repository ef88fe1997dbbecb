"""What an operator says about a Prometheus server: where it is, which queries give which sensors, which labels a target has.

Belongs here: the form of a `[[prometheus]]` table of `maximus.toml` and what it may not say. Does not: any query of our own
(`maximus_assets.prometheus`), any reading. It is hard because a mapping that is nearly right reads the wrong series in
silence: so every placeholder, unit and label is checked before anything is asked.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, field_validator, model_validator

from maximus_assets.contracts.base import Contract, Name
from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.target import Target

RecipeName = Literal[
    "node_exporter",
    "cadvisor",
    "kube_state_metrics",
    "envoy",
    "haproxy",
    "postgres_exporter",
    "redis_exporter",
]
RECIPE_NAMES: Final[tuple[str, ...]] = get_args(RecipeName)

LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
LabelValue = Annotated[str, Field(min_length=1, max_length=1024)]
MetricName = Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]

PLACEHOLDERS: Final = ("selector", "by", "window")
"""What a query may leave open: `$selector` the targets' matchers, `$by` their label names, `$window` the time to rate over."""

CONVERSIONS: Final[dict[tuple[str, str], float]] = {
    ("seconds", "ms"): 1000.0,
    ("percent", "ratio"): 0.01,
    ("millicores", "cores"): 0.001,
    ("kibibytes", "bytes"): 1024.0,
    ("mebibytes", "bytes"): 1024.0**2,
    ("per_minute", "per_second"): 1 / 60,
}
"""(unit of a query's result, unit of the sensor) -> the factor between them."""

_PLACEHOLDER: Final = re.compile(r"\$([A-Za-z_]\w*)")


class PromQLSensor(Contract):
    """One sensor of the catalogue as a query.

    Attributes:
        sensor: In the catalogue.
        query: PromQL that gives one series for each target; `$selector` stands inside the braces of its selectors.
        metric: The raw series the value is made from. Its newest sample dates the value, and where it has vanished the
            value is missing, however long the query's own window would still answer.
        unit: Of the query's result: the sensor's own, or one in `CONVERSIONS`.
    """

    sensor: Name
    query: str = Field(min_length=1, max_length=4000)
    metric: MetricName
    unit: str

    @field_validator("query")
    @classmethod
    def _placeholders(cls, query: str) -> str:
        unknown = [name for name in _PLACEHOLDER.findall(query) if name not in PLACEHOLDERS]
        if unknown:
            msg = f"${unknown[0]} is no placeholder; there are ${', $'.join(PLACEHOLDERS)}"
            raise ValueError(msg)
        if "$selector" not in query:
            msg = "does not say $selector, so it would read the series of everybody"
            raise ValueError(msg)
        return query

    @model_validator(mode="after")
    def _known(self) -> "PromQLSensor":
        sensor = CATALOGUE.get(self.sensor)
        if sensor is None:
            msg = f"sensor {self.sensor} is not in the sensor catalogue"
            raise ValueError(msg)
        if self.unit != sensor.unit and (self.unit, sensor.unit) not in CONVERSIONS:
            from_these = sorted({sensor.unit, *(given for given, to in CONVERSIONS if to == sensor.unit)})
            msg = f"unit {self.unit} cannot become {self.sensor}'s; it may be {' or '.join(from_these)}"
            raise ValueError(msg)
        return self

    @property
    def factor(self) -> float:
        """What the query's result is multiplied by to be in the sensor's unit."""
        wanted = CATALOGUE[self.sensor].unit
        return 1.0 if self.unit == wanted else CONVERSIONS[self.unit, wanted]


class PrometheusSection(Contract):
    """One `[[prometheus]]` table: a server, what is asked of it, and for whom.

    Attributes:
        name: Unique among the sections.
        url: Of the server, without `/api/v1`; a path before it is kept (`http://host/prometheus`).
        recipes: Ready sets of queries, by the exporter they read.
        sensors: Queries of one's own; one for a sensor a recipe has takes its place.
        targets: Target -> its labels, label name -> exact value. All targets of a section have the same label names.
        matchers: Labels every series must have besides, for instance `job`.
        window_seconds: What rates are taken over: at least four scrapes, or one missed scrape leaves a gap.
        bearer_token_file: File that holds a bearer token; read anew for each request, for tokens are rotated. Paths of files
            are absolute, for processes that start in different folders read them.
        username: For basic authentication.
        password_file: File that holds its password.
        ca_file: Certificates to trust instead of the usual ones.
    """

    name: Name
    url: str
    recipes: tuple[RecipeName, ...] = ()
    sensors: tuple[PromQLSensor, ...] = ()
    targets: dict[Name, dict[LabelName, LabelValue]] = Field(min_length=1)
    matchers: dict[LabelName, LabelValue] = Field(default_factory=dict)
    window_seconds: int = Field(default=120, ge=10, le=3600)
    bearer_token_file: Path | None = None
    username: str | None = Field(default=None, min_length=1)
    password_file: Path | None = None
    ca_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = "must be http://HOST:PORT or https://HOST:PORT"
            raise ValueError(msg)
        if parts.username or parts.password:
            msg = "holds a password; name a file in password_file instead"
            raise ValueError(msg)
        if parts.query or parts.fragment:
            msg = "must be the server's address alone, without ? and #"
            raise ValueError(msg)
        return url.rstrip("/").removesuffix("/api/v1")

    @field_validator("bearer_token_file", "password_file", "ca_file")
    @classmethod
    def _absolute(cls, file: Path | None) -> Path | None:
        if file is not None and not file.is_absolute():
            msg = "must be an absolute path"
            raise ValueError(msg)
        return file

    @model_validator(mode="after")
    def _whole(self) -> "PrometheusSection":
        for problem in (self._asks_nothing(), self._bad_labels(), self._bad_credentials()):
            if problem:
                raise ValueError(problem)
        return self

    def _asks_nothing(self) -> str:
        if not self.recipes and not self.sensors:
            return "asks for nothing: name recipes or sensors"
        names = [sensor.sensor for sensor in self.sensors]
        twice = sorted({name for name in names if names.count(name) > 1})
        return f"sensor {twice[0]} has two queries" if twice else ""

    def _bad_labels(self) -> str:
        first, *others = self.targets
        names = set(self.targets[first])
        if not names:
            return f"target {first} has no labels, so its series could not be told from others"
        for target in others:
            if set(self.targets[target]) != names:
                return (
                    f"target {target} has the labels {', '.join(sorted(self.targets[target]))}, {first} has "
                    f"{', '.join(sorted(names))}; those with other labels belong in a section of their own"
                )
        if both := sorted(names & set(self.matchers)):
            return f"label {both[0]} is in matchers and in targets"
        seen: dict[tuple[str, ...], str] = {}
        for target, labels in self.targets.items():
            values = tuple(labels[name] for name in sorted(names))
            if values in seen:
                return f"targets {seen[values]} and {target} have the same labels"
            seen[values] = target
        return ""

    def _bad_credentials(self) -> str:
        if (self.username is None) != (self.password_file is None):
            return "username and password_file belong together"
        if self.bearer_token_file and self.username:
            return "bearer_token_file and username exclude each other"
        return ""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels that tell its targets apart, sorted."""
        return tuple(sorted(next(iter(self.targets.values()))))


PROMETHEUS: Final = TypeAdapter(tuple[PrometheusSection, ...])
"""Reads and writes a list of sections as JSON, the form in which one process hands it to another."""


def check_sections(sections: Sequence[PrometheusSection], targets: Sequence[Target]) -> None:
    """Make sure that sections and targets fit together.

    Args:
        sections: All there are.
        targets: All there are.

    Raises:
        ValueError: A section is named twice or names a target that is not watched through Prometheus, or such a target is
            in no section; says which.
    """
    names = [section.name for section in sections]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        msg = f"section {twice[0]} is named twice"
        raise ValueError(msg)
    watched = {target.name for target in targets if target.source == "prometheus"}
    for section in sections:
        if strange := sorted(set(section.targets) - watched):
            msg = f'section {section.name}: there is no target {strange[0]} with source = "prometheus"'
            raise ValueError(msg)
    if unmapped := sorted(watched - {name for section in sections for name in section.targets}):
        msg = f"target {unmapped[0]} has no labels in any [[prometheus]] table"
        raise ValueError(msg)
