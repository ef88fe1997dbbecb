"""The answer of a check or a gate: did it pass, why, and on what figures."""

from pydantic import Field

from maximus_assets.contracts.base import Contract


class Verdict(Contract):
    """What a check or a gate concluded.

    Attributes:
        name: The check, a sentence that is true when it passes, in snake case.
        passed: Whether it did.
        reasons: Why, in words an operator reads; at least one when it failed.
        measured: The figures it rests on, each with its unit in its name.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    passed: bool
    reasons: tuple[str, ...] = ()
    measured: dict[str, float | int | str | bool] = Field(default_factory=dict)
