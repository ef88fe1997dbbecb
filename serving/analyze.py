"""What the readings and the forecast of a target amount to: one Situation, with a severity and its reasons.

Nothing is decided here, and no figure is made up: a sensor without a value adds nothing to the severity, but one that
must fail safe says that telemetry is lost, which forbids taking capacity away.

When much of the telemetry is lost at once, the fault is rarely with the targets that cannot be seen: it is with whoever
measures, and what can still be seen may be wrong too. So all targets together are judged first (`judge_telemetry`), and
then nothing is taken away from any of them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.prediction import Forecast
from maximus_assets.contracts.situation import Reading, Situation, TelemetryState
from maximus_assets.contracts.target import Target

Severity = Literal["normal", "warning", "critical"]

_ORDER: Final[tuple[Severity, ...]] = ("normal", "warning", "critical")

BLIND_SHARE: Final = (1, 3)
"""One target in three without a sensor that must fail safe: then telemetry counts as lost as a whole."""

RECOVERY_TURNS: Final = 4
"""So many whole turns in a row end a loss: a source that comes and goes must not let capacity go in between."""

_WHOLE: Final = TelemetryState()


def judge_telemetry(
    before: TelemetryState,
    targets: Sequence[Target],
    readings: Mapping[str, Mapping[str, Reading]],
    owners: Mapping[str, str],
) -> TelemetryState:
    """How far the telemetry of all targets together can be believed, after how far it could a turn ago.

    It is lost when `BLIND_SHARE` of the targets are blind, or every target whose demand one source reads; a target is
    blind when a sensor of it that must fail safe has no value, for it is stale, frozen or was never seen. It is found
    again after `RECOVERY_TURNS` turns in a row without that.

    Args:
        before: The state a turn ago.
        targets: All targets.
        readings: Target -> sensor -> reading.
        owners: Target -> the source that reads its demand; without those nobody reads.
    """
    blind = {
        target.name for target in targets if _is_blind(_with_demand(target, readings.get(target.name, {})))
    }
    of_source: defaultdict[str, set[str]] = defaultdict(set)
    for target in targets:
        if target.name in owners:
            of_source[owners[target.name]].add(target.name)
    lost = sorted(source for source, served in of_source.items() if served <= blind)
    share, of = BLIND_SHARE
    reason = ""
    if lost:
        reason = f"nothing can be seen through the source {', '.join(lost)}"
    elif blind and of * len(blind) >= share * len(targets):
        reason = "a third of the targets or more cannot be seen"
    if reason:
        return TelemetryState(is_lost=True, reason=reason, blind_targets=len(blind))
    if before.is_lost and before.good_turns + 1 < RECOVERY_TURNS:
        return TelemetryState(
            is_lost=True,
            reason="telemetry has only just come back",
            blind_targets=len(blind),
            good_turns=before.good_turns + 1,
        )
    return TelemetryState(blind_targets=len(blind))


def analyze(
    target: Target,
    readings: Mapping[str, Reading],
    forecast: Forecast,
    now: datetime,
    telemetry: TelemetryState = _WHOLE,
) -> Situation:
    """The situation of one target.

    Args:
        target: The target.
        readings: Sensor -> reading; the demand sensor counts as lost when it is not among them.
        forecast: What is expected of its demand.
        now: The turn's instant.
        telemetry: What all targets together amount to.
    """
    known = _with_demand(target, readings)
    severity, concerns = judge_readings(known)
    return Situation(
        target=target.name,
        at=now,
        readings=known,
        demand_sensor=target.demand_sensor,
        forecast=forecast,
        severity=severity,
        concerns=concerns,
        telemetry_lost=_is_blind(known),
        freeze_reason=telemetry.reason if telemetry.is_lost else "",
    )


def judge_readings(readings: Mapping[str, Reading]) -> tuple[Severity, tuple[str, ...]]:
    """The worst of some readings against the catalogue's thresholds, and every concern in words.

    Args:
        readings: Sensor -> reading.
    """
    severity: Severity = "normal"
    concerns: list[str] = []
    for name, reading in readings.items():
        if reading.is_frozen:
            concerns.append(f"{name} is frozen")
        elif reading.must_fail_safe and reading.value is None:
            concerns.append(f"{name} is missing")
        reached = _severity(name, reading)
        if reached != "normal":
            concerns.append(f"{name} is at or beyond its {reached} threshold")
            severity = max(severity, reached, key=_ORDER.index)
    return severity, tuple(concerns)


def _with_demand(target: Target, readings: Mapping[str, Reading]) -> dict[str, Reading]:
    """The readings of a target; a demand sensor nobody reads is among them as lost."""
    known = dict(readings)
    if target.demand_sensor not in known:
        known[target.demand_sensor] = Reading(
            sensor=target.demand_sensor, value=None, observed_at=None, is_fresh=False, must_fail_safe=True
        )
    return known


def _is_blind(readings: Mapping[str, Reading]) -> bool:
    """Whether a sensor that must fail safe has no value."""
    return any(reading.must_fail_safe and reading.value is None for reading in readings.values())


def _severity(name: str, reading: Reading) -> Severity:
    thresholds = CATALOGUE[name].thresholds
    if thresholds is None or reading.value is None:
        return "normal"
    return thresholds.severity(reading.value)
