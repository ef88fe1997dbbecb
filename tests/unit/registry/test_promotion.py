"""Promotion moves aliases on evidence alone, and can be cut short anywhere."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

import maximus_assets
from maximus_assets.contracts.errors import ContractMismatchError, Retryable
from maximus_assets.contracts.naming import (
    CANDIDATE,
    CHAMPION,
    FORECASTER,
    PREVIOUS,
    TAG_DEMOTED_WHY,
    TAG_NOTICE,
    TAG_RECIPE,
    TAG_RETIRED_WHY,
    TAG_WITHDRAWN_AT,
    TAG_WITHDRAWN_WHY,
)
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.registry import promotion
from maximus_assets.registry.promotion import (
    LIVE_GATE,
    REQUIRED_GATES,
    EvidenceMissingError,
    GateNotPassedError,
    NothingToRollBackError,
    Promotion,
    PromotionRefusedError,
    admit,
    challengers,
    demote,
    name_candidate,
    record_verdicts,
    retire,
    rollback,
    unpassed_gates,
)
from maximus_assets.registry.tracking import Registry, Version

MakeVersion = Callable[..., Version]
DAY = timedelta(days=1)


class Still:
    """A clock that stands still."""

    def now(self) -> datetime:
        return datetime(2026, 3, 2, 12, tzinfo=UTC)


def won(challenger: Version, champion: Version, *, passed: bool = True) -> Verdict:
    """Evidence that one beat the other."""
    return Verdict(
        name=LIVE_GATE,
        passed=passed,
        reasons=("told so",),
        measured={"challenger_version": str(challenger.number), "champion_version": str(champion.number)},
    )


def promote(registry: Registry, version: Version) -> Promotion:
    """Promote with evidence against whoever is champion."""
    champion = registry.named(FORECASTER, CHAMPION)
    evidence = None if champion is None else won(version, champion)
    return promotion.promote(registry, version, evidence=evidence, clock=Still())


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

    done = promote(registry, version)

    assert (done.champion.number, done.replaced, done.is_changed) == (
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

    done = rollback(registry, FORECASTER, clock=clock, reason="it was slow")

    assert (done.champion.number, done.replaced) == (good.number, bad.number)
    assert registry.aliases(FORECASTER) == {CHAMPION: good.number}
    tags = registry.version(FORECASTER, bad.number).tags
    assert (tags[TAG_WITHDRAWN_AT], tags[TAG_WITHDRAWN_WHY]) == (clock.now().isoformat(), "it was slow")
    said = registry.client.get_registered_model(FORECASTER).tags[TAG_NOTICE]
    assert said == f"version {bad.number} was taken back at 2026-03-02 12:00 UTC: it was slow"


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


@pytest.mark.parametrize("what", ["missing", "failed", "about_another"])
def test_beside_a_champion_gates_do_not_suffice(
    registry: Registry, make_version: MakeVersion, what: str
) -> None:
    first, second, third = make_version(), make_version(), make_version()
    promote(registry, first)
    evidence = {
        "missing": None,
        "failed": won(third, first, passed=False),
        "about_another": won(second, first),
    }[what]

    with pytest.raises(EvidenceMissingError):
        promotion.promote(registry, third, evidence=evidence, clock=Still())

    assert registry.aliases(FORECASTER) == {CHAMPION: first.number}


def test_what_passed_its_gates_is_champion_at_once_or_goes_into_shadow(
    registry: Registry, make_version: MakeVersion, clock
) -> None:
    first, second = make_version(), make_version()

    alone = admit(registry, first, chance=DAY, clock=clock)
    beside = admit(registry, second, chance=DAY, clock=clock)

    assert (alone.alias, beside.alias) == (CHAMPION, "challenger-nightly")
    assert registry.aliases(FORECASTER) == {CHAMPION: first.number, "challenger-nightly": second.number}


def test_a_champion_that_an_upgrade_left_unusable_gives_way_without_evidence_and_never_comes_back(
    registry: Registry, make_version: MakeVersion, clock
) -> None:
    left, first, second = make_version(contract_version="1"), make_version(), make_version()
    for alias in (CHAMPION, PREVIOUS):
        registry.client.set_registered_model_alias(FORECASTER, alias, str(left.number))

    admission = admit(registry, first, chance=DAY, clock=clock)

    assert admission.alias == CHAMPION
    assert admission.reason == f"version {left.number} was built for another contract version"
    with pytest.raises(NothingToRollBackError, match="another contract version"):
        rollback(registry, FORECASTER, clock=clock)
    assert admit(registry, second, chance=DAY, clock=clock).alias == "challenger-nightly"
    assert demote(registry, FORECASTER, "too bad", clock=clock).champion is None


def test_a_challenger_keeps_its_place_until_it_has_had_its_chance(
    registry: Registry, make_version: MakeVersion, clock
) -> None:
    first, second, third = make_version(), make_version(), make_version()
    for version in (first, second):
        admit(registry, version, chance=DAY, clock=clock)

    clock.advance(3600)
    early = admit(registry, third, chance=DAY, clock=clock)
    clock.advance(24 * 3600)
    late = admit(registry, third, chance=DAY, clock=clock)

    assert (early.alias, late.alias) == (CANDIDATE, "challenger-nightly")
    assert challengers(registry, FORECASTER)["challenger-nightly"].number == third.number
    assert "took its place" in registry.version(FORECASTER, second.number).tags[TAG_RETIRED_WHY]
    with pytest.raises(PromotionRefusedError, match="retired"):
        admit(registry, second, chance=DAY, clock=clock)


def test_each_recipe_has_its_own_place_and_no_more_than_three_are_in_shadow(
    registry: Registry, make_version: MakeVersion, clock
) -> None:
    admit(registry, make_version(), chance=DAY, clock=clock)
    found = []
    for recipe in ("nightly", "drift", "boosted", "another"):
        version = registry.tag(make_version(), {TAG_RECIPE: recipe})
        found.append(admit(registry, version, chance=DAY, clock=clock).alias)

    assert found == ["challenger-nightly", "challenger-drift", "challenger-boosted", CANDIDATE]


def test_a_challenger_that_wins_leaves_the_shadow_and_one_that_is_retired_never_comes_back(
    registry: Registry, make_version: MakeVersion, clock
) -> None:
    first, second = make_version(), make_version()
    third = registry.tag(make_version(), {TAG_RECIPE: "drift"})
    for version in (first, second, third):
        admit(registry, version, chance=DAY, clock=clock)

    promotion.promote(registry, third, evidence=won(third, first), clock=clock)
    retire(registry, "challenger-nightly", second, "it never won", clock=clock)

    assert registry.aliases(FORECASTER) == {CHAMPION: third.number, PREVIOUS: first.number}
    with pytest.raises(PromotionRefusedError):
        admit(registry, second, chance=DAY, clock=clock)


def test_a_demoted_champion_goes_on_in_shadow_and_the_one_before_takes_over(
    registry: Registry, make_version: MakeVersion, clock
) -> None:
    first, second = make_version(), make_version()
    promote(registry, first)
    promote(registry, second)

    done = demote(registry, FORECASTER, "twice the naive's error", clock=clock)
    again = demote(registry, FORECASTER, "no better", clock=clock)

    assert (done.champion.number, done.replaced) == (first.number, second.number)
    assert again.champion is None
    assert registry.aliases(FORECASTER) == {"challenger-demoted": first.number}
    assert registry.version(FORECASTER, second.number).tags[TAG_DEMOTED_WHY] == "twice the naive's error"
    said = registry.client.get_registered_model(FORECASTER).tags[TAG_NOTICE]
    assert said == f"version {first.number} was demoted at 2026-03-02 12:00 UTC: no better"
    third = make_version()
    assert admit(registry, third, chance=DAY, clock=clock).alias == CHAMPION
    assert registry.client.get_registered_model(FORECASTER).tags[TAG_NOTICE] == ""


def test_no_other_module_moves_an_alias() -> None:
    packages = Path(maximus_assets.__file__).parent
    sources = [*packages.rglob("*.py"), *(packages.parent / "serving").rglob("*.py")]

    movers = {path.name for path in sources if "_registered_model_alias" in path.read_text(encoding="utf-8")}

    assert movers == {"promotion.py"}
