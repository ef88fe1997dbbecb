"""What a version of the forecaster has to show before the loop asks it: tags that fit this code, and an answer.

Belongs here: the rules, and what is known of a version that met them. Does not: the registry and MLflow, from which it
comes (`predictors.catalogue`). It is hard because a version can be right in the registry and wrong live: one that fails
here would otherwise fail inside a turn.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from maximus_assets.contracts import naming
from maximus_assets.contracts.errors import ContractMismatchError, Permanent
from maximus_assets.contracts.prediction import FORECAST_INPUT, FORECAST_OUTPUT

if TYPE_CHECKING:
    import pandas as pd

_PROBE_TARGET: Final = "maximus-probe"

Predict = Callable[["pd.DataFrame", int], "pd.DataFrame"]
"""Frames of `FORECAST_INPUT` and a horizon in steps in, frames of `FORECAST_OUTPUT` out."""


class VersionRefusedError(Permanent):
    """A version has the alias and yet cannot be used; the message says why."""


class Loaded(NamedTuple):
    """A version of the forecaster that is in memory and has answered.

    Attributes:
        version: Its number in the registry.
        predict: Answers frames of `FORECAST_INPUT` with frames of `FORECAST_OUTPUT`; takes the horizon in steps.
        load_seconds: How long it took to load and to answer the probe.
        trained_at: When it was learnt, where its tags say so.
    """

    version: str
    predict: Predict
    load_seconds: float
    trained_at: datetime | None = None


def require_tags(tags: Mapping[str, str]) -> None:
    """Refuse a version that was built for another contract, or that does not say which features it was built with.

    Which recipe it is does not matter here, for the features are computed inside the model.

    Args:
        tags: Of the version.

    Raises:
        ContractMismatchError: It does not fit; says why.
    """
    contract = tags.get(naming.TAG_CONTRACT_VERSION)
    if contract != naming.CONTRACT_VERSION:
        msg = f"it was built for contract version {contract or 'unknown'}, this is {naming.CONTRACT_VERSION}"
        raise ContractMismatchError(msg)
    if not tags.get(naming.TAG_FEATURE_RECIPE):
        msg = "it does not say with which feature recipe it was built"
        raise ContractMismatchError(msg)


def trained_at(tags: Mapping[str, str]) -> datetime | None:
    """When a version was learnt; None where its tags do not say so in a way that can be read."""
    try:
        at = datetime.fromisoformat(tags.get(naming.TAG_TRAINED_AT, ""))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else None


def require_answers(predict: Predict, probe: "pd.DataFrame | None") -> None:
    """Let a version answer for a series it never learnt, and for the present windows.

    Args:
        predict: Asks it.
        probe: Live windows (`FORECAST_INPUT`), if there are any yet.

    Raises:
        VersionRefusedError: It fails, or answers for other series or with other columns.
    """
    require_answer(predict, unknown_series())
    if probe is not None and len(probe):
        require_answer(predict, probe)


def unknown_series() -> "pd.DataFrame":
    """Two bins of a series no model ever learnt: the least a forecaster has to have an answer to."""
    import pandas as pd

    frame = pd.DataFrame(
        {
            "target": [_PROBE_TARGET] * 2,
            "sensor": ["request_rate_per_second"] * 2,
            "observed_at": np.array([0, 300], dtype="datetime64[s]").astype("datetime64[us]"),
            "value": [1.0, np.nan],
        }
    )
    return frame[list(FORECAST_INPUT)]


def require_answer(predict: Predict, frame: "pd.DataFrame") -> None:
    """Let a version answer one frame of `FORECAST_INPUT`.

    Raises:
        VersionRefusedError: It fails, or answers for other series or with other columns.
    """
    try:
        answer = predict(frame, 1)
    except Exception as error:
        msg = f"it fails on live windows: {type(error).__name__}: {error}"
        raise VersionRefusedError(msg) from error
    asked = set(zip(frame["target"], frame["sensor"], strict=True))
    answered = set(zip(answer["target"], answer["sensor"], strict=True)) if "sensor" in answer else set()
    if list(answer.columns) != list(FORECAST_OUTPUT) or asked != answered or len(answer) != len(asked):
        msg = f"its answer has {len(answer)} rows of columns {list(answer.columns)} for {len(asked)} series"
        raise VersionRefusedError(msg)
