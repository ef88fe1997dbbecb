"""When Python looks for garbage that reference counts do not find: between turns, never in one.

Belongs here: what the interpreter is told. Does not: when a turn begins and ends (`runner`). It matters because a full
collection walks every object there is, a champion's million with them, and holds everything up for a quarter of a second;
Python begins one whenever enough was allocated, which is mostly within a turn (Python manual, module `gc`).
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_alone() -> Iterator[None]:
    """No collection meanwhile; afterwards Python makes up for it by itself."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def settle() -> None:
    """Something large was loaded in place of something large: end the one, and leave the other out of collections to come.

    What was before holds itself, so only a full collection ends it; what is there now stays until the next time.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
