"""The one look of all pictures: size, colours, axes; and a figure as bounded PNG bytes, or as Markdown that shows it.

A picture rides in the metadata of an event, which is a row in a database: its size is bounded by drawing it coarser, never
by leaving something out.
"""

import base64
import io
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BYTES: Final = 150_000
"""Largest picture: 200 kB as text."""

WIDTH: Final = 8.0
"""Inches. At 100 dots an inch a picture fills the metadata column of a page and can still be read at half the size."""

INK: Final = "#1f2933"
FAINT: Final = "#9aa5b1"
DATA: Final = "#334e68"
FORECAST: Final = "#0b69a3"
GOOD: Final = "#187741"
BAD: Final = "#ba2525"
GAP: Final = "#f0b429"
"""Colours, the same thing in the same colour everywhere; they differ in lightness too."""

_RESOLUTIONS: Final = (100, 80, 60, 45)
_TITLE, _TEXT, _SMALL = 11, 9, 8


class PictureTooLargeError(ValueError):
    """A picture is above the limit even at the coarsest resolution: it has too many panels."""


def figure(title: str, height: float) -> "Figure":
    """An empty figure.

    Args:
        title: What it shows, in a sentence a newcomer reads.
        height: Inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(made)
    made.suptitle(title, fontsize=_TITLE, color=INK, x=0.01, ha="left")
    return made


def style(axes: "Axes", title: str = "", unit: str = "") -> None:
    """Give a panel the look: no box, faint grid, readable text.

    Args:
        axes: The panel.
        title: Above it.
        unit: Of its vertical axis.
    """
    axes.set_facecolor("white")
    axes.set_title(title, fontsize=_TEXT, color=INK, loc="left")
    axes.set_ylabel(unit, fontsize=_SMALL, color=INK)
    axes.tick_params(labelsize=_SMALL, colors=INK, length=3)
    axes.grid(visible=True, color="#e4e7eb", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)


def clock_axis(axes: "Axes", span: timedelta) -> None:
    """Label a horizontal axis of instants (UTC) as densely as its span allows.

    Args:
        axes: The panel.
        span: From its first to its last instant.
    """
    from matplotlib.dates import AutoDateLocator, DateFormatter

    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=7))  # type: ignore[no-untyped-call]
    pattern = (
        "%H:%M" if span <= timedelta(days=1, hours=1) else "%a %d" if span <= timedelta(days=8) else "%d %b"
    )
    axes.xaxis.set_major_formatter(DateFormatter(pattern))  # type: ignore[no-untyped-call]


def legend(axes: "Axes") -> None:
    """A legend in one line along the top of a panel, with room made for it."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.16 * (high - low))
    axes.legend(fontsize=_SMALL, frameon=False, loc="upper left", ncols=3, labelcolor=INK)


def note(axes: "Axes", text: str) -> None:
    """Say in a panel why it is empty."""
    axes.text(
        0.5,
        0.5,
        text,
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=_TEXT,
        color=FAINT,
        wrap=True,
    )


def to_png(made: "Figure", max_bytes: int = MAX_BYTES, resolutions: Sequence[int] = _RESOLUTIONS) -> bytes:
    """A figure as PNG, as fine as the limit allows.

    Args:
        made: The figure.
        max_bytes: Largest size.
        resolutions: Dots an inch to try, finest first.

    Raises:
        PictureTooLargeError: It is too large at every resolution.
    """
    for resolution in resolutions:
        stream = io.BytesIO()
        made.savefig(stream, format="png", dpi=resolution)
        if stream.tell() <= max_bytes:
            return stream.getvalue()
    raise PictureTooLargeError(
        f"{stream.tell():,} bytes at {resolutions[-1]} dots an inch, at most {max_bytes:,}"
    )


def as_markdown(png: bytes, alt: str) -> str:
    """Markdown that shows a picture wherever Markdown is rendered, without a file.

    Args:
        png: The picture.
        alt: What it shows, for those who cannot see it.
    """
    said = alt.replace("[", "(").replace("]", ")")
    return f"![{said}](data:image/png;base64,{base64.b64encode(png).decode()})"
