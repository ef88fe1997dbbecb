"""What kind of error it was decides what happens next.

A `Retryable` error carries a delay after which trying again makes sense; a `Permanent` one will fail the same way
until somebody changes something, and its message says what. An error that is neither slows the loop, never ends it,
and never lets it act.
"""


class MaximusError(Exception):
    """Root of every error this product raises on purpose."""


class Retryable(MaximusError):
    """It may go through later.

    Args:
        message: What happened, where.
        delay_seconds: How long to wait before the next try, > 0.
    """

    def __init__(self, message: str, *, delay_seconds: float = 5.0) -> None:
        super().__init__(message)
        self.delay_seconds = delay_seconds


class Permanent(MaximusError):
    """It will fail the same way until somebody changes something; the message says what."""


class BadInputError(Permanent):
    """Input that cannot be accepted; names what and where, and nothing of it was kept.

    Args:
        message: What is wrong and what to do about it.
        source: The file, setting or request it was found in.
        row: 1-based data row (the header is row 0), when there is one.
        column: Column or option name, when there is one.
    """

    def __init__(
        self, message: str, *, source: str, row: int | None = None, column: str | None = None
    ) -> None:
        where = source
        if row is not None:
            where += f", row {row}"
        if column is not None:
            where += f", {'option' if column.startswith('--') else 'column'} {column}"
        super().__init__(f"{where}: {message}")
        self.source = source
        self.row = row
        self.column = column


class ContractMismatchError(Permanent):
    """Two sides of the seam were built for different contract versions."""
