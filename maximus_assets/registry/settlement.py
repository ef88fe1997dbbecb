"""Who is champion, settled on live evidence: one pass over the aliases that can be made at any time, and made again.

The order matters. Drift is looked for first, because a champion that drifted is replaced on less evidence. A challenger
that wins takes the place before a champion that fails could be demoted. What is spent leaves the shadow, and a candidate
that waited goes in. Every verdict is written on the version it is about.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import polars as pl

from maximus_assets.checks.drift import REFERENCE, input_resembles_training, live_error_is_as_backtested
from maximus_assets.checks.live import (
    Judgement,
    Rules,
    Standing,
    champion_holds_against_naive,
    judge_challenger,
    scored,
)
from maximus_assets.contracts.clock import Clock
from maximus_assets.contracts.naming import (
    CANDIDATE,
    CHAMPION,
    TAG_DEMOTED_AT,
    TAG_DRIFT_SEEN_AT,
    TAG_DRIFTED_AT,
    TAG_DRIFTED_SERIES,
    TAG_DRIFTED_WHY,
    TAG_EVIDENCE,
    TAG_PROMOTED_AT,
    TAG_SHADOWED_AT,
    TAG_TRAINED_AT,
)
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.registry.card import live_section
from maximus_assets.registry.packaging import REFERENCE as REFERENCE_FILE
from maximus_assets.registry.promotion import (
    Admission,
    PromotionRefusedError,
    admit,
    age,
    challengers,
    demote,
    is_usable,
    last_evidence,
    promote,
    retire,
    unpassed_gates,
)
from maximus_assets.registry.tracking import Registry, Version, VersionNotFoundError
from maximus_assets.telemetry.outcomes import MAXIMUM_SPAN, Outcomes

Read = Callable[[datetime, datetime], Outcomes]

DEMOTION_HOURS: Final = 12
"""Hours of outcomes before a champion may be demoted: an incident is over by then."""

CHANCE: Final = 1.5
"""How much longer than the evidence must be a challenger keeps its place against a newer one of its recipe."""

DRIFT_IS_OVER: Final = timedelta(hours=24)
"""How long a champion that has drifted must resemble its training again before it counts as one that has not."""

_SOON: Final = timedelta(hours=1)
"""A champion younger than this has no hour of outcomes yet, and nothing is read."""


class _Evidence(NamedTuple):
    """What challengers are judged by."""

    scores: pl.DataFrame
    known_series: int
    covered: Mapping[str, frozenset[str]]
    rules: Rules
    now: datetime


@dataclass(frozen=True)
class Settlement:
    """What came of a pass.

    Attributes:
        champion: The champion now, None when there is none.
        replaced: Number of the champion before, None when it is the same or there was none.
        drift: Verdicts on the champion's input and error and on how it holds against the naive; empty without evidence.
        judgements: Alias -> what was concluded of each challenger.
        events: What was changed, in words and in order.
    """

    champion: Version | None
    replaced: int | None = None
    drift: tuple[Verdict, ...] = ()
    judgements: dict[str, Judgement] | None = None
    events: tuple[str, ...] = ()


def settle(registry: Registry, name: str, *, read: Read, rules: Rules, clock: Clock) -> Settlement:
    """Make one pass.

    Args:
        registry: The registry.
        name: The registered model.
        read: Gives the evidence of a span of time; asked only when there may be some.
        rules: How much evidence is enough.
        clock: The present.

    Raises:
        Retryable: The registry or the evidence could not be reached; calling again goes on.
    """
    champion = registry.named(name, CHAMPION)
    if champion is None or not is_usable(champion):
        return _without_champion(registry, name, clock, unusable=champion)
    now = clock.now()
    if age(champion, TAG_PROMOTED_AT, now) < _SOON:
        return Settlement(champion, events=_let_in(registry, name, champion, rules, clock))
    since = now - min(MAXIMUM_SPAN, age(champion, TAG_PROMOTED_AT, now))
    outcomes = read(since, now)
    scores = scored(outcomes)
    drift = _drift(registry, champion, outcomes, scores, now)
    champion, said = _follow_drift(registry, champion, drift[:2], now)
    events = [*said]
    _describe(registry, champion)
    evidence = _Evidence(scores, outcomes.known_series, outcomes.covered, rules, now)
    judgements = _judge(registry, champion, evidence)
    won = [alias for alias, it in judgements.items() if it.action == "promote"]
    settled = champion
    replaced = None
    if won:
        best = min(won, key=lambda alias: float(judgements[alias].verdict.measured["error_ratio"]))
        winner = challengers(registry, name)[best]
        promotion = promote(registry, winner, evidence=judgements[best].verdict, clock=clock)
        assert promotion.champion is not None
        settled, replaced = promotion.champion, champion.number
        events.append(
            f"version {winner.number} ({best}) is champion instead of version {champion.number}: "
            + "; ".join(judgements[best].verdict.reasons)
        )
    elif not drift[2].passed:
        demotion = demote(registry, name, "; ".join(drift[2].reasons), clock=clock)
        events.append(f"version {champion.number} was demoted: {'; '.join(drift[2].reasons)}")
        if demotion.champion is None:
            found = _without_champion(registry, name, clock)
            return Settlement(found.champion, champion.number, drift, judgements, (*events, *found.events))
        settled, replaced = demotion.champion, champion.number
    else:
        for alias, judgement in judgements.items():
            if judgement.action == "retire":
                version = challengers(registry, name)[alias]
                why = "; ".join(judgement.verdict.reasons)
                retire(registry, alias, version, why, clock=clock)
                events.append(f"version {version.number} ({alias}) was retired: {why}")
    events += _let_in(registry, name, settled, rules, clock)
    for version in challengers(registry, name).values():
        _describe(registry, version)
    _describe(registry, settled)
    return Settlement(settled, replaced, drift, judgements, tuple(events))


def chance(rules: Rules, *, has_drifted: bool) -> timedelta:
    """How long a challenger keeps its place in shadow against a newer one of its recipe."""
    return timedelta(hours=CHANCE * rules.hours(has_drifted=has_drifted))


def admit_candidate(registry: Registry, version: Version, *, rules: Rules, clock: Clock) -> Admission:
    """`promotion.admit` with the chance that the rules leave the challenger before it.

    Raises:
        Permanent: It may not go in, whatever is in shadow.
        Retryable: The registry went away.
    """
    champion = registry.named(version.name, CHAMPION)
    has_drifted = champion is not None and TAG_DRIFTED_AT in champion.tags
    return admit(registry, version, chance=chance(rules, has_drifted=has_drifted), clock=clock)


def _without_champion(
    registry: Registry, name: str, clock: Clock, unusable: Version | None = None
) -> Settlement:
    """The newest version that passed its gates and was never demoted, if there is one: there the gates suffice.

    So they do where the champion is one that the code that serves cannot load.
    """
    if unusable is not None:
        found = _without_champion(registry, name, clock)
        why = f"version {unusable.number} was built for another contract and cannot be used"
        return replace(found, replaced=unusable.number, events=(why, *found.events))
    waiting = [*challengers(registry, name).values(), registry.named(name, CANDIDATE)]
    for version in sorted((it for it in waiting if it is not None), key=lambda it: -it.number):
        if TAG_DEMOTED_AT in version.tags or not is_usable(version) or unpassed_gates(version):
            continue
        try:
            promotion = promote(registry, version, clock=clock)
        except PromotionRefusedError:
            continue
        return Settlement(
            promotion.champion, events=(f"version {version.number} is champion: there was none",)
        )
    return Settlement(None, events=("there is no champion, and no version that could be",))


def _drift(
    registry: Registry, champion: Version, outcomes: Outcomes, scores: pl.DataFrame, now: datetime
) -> tuple[Verdict, Verdict, Verdict]:
    number = str(champion.number)
    reference = _reference(registry, champion)
    return (
        input_resembles_training(outcomes.actuals, reference, now),
        live_error_is_as_backtested(scores, reference, number),
        champion_holds_against_naive(scores, number, DEMOTION_HOURS),
    )


def _follow_drift(
    registry: Registry, champion: Version, verdicts: Sequence[Verdict], now: datetime
) -> tuple[Version, tuple[str, ...]]:
    """The champion with what is known of its drift in its tags, and what changed, in words.

    A drift is over once it was not seen for a while: judged and passed, for what nobody could judge is no sign that it is.

    Args:
        registry: The registry.
        champion: The champion.
        verdicts: On its input and its error.
        now: The present.
    """
    failed = [verdict for verdict in verdicts if not verdict.passed]
    seen = {TAG_DRIFT_SEEN_AT: now.isoformat()}
    if TAG_DRIFTED_AT not in champion.tags:
        if not failed:
            return champion, ()
        why = "; ".join(reason for verdict in failed for reason in verdict.reasons)
        named = {name for verdict in verdicts for name in str(verdict.measured["drifted_series"]).split(",")}
        tags = {
            **seen,
            TAG_DRIFTED_AT: now.isoformat(),
            TAG_DRIFTED_WHY: why,
            TAG_DRIFTED_SERIES: ",".join(sorted(named - {""})),
        }
        return registry.tag(champion, tags), (f"version {champion.number} has drifted: {why}",)
    if failed:
        return registry.tag(champion, seen), ()
    seen_at = datetime.fromisoformat(champion.tags.get(TAG_DRIFT_SEEN_AT) or champion.tags[TAG_DRIFTED_AT])
    is_judged = all(int(verdict.measured["series_count"]) > 0 for verdict in verdicts)
    if not is_judged or now - seen_at < DRIFT_IS_OVER:
        return champion, ()
    over = (TAG_DRIFTED_AT, TAG_DRIFT_SEEN_AT, TAG_DRIFTED_WHY, TAG_DRIFTED_SERIES)
    said = f"version {champion.number} has not been seen to drift since {seen_at:%Y-%m-%d %H:%M} UTC"
    return registry.untag(champion, over), (said,)


def _reference(registry: Registry, version: Version) -> pl.DataFrame:
    """What the version carries to be held against, nothing when it is of before there was such a thing."""
    with TemporaryDirectory(prefix="maximus-reference-") as folder:
        try:
            path = registry.download(version, f"evidence/{REFERENCE_FILE}", Path(folder))
        except VersionNotFoundError:
            return pl.DataFrame(schema=REFERENCE)
        return pl.read_parquet(path)


def _judge(registry: Registry, champion: Version, evidence: "_Evidence") -> dict[str, Judgement]:
    """Judge every challenger and write the verdict on it."""
    scores, known_series, covered, rules, now = evidence
    known = covered.get(str(champion.number), frozenset())
    judged = {}
    for alias, version in challengers(registry, champion.name).items():
        theirs = covered.get(str(version.number), frozenset())
        standing = Standing(
            champion=str(champion.number),
            challenger=str(version.number),
            champion_age_hours=age(champion, TAG_TRAINED_AT, now) / timedelta(hours=1),
            shadow_hours=age(version, TAG_SHADOWED_AT, now) / timedelta(hours=1),
            has_drifted=TAG_DRIFTED_AT in champion.tags,
            added_series=len(theirs - known) if known <= theirs else 0,
        )
        judged[alias] = judgement = judge_challenger(scores, standing, rules, known_series)
        registry.tag(version, {TAG_EVIDENCE: judgement.verdict.model_dump_json()})
    return judged


def _let_in(registry: Registry, name: str, champion: Version, rules: Rules, clock: Clock) -> tuple[str, ...]:
    """Let a candidate that waited into shadow, if there is a place now."""
    candidate = registry.named(name, CANDIDATE)
    is_known = (
        candidate is None
        or candidate.number <= champion.number
        or not is_usable(candidate)
        or bool(unpassed_gates(candidate))
    )
    if (
        candidate is None
        or is_known
        or candidate.number in {it.number for it in challengers(registry, name).values()}
    ):
        return ()
    try:
        admission = admit_candidate(registry, candidate, rules=rules, clock=clock)
    except PromotionRefusedError:
        return ()
    if admission.alias == CANDIDATE:
        return ()
    return (f"version {candidate.number} is {admission.alias}: {admission.reason}",)


def _describe(registry: Registry, version: Version) -> None:
    """Put what is known of a version live before its card."""
    version = registry.version(version.name, version.number)
    registry.describe(version, live_section(version.tags, last_evidence(version)))
