"""Promotion moves aliases on evidence alone, and can be cut short anywhere."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

import maximus_assets
from maximus_assets.contracts.errors import ContractMismatchError, Retryable
from maximus_assets.contracts.naming import CHAMPION, FORECASTER, PREVIOUS, TAG_WITHDRAWN_AT
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.registry.promotion import (
    REQUIRED_GATES,
    GateNotPassedError,
    NothingToRollBackError,
    PromotionRefusedError,
    name_candidate,
    promote,
    record_verdicts,
    rollback,
    unpassed_gates,
)
from maximus_assets.registry.tracking import Registry, Version

MakeVersion = Callable[..., Version]


class Cut:
    """Lets so many alias writes through, then loses the connection."""

    def __init__(self, registry: Registry, monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
        self.left = writes
        for name in ("set_registered_model_alias", "delete_registered_model_alias"):
            monkeypatch.setattr(registry.client, name, self._wrap(getattr(registry.client, name)))

    def _wrap(self, write: Callable[..., None]) -> Callable[..., None]:
        def limited(*arguments: str) -> None:
            if self.left == 0:
                raise MlflowException("connection refused")
            self.left -= 1
            write(*arguments)

        return limited


def test_the_first_version_that_passes_becomes_champion(
    registry: Registry, make_version: MakeVersion
) -> None:
    version = make_version()

    promotion = promote(registry, version)

    assert (promotion.champion.number, promotion.replaced, promotion.is_changed) == (
        version.number,
        None,
        True,
    )
    assert registry.aliases(FORECASTER) == {CHAMPION: version.number}


def test_the_champion_it_replaces_becomes_previous(registry: Registry, make_version: MakeVersion) -> None:
    first, second, third = make_version(), make_version(), make_version()
    for version in (first, second, third):
        promote(registry, version)

    assert registry.aliases(FORECASTER) == {CHAMPION: third.number, PREVIOUS: second.number}


def test_promoting_the_champion_again_changes_nothing(registry: Registry, make_version: MakeVersion) -> None:
    first, second = make_version(), make_version()
    promote(registry, first)
    promote(registry, second)

    again = promote(registry, second)

    assert not again.is_changed
    assert registry.aliases(FORECASTER) == {CHAMPION: second.number, PREVIOUS: first.number}


@pytest.mark.parametrize("gate", REQUIRED_GATES)
@pytest.mark.parametrize("said", ["failed", None, "Passed"])
def test_a_gate_that_failed_or_was_never_judged_refuses_promotion(
    registry: Registry, make_version: MakeVersion, gate: str, said: str | None
) -> None:
    champion = make_version()
    promote(registry, champion)

    with pytest.raises(GateNotPassedError, match=f"{gate}: {said or 'never judged'}"):
        promote(registry, make_version(**{gate: said}))

    assert registry.aliases(FORECASTER) == {CHAMPION: champion.number}


def test_tags_are_read_anew_so_that_a_gate_failed_meanwhile_refuses(
    registry: Registry, make_version: MakeVersion
) -> None:
    version = make_version()
    record_verdicts(registry, version, (Verdict(name=REQUIRED_GATES[0], passed=False, reasons=("worse",)),))

    with pytest.raises(GateNotPassedError):
        promote(registry, version)


def test_a_verdict_given_again_replaces_the_one_before_it(
    registry: Registry, make_version: MakeVersion
) -> None:
    version = make_version(**{REQUIRED_GATES[0]: "failed"})

    judged = record_verdicts(registry, version, (Verdict(name=REQUIRED_GATES[0], passed=True),))

    assert unpassed_gates(version) == (f"{REQUIRED_GATES[0]}: failed",)
    assert unpassed_gates(judged) == ()


def test_a_version_built_for_another_contract_is_refused(
    registry: Registry, make_version: MakeVersion
) -> None:
    with pytest.raises(ContractMismatchError, match="contract version 0"):
        promote(registry, make_version(contract_version="0"))


def test_a_run_that_was_overtaken_does_not_take_the_champion_back(
    registry: Registry, make_version: MakeVersion
) -> None:
    older, newer = make_version(), make_version()
    promote(registry, newer)

    with pytest.raises(PromotionRefusedError, match="older than the champion"):
        promote(registry, older)

    assert registry.aliases(FORECASTER) == {CHAMPION: newer.number}


def test_rollback_puts_the_previous_champion_back_and_withdraws_the_present_one(
    registry: Registry, make_version: MakeVersion, clock
) -> None:
    good, bad = make_version(), make_version()
    promote(registry, good)
    promote(registry, bad)

    promotion = rollback(registry, FORECASTER, clock=clock)

    assert (promotion.champion.number, promotion.replaced) == (good.number, bad.number)
    assert registry.aliases(FORECASTER) == {CHAMPION: good.number}
    assert registry.version(FORECASTER, bad.number).tags[TAG_WITHDRAWN_AT] == clock.now().isoformat()


def test_what_was_withdrawn_is_never_promoted_again(
    registry: Registry, make_version: MakeVersion, clock
) -> None:
    good, bad = make_version(), make_version()
    promote(registry, good)
    promote(registry, bad)
    name_candidate(registry, bad)
    rollback(registry, FORECASTER, clock=clock)

    with pytest.raises(PromotionRefusedError, match="withdrawn"):
        promote(registry, bad)

    better = make_version()
    promote(registry, better)
    assert registry.aliases(FORECASTER)[CHAMPION] == better.number


def test_there_is_nothing_to_roll_back_to_before_the_second_champion(
    registry: Registry, make_version: MakeVersion, clock
) -> None:
    with pytest.raises(NothingToRollBackError):
        rollback(registry, FORECASTER, clock=clock)
    promote(registry, make_version())
    with pytest.raises(NothingToRollBackError):
        rollback(registry, FORECASTER, clock=clock)


@pytest.mark.parametrize("writes", [0, 1])
def test_a_promotion_cut_short_leaves_a_champion_and_is_finished_by_the_next_call(
    registry: Registry, make_version: MakeVersion, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    first, second, third = make_version(), make_version(), make_version()
    promote(registry, first)
    promote(registry, second)

    with monkeypatch.context() as cut:
        Cut(registry, cut, writes)
        with pytest.raises(Retryable):
            promote(registry, third)

    assert registry.aliases(FORECASTER)[CHAMPION] == second.number
    promote(registry, third)
    assert registry.aliases(FORECASTER) == {CHAMPION: third.number, PREVIOUS: second.number}


@pytest.mark.parametrize("writes", [0, 1])
def test_a_rollback_cut_short_leaves_a_champion_and_is_finished_by_the_next_call(
    registry: Registry, make_version: MakeVersion, monkeypatch: pytest.MonkeyPatch, clock, writes: int
) -> None:
    good, bad = make_version(), make_version()
    promote(registry, good)
    promote(registry, bad)

    with monkeypatch.context() as cut:
        Cut(registry, cut, writes)
        with pytest.raises(Retryable):
            rollback(registry, FORECASTER, clock=clock)

    assert registry.aliases(FORECASTER)[CHAMPION] in {good.number, bad.number}
    rollback(registry, FORECASTER, clock=clock)
    assert registry.aliases(FORECASTER) == {CHAMPION: good.number}


def test_no_other_module_moves_an_alias() -> None:
    packages = Path(maximus_assets.__file__).parent
    sources = [*packages.rglob("*.py"), *(packages.parent / "serving").rglob("*.py")]

    movers = {path.name for path in sources if "_registered_model_alias" in path.read_text(encoding="utf-8")}

    assert movers == {"promotion.py"}
