"""How a command ends: what went wrong in one sentence on standard error, and the exit code that says which kind."""

import contextlib
import errno
import sys
from collections.abc import Iterator
from enum import IntEnum

import typer

from maximus_assets.contracts.errors import MaximusError, Permanent


class Exit(IntEnum):
    """Exit codes."""

    DONE = 0
    FAILED = 1
    WRONG_INPUT = 2
    NOT_RUNNING = 3
    INTERRUPTED = 130


class UnreachableError(MaximusError):
    """Nothing answers where the product should be."""


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn the errors this product raises on purpose into a sentence and an exit code; others keep their traceback."""
    try:
        yield
    except UnreachableError as error:
        leave(str(error), Exit.NOT_RUNNING)
    except Permanent as error:
        leave(str(error), Exit.WRONG_INPUT)
    except MaximusError as error:
        leave(str(error), Exit.FAILED)
    except KeyboardInterrupt:
        leave("", Exit.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has read enough (`maximus decisions | head`); nothing may be flushed to it any more.
        sys.stdout = None
        raise typer.Exit(Exit.DONE) from None
    except PermissionError as error:
        leave(
            f"{error.filename} belongs to another user ({error.strerror}): run this as that user, or set "
            "MAXIMUS_DATA_DIR to a folder of yours.",
            Exit.WRONG_INPUT,
        )
    except OSError as error:
        if error.filename is None:
            raise
        what = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "see MAXIMUS_DATA_DIR"
        leave(f"{error.filename} cannot be used ({error.strerror}): {what}.", Exit.FAILED)


def leave(sentence: str, code: Exit) -> None:
    """Say the sentence on standard error and end with the code."""
    if sentence:
        typer.echo(sentence, err=True)
    raise typer.Exit(code) from None
