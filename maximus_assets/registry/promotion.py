"""Which version has which alias. This module alone moves one.

trained -> `candidate` -> (every required gate passed) -> `challenger-<recipe>`, in shadow -> (live evidence) -> `champion`;
the champion it replaces becomes `previous`. While there is no champion, the gates suffice. A champion that turns out to
be worse than repeating a season goes back into shadow (`demote`); one that somebody does not want any more is taken back
for good (`rollback`).

What is hard: a promotion is several writes to a store without transactions, and the loop reads the champion at any
moment. So `previous` is written before the champion, what is no longer needed is removed last, and each call can be
repeated after a crash at any point. A version taken back is marked as withdrawn first, or the next nightly run would
promote it again. Only a demotion without a previous champion leaves none; the registered model then says why. A champion
of another contract version, as an upgrade leaves behind, is never asked and so can never be beaten: it counts as none.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from maximus_assets.contracts.clock import Clock
from maximus_assets.contracts.errors import ContractMismatchError, Permanent
from maximus_assets.contracts.naming import (
    CANDIDATE,
    CHALLENGER_PREFIX,
    CHAMPION,
    CONTRACT_VERSION,
    DEMOTED_RECIPE,
    MAXIMUM_CHALLENGERS,
    NIGHTLY_RECIPE,
    PREVIOUS,
    TAG_CONTRACT_VERSION,
    TAG_DEMOTED_AT,
    TAG_DEMOTED_WHY,
    TAG_EVIDENCE,
    TAG_GATE_PREFIX,
    TAG_NOTICE,
    TAG_PROMOTED_AT,
    TAG_RECIPE,
    TAG_RETIRED_AT,
    TAG_RETIRED_WHY,
    TAG_SHADOWED_AT,
    TAG_WITHDRAWN_AT,
    TAG_WITHDRAWN_WHY,
    challenger,
)
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.registry.tracking import Registry, Version, registry_errors

REQUIRED_GATES: Final[tuple[str, ...]] = (
    "forecaster_beats_seasonal_naive",
    "interval_coverage_holds",
    "prediction_is_fast",
    "packaged_model_reproduces_training",
    "champion_series_are_kept",
)
"""Checks without whose `passed` no version becomes champion. Pinned here: a check that is renamed, or no longer run,
leaves its gate unpassed and stops promotion instead of opening it."""

LIVE_GATE: Final = "challenger_beats_champion"
"""The verdict without which no version takes a champion's place."""


class GateNotPassedError(Permanent):
    """A required gate failed, or was never judged."""


class EvidenceMissingError(Permanent):
    """There is a champion, and no evidence that this version is better than it."""


class PromotionRefusedError(Permanent):
    """The version may not become champion whatever its gates say."""


class NothingToRollBackError(Permanent):
    """There is no previous champion."""


@dataclass(frozen=True)
class Promotion:
    """What a promotion, a demotion or a rollback came to.

    Attributes:
        champion: The champion now; None after a demotion without a previous champion.
        replaced: Number of the version that was champion before, None when there was none or it is the same.
        is_changed: Whether the champion is another than before.
    """

    champion: Version | None
    replaced: int | None
    is_changed: bool


@dataclass(frozen=True)
class Admission:
    """What became of a version that passed its gates.

    Attributes:
        alias: What it is now: `champion`, `challenger-<recipe>`, or `candidate` while no place in shadow is free.
        reason: Why, in words.
    """

    alias: str
    reason: str


def record_verdicts(registry: Registry, version: Version, verdicts: tuple[Verdict, ...]) -> Version:
    """Write one gate tag for each verdict on the version; a verdict given again replaces the one before it."""
    tags = {TAG_GATE_PREFIX + v.name: "passed" if v.passed else "failed" for v in verdicts}
    return registry.tag(version, tags)


def unpassed_gates(version: Version) -> tuple[str, ...]:
    """The required gates this version has not passed, each with what its tag says."""
    said = {gate: version.tags.get(TAG_GATE_PREFIX + gate, "never judged") for gate in REQUIRED_GATES}
    return tuple(f"{gate}: {what}" for gate, what in said.items() if what != "passed")


def challengers(registry: Registry, name: str) -> dict[str, Version]:
    """Alias -> version of those in shadow, by alias."""
    aliases = sorted(registry.aliases(name).items())
    return {
        alias: registry.version(name, number)
        for alias, number in aliases
        if alias.startswith(CHALLENGER_PREFIX)
    }


def is_of_this_contract(version: Version) -> bool:
    """Whether this code can use the version at all."""
    return version.tags.get(TAG_CONTRACT_VERSION) == CONTRACT_VERSION


def name_candidate(registry: Registry, version: Version) -> None:
    """Give the alias `candidate` to a newly registered version."""
    _point(registry, version, CANDIDATE)


def admit(registry: Registry, version: Version, *, chance: timedelta, clock: Clock) -> Admission:
    """Let a version that passed its gates in: as champion where there is none, else into shadow.

    The challenger of the same recipe makes room once it has had its chance; until then the newer one waits as candidate.

    Args:
        registry: The registry it is in.
        version: The version; its tags are read anew.
        chance: How long a challenger keeps its place against a newer one of its recipe.
        clock: When it went in is written on it.

    Raises:
        GateNotPassedError: A required gate failed or is missing.
        ContractMismatchError: It was built for another contract version.
        PromotionRefusedError: It was withdrawn, or is older than the champion (a run that was overtaken).
        Retryable: The registry went away; calling again finishes it.
    """
    version = registry.version(version.name, version.number)
    _refuse_unfit(version)
    champion = registry.named(version.name, CHAMPION)
    if champion is None or champion.number == version.number or not is_of_this_contract(champion):
        promotion = promote(registry, version, clock=clock)
        reason = "there was no champion" if promotion.is_changed else "it is the champion already"
        if promotion.replaced is not None:
            reason = f"version {promotion.replaced} was built for another contract version"
        return Admission(CHAMPION, reason)
    _refuse_older(version, champion)
    alias = challenger(version.tags.get(TAG_RECIPE) or NIGHTLY_RECIPE)
    others = challengers(registry, version.name)
    before = others.get(alias)
    if before is not None and before.number == version.number:
        return Admission(alias, "it is in shadow already")
    if before is not None and _since(before, TAG_SHADOWED_AT, clock.now()) < chance:
        return Admission(CANDIDATE, f"version {before.number} is in shadow and has not had its chance yet")
    if before is None and len(others) >= MAXIMUM_CHALLENGERS:
        return Admission(CANDIDATE, f"{len(others)} versions are in shadow, and no more may be")
    if before is not None:
        _mark_retired(registry, before, f"version {version.number} took its place", clock)
    registry.tag(version, {TAG_SHADOWED_AT: clock.now().isoformat()})
    _point(registry, version, alias)
    return Admission(alias, f"it is judged live beside version {champion.number}")


def promote(
    registry: Registry, version: Version, *, evidence: Verdict | None = None, clock: Clock
) -> Promotion:
    """Make a version the champion; the champion until now becomes `previous`.

    Promoting the champion again changes nothing.

    Args:
        registry: The registry it is in.
        version: The version; its tags are read anew.
        evidence: That it is better than the champion; needed where there is one that can be used.
        clock: When it became champion is written on it.

    Raises:
        GateNotPassedError: A required gate failed or is missing.
        EvidenceMissingError: There is another champion and the evidence is missing, failed, or about other versions.
        ContractMismatchError: It was built for another contract version.
        PromotionRefusedError: It was withdrawn, or is older than the champion (a run that was overtaken).
        Retryable: The registry went away; calling again finishes the promotion.
    """
    version = registry.version(version.name, version.number)
    _refuse_unfit(version)
    champion = registry.named(version.name, CHAMPION)
    if champion is not None and champion.number == version.number:
        _leave_shadow(registry, version)
        return Promotion(champion=champion, replaced=None, is_changed=False)
    if champion is not None:
        if (
            TAG_DEMOTED_AT not in version.tags
        ):  # that one is older by nature, and comes back on evidence alone
            _refuse_older(version, champion)
        if is_of_this_contract(champion):
            _refuse_without(evidence, version, champion)
            _point(registry, champion, PREVIOUS)
    tags = {TAG_PROMOTED_AT: clock.now().isoformat()}
    if evidence is not None:
        tags[TAG_EVIDENCE] = evidence.model_dump_json()
    version = registry.tag(version, tags)
    if evidence is not None:
        version = record_verdicts(registry, version, (evidence,))
    _point(registry, version, CHAMPION)
    _notice(registry, version.name, "")
    _leave_shadow(registry, version)
    return Promotion(champion=version, replaced=champion.number if champion else None, is_changed=True)


def retire(registry: Registry, alias: str, version: Version, reason: str, *, clock: Clock) -> None:
    """Take a challenger out of shadow; it is not let in again.

    Args:
        registry: The registry it is in.
        alias: Its alias.
        version: The version.
        reason: Why, in words.
        clock: When is written on it.
    """
    _mark_retired(registry, version, reason, clock)
    if registry.aliases(version.name).get(alias) == version.number:
        _remove(registry, version.name, alias)


def demote(registry: Registry, name: str, reason: str, *, clock: Clock) -> Promotion:
    """Put the champion back into shadow; the previous champion takes over, or none does and the loop sizes reactively.

    Args:
        registry: The registry.
        name: The registered model.
        reason: Why, in words; the registered model says so until there is another champion.
        clock: When is written on it.

    Raises:
        PromotionRefusedError: There is no champion.
        Retryable: The registry went away; calling again finishes the demotion.
    """
    champion, previous = registry.named(name, CHAMPION), registry.named(name, PREVIOUS)
    if champion is None:
        raise PromotionRefusedError(f"{name} has no champion to demote")
    now = clock.now()
    registry.tag(
        champion,
        {TAG_DEMOTED_AT: now.isoformat(), TAG_DEMOTED_WHY: reason, TAG_SHADOWED_AT: now.isoformat()},
    )
    _point(registry, champion, challenger(DEMOTED_RECIPE))
    _notice(registry, name, f"version {champion.number} was demoted at {now:%Y-%m-%d %H:%M} UTC: {reason}")
    may_return = (
        previous is not None
        and is_of_this_contract(previous)
        and not {TAG_DEMOTED_AT, TAG_WITHDRAWN_AT} & previous.tags.keys()
    )
    if previous is not None and may_return and previous.number != champion.number:
        _point(registry, registry.tag(previous, {TAG_PROMOTED_AT: now.isoformat()}), CHAMPION)
    else:
        previous = None
        _remove(registry, name, CHAMPION)
    _remove(registry, name, PREVIOUS)
    return Promotion(champion=previous, replaced=champion.number, is_changed=True)


def rollback(registry: Registry, name: str, *, clock: Clock, reason: str = "asked for") -> Promotion:
    """Make the previous champion the champion again and withdraw the present one for good.

    Args:
        registry: The registry.
        name: The registered model.
        clock: When it was withdrawn is written on it.
        reason: Why, in words; written on it too.

    Raises:
        NothingToRollBackError: There is no champion, or none before it that can be used.
        Retryable: The registry went away; calling again finishes the rollback.
    """
    champion, previous = registry.named(name, CHAMPION), registry.named(name, PREVIOUS)
    if champion is None or previous is None:
        raise NothingToRollBackError(f"{name} has no previous champion to go back to")
    if not is_of_this_contract(previous):
        raise NothingToRollBackError(f"{previous}, champion before, was built for another contract version")
    is_changed = champion.number != previous.number
    if is_changed:
        now = clock.now()
        registry.tag(champion, {TAG_WITHDRAWN_AT: now.isoformat(), TAG_WITHDRAWN_WHY: reason})
        _notice(
            registry, name, f"version {champion.number} was taken back at {now:%Y-%m-%d %H:%M} UTC: {reason}"
        )
        previous = registry.tag(previous, {TAG_PROMOTED_AT: now.isoformat()})
        _point(registry, previous, CHAMPION)
    # Last, so that a rollback cut short is finished by the next call rather than refused by it.
    _remove(registry, name, PREVIOUS)
    return Promotion(
        champion=previous, replaced=champion.number if is_changed else None, is_changed=is_changed
    )


def last_evidence(version: Version) -> Verdict | None:
    """The last live verdict on a version, None when there is none."""
    said = version.tags.get(TAG_EVIDENCE)
    return None if not said else Verdict.model_validate(json.loads(said))


def age(version: Version, tag: str, now: datetime) -> timedelta:
    """Time since the instant in a tag, since the registration where there is no such tag."""
    return _since(version, tag, now)


def _since(version: Version, tag: str, now: datetime) -> timedelta:
    said = version.tags.get(tag)
    return now - (datetime.fromisoformat(said) if said else version.created_at)


def _refuse_unfit(version: Version) -> None:
    if (withdrawn := version.tags.get(TAG_WITHDRAWN_AT)) is not None:
        raise PromotionRefusedError(f"{version} was withdrawn at {withdrawn}; train a new one")
    if (retired := version.tags.get(TAG_RETIRED_AT)) is not None:
        raise PromotionRefusedError(f"{version} was retired from shadow at {retired}; train a new one")
    if not is_of_this_contract(version):
        built_for = version.tags.get(TAG_CONTRACT_VERSION)
        raise ContractMismatchError(
            f"{version} was built for contract version {built_for or 'unknown'}, this is {CONTRACT_VERSION}"
        )
    if unpassed := unpassed_gates(version):
        raise GateNotPassedError(f"{version} is not promoted: {'; '.join(unpassed)}")


def _refuse_older(version: Version, champion: Version) -> None:
    if champion.number > version.number:
        raise PromotionRefusedError(
            f"{version} is older than the champion, version {champion.number}; use rollback to go back"
        )


def _refuse_without(evidence: Verdict | None, version: Version, champion: Version) -> None:
    if evidence is None or evidence.name != LIVE_GATE:
        raise EvidenceMissingError(
            f"{version} is not promoted: nothing shows that it is better than version {champion.number}"
        )
    about = (evidence.measured.get("challenger_version"), evidence.measured.get("champion_version"))
    if about != (str(version.number), str(champion.number)):
        raise EvidenceMissingError(
            f"{version} is not promoted: the evidence is about version {about[0]} against {about[1]}"
        )
    if not evidence.passed:
        raise EvidenceMissingError(f"{version} is not promoted: {'; '.join(evidence.reasons)}")


def _mark_retired(registry: Registry, version: Version, reason: str, clock: Clock) -> None:
    registry.tag(version, {TAG_RETIRED_AT: clock.now().isoformat(), TAG_RETIRED_WHY: reason})


def _leave_shadow(registry: Registry, version: Version) -> None:
    for alias, number in registry.aliases(version.name).items():
        if alias.startswith(CHALLENGER_PREFIX) and number == version.number:
            _remove(registry, version.name, alias)


def _notice(registry: Registry, name: str, words: str) -> None:
    with registry_errors(f"writing why the champion of {name} changed"):
        registry.client.set_registered_model_tag(name, TAG_NOTICE, words)


def _remove(registry: Registry, name: str, alias: str) -> None:
    with registry_errors(f"removing alias {alias} of {name}"):
        registry.client.delete_registered_model_alias(name, alias)


def _point(registry: Registry, version: Version, alias: str) -> None:
    with registry_errors(f"setting alias {alias} of {version.name} to version {version.number}"):
        registry.client.set_registered_model_alias(version.name, alias, str(version.number))
