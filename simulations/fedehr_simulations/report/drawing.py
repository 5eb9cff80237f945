"""`Drawing`: a matplotlib figure as inline SVG that follows the page's light or dark colors.

Figures are drawn in placeholder colors that become CSS variables, so one picture serves
both. The same figure always gives the same text: no date, no random identifiers.
"""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID = "#010101", "#020202", "#030303"
SERIES = ("#0a0101", "#0a0202", "#0a0303", "#0a0404", "#0a0505", "#0a0606")
MARKERS = ("o", "s", "D", "^", "v", "P")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (8, 2)))
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    **{color: f"var(--series-{number})" for number, color in enumerate(SERIES, start=1)},
}
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fedehr",
    # Names of sites and studies are text, never formulas.
    "text.parse_math": False,
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
WIDTH_INCHES = 4.5


def draw_svg(
    name: str,
    title: str,
    description: str,
    height_inches: float,
    paint: Callable[["Axes"], None],
) -> Markup:
    """Draw one pair of axes with `paint` and return it as inline SVG.

    Args:
        name: unique in the page; begins every identifier of the SVG.
        title: what a screen reader says first.
        description: what the picture shows, in words.
        height_inches: height; the width is `WIDTH_INCHES`.
        paint: draws on the axes, in the colors above.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return Markup(_inline(buffer.getvalue(), name, title, description))


def _inline(svg: str, name: str, title: str, description: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'(<[a-zA-Z][^<>]*? id=")', rf"\g<1>{name}-", svg)
    svg = svg.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'xlink:href="#{name}-')
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    head = (
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>'
    )
    labelled = f'<svg role="img" aria-labelledby="{name}-title {name}-desc" '
    # The first ">" ends the outermost tag: its attributes hold none.
    return svg.replace("<svg ", labelled, 1).replace(">", f">{head}", 1)
