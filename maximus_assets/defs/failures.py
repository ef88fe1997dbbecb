"""What Dagster does after an error: the two kinds of `contracts.errors`, in its words.

A retry of something permanent burns an hour and says nothing new; not retrying a database that restarts loses a night.
Errors of neither kind pass unchanged: Dagster fails the step with their traceback.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg

from maximus_assets.contracts.errors import Permanent, Retryable

MAX_RETRIES: Final = 5
"""How often a step that may go through later is tried again in one run."""


@contextmanager
def errors_told_to_dagster() -> Iterator[None]:
    """Turn a `Retryable` into a retry after its own delay and a `Permanent` into a failure without retries.

    Raises:
        dagster.RetryRequested: For a `Retryable`.
        dagster.Failure: For a `Permanent`; its description says what to change.
    """
    try:
        yield
    except Retryable as error:
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=error.delay_seconds) from error
    except Permanent as error:
        raise dg.Failure(
            description=str(error), metadata={"kind": type(error).__name__}, allow_retries=False
        ) from error
