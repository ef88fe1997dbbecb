"""Why the product could not be started: each is one sentence that says what to do."""

from maximus_assets.contracts.errors import Permanent, Retryable


class CannotStartError(Permanent):
    """Something the user has to change first: a port, a folder, a variable."""


class StartFailedError(Retryable):
    """A child did not come up; its log says why."""


class InterruptedStartError(Retryable):
    """Somebody asked for the end before everything was up."""


class StillRunningError(Retryable):
    """What should have been stopped holds its lock still."""
