"""Days of which something could not be read, or of which a Prometheus server has got more since: which to read again, and why.

How often depends on why something is missing. A server that did not answer, or did not let us in, is asked a trivial
question first, and while that fails nothing is read; once it answers, a day is read again at most once an hour. Labels that
fit two series, a query that does not parse, an answer too large stay wrong until the mapping is changed: then their days
are read again. A day whose server holds more raw samples than when it was read is read again once for each number of them
and day of asking, as late rows of our own are.

What is handed back is a key for each day: days of one key are one run, and Dagster starts one run for a key.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from maximus_assets.defs.reading import Kept, records, span_of
from maximus_assets.defs.resources import FramesResource, TelemetrySources
from maximus_assets.telemetry.record import REFUSED, UNANSWERED, counts, to_read_again


@dataclass(frozen=True)
class Incomplete:
    """What a look at the records came to.

    Attributes:
        keys: Day -> why it is to be read again, as part of a run key.
        waiting: How many days wait for a server that does not answer.
    """

    keys: Mapping[date, str]
    waiting: int = 0


def look_for_incomplete(
    sources: TelemetrySources,
    frames: FramesResource,
    days: Sequence[date],
    counted: Sequence[date],
    now: datetime,
) -> Incomplete:
    """Which days should be read again at an instant.

    Args:
        sources: Where rows are counted and servers are asked.
        frames: What is stored.
        days: Those whose records are looked at.
        counted: Those of them of which the servers are asked how much there is.
        now: The instant.
    """
    scraped = sources.scraped()
    if not scraped:
        return Incomplete({})
    kept = records(frames.store(), days)
    keys = look_for_grown(sources, frames, counted, now)
    asked_for = {day: to_read_again(one.record, scraped) for day, one in kept.items()}
    absent = {name for rows in asked_for.values() for name in rows.filter(kind=UNANSWERED)["target"]}
    answer = sources.answering(absent, now) if absent else set()
    mapping = sources.mapping()
    waiting = 0
    for day, rows in asked_for.items():
        unanswered = set(rows.filter(kind=UNANSWERED)["target"])
        if not kept[day].is_of_this_day:
            keys[day] = f"half-written:{now.date()}"
        elif unanswered & answer:
            keys[day] = f"answers:{now:%Y-%m-%dT%H}"
        elif set(rows.filter(kind=REFUSED)["mapping"]) - {mapping}:
            keys[day] = f"mapping:{mapping}"
        elif unanswered:
            waiting += 1
    return Incomplete(keys, waiting)


def look_for_grown(
    sources: TelemetrySources, frames: FramesResource, days: Sequence[date], now: datetime
) -> dict[date, str]:
    """Day -> key of those of which a server holds more than was read; arguments as `look_for_incomplete`."""
    if not sources.scraped():
        return {}
    kept = records(frames.store(), days)
    held = sources.scraped_counts([span_of(day) for day in kept])
    return grown_days(kept, dict(zip(kept, held, strict=True)), now)


def grown_days(
    kept: Mapping[date, Kept], held: Mapping[date, Mapping[str, int]], now: datetime
) -> dict[date, str]:
    """Day -> key of those of which a server holds more raw samples than when the day was read.

    A target that was not counted then, for it is new or its server was away, counts as nothing read.

    Args:
        kept: How the days were read.
        held: Day -> target -> raw samples there are now, of servers that answer.
        now: The instant.
    """
    found: dict[date, str] = {}
    for day, one in kept.items():
        before, there = counts(one.record), held.get(day, {})
        if any(count > before.get(target, 0) for target, count in there.items()):
            found[day] = f"grown:{sum(there.values())}:{now.date()}"
    return found


def by_key(keys: Mapping[date, str], but: Collection[date]) -> dict[str, list[date]]:
    """Key -> its days, without some that are asked for anyway."""
    found: dict[str, list[date]] = {}
    for day in sorted(set(keys) - set(but)):
        found.setdefault(keys[day], []).append(day)
    return found
