"""When two turns decided the same, and when they did not."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pydantic import ValidationError

from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.verdict import Verdict

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def record(**changes: object) -> DecisionRecord:
    fields: dict[str, object] = {
        "id": uuid4(),
        "target": "shop",
        "first_at": AT,
        "last_at": AT,
        "epoch": 3,
        "kind": "noop",
        "is_dry_run": True,
        "reason": "capacity fits demand",
        "confidence": 0.9,
        "state": {"demand_per_second": 10.0},
        "verdicts": (Verdict(name="may_act", passed=False, reasons=("dry run",)),),
    }
    return DecisionRecord.model_validate({**fields, **changes})


def test_an_unchanged_noop_repeats_whatever_the_figures_were() -> None:
    later = record(
        first_at=AT + timedelta(seconds=15),
        last_at=AT + timedelta(seconds=15),
        state={"demand_per_second": 11.0},
    )
    assert later.repeats(record())


@pytest.mark.parametrize(
    "change",
    [
        {"reason": "telemetry was lost"},
        {"epoch": 4},
        {"target": "other"},
        {"level": "ALERT"},
        {"mode": "ENERGY_EFFICIENT"},
        {"is_dry_run": False},
        {"model_version": "2"},
        {"kind": "propose"},
        {"verdicts": (Verdict(name="may_act", passed=True),)},
    ],
)
def test_anything_an_operator_would_call_different_starts_a_new_record(change: dict[str, object]) -> None:
    assert not record(**change).repeats(record())


def test_a_proposal_never_repeats() -> None:
    assert not record(kind="propose").repeats(record(kind="propose"))


def test_instants_are_aware_and_kept_in_utc() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        record(first_at=datetime(2026, 3, 2, 12, 0))  # noqa: DTZ001 - the naive instant is the point
    assert record(first_at=datetime.fromisoformat("2026-03-02T14:00:00+02:00")).first_at == AT


def test_a_field_the_contract_does_not_know_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        record(surprise=1)
