"""`write_map`: the map as one HTML page without scripts or outside resources.

Every point is a person. The page is for the researcher's own machine, as the records are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from fedehr_simulations.private_file import replacing
from fedehr_simulations.probe.embedding import MapPoints
from fedehr_simulations.probe.record import ProbeRecord
from fedehr_simulations.report.drawing import MARKERS, MUTED, SERIES, draw_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAP_FILE, TEMPLATE = "map.html", "map.html.j2"
YES, NO, UNKNOWN = "yes", "no", "no label"
OTHERS = "other sites"
_HEIGHT_INCHES = 4.6


def write_map(points: MapPoints, record: ProbeRecord, path: Path) -> None:
    """Write the page, private, whole or not at all."""
    with replacing(path) as file:
        file.write(render_map(points, record).encode())


def render_map(points: MapPoints, record: ProbeRecord) -> str:
    """The page's text; the same for the same input."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fedehr_simulations.probe", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        record=record,
        num_points=len(points.positions),
        num_examples=points.num_examples,
        figures=[
            *(
                (task, draw_outcome(points, column, f"outcome-{column}", task))
                for column, task in enumerate(record.tasks)
            ),
            ("site", draw_sites(points, "site")),
        ],
    )


def draw_outcome(points: MapPoints, column: int, name: str, task: str) -> Markup:
    """The points by one outcome, positives above the others."""
    labels = points.labels[:, column]
    groups = [
        (UNKNOWN, np.isnan(labels), MUTED, MARKERS[3]),
        (NO, labels == 0, SERIES[0], MARKERS[0]),
        (YES, labels == 1, SERIES[1], MARKERS[1]),
    ]
    return _draw(points.positions, groups, name, f"Map by {task}")


def draw_sites(points: MapPoints, name: str) -> Markup:
    """The points by site; the smallest of very many share a color."""
    names, counts = np.unique(points.sites, return_counts=True)
    largest = names[np.argsort(-counts, kind="stable")]
    told = sorted(largest[: len(SERIES) - 1 if len(largest) > len(SERIES) else None].tolist())
    groups = [
        (site, points.sites == site, SERIES[number], MARKERS[number])
        for number, site in enumerate(told)
    ]
    rest = ~np.isin(points.sites, told)
    return _draw(
        points.positions, [*groups, (OTHERS, rest, SERIES[-1], MARKERS[-1])], name, "Map by site"
    )


def _draw(
    positions: NDArray[np.float64],
    groups: Sequence[tuple[str, NDArray[np.bool_], str, str]],
    name: str,
    title: str,
) -> Markup:
    drawn = [group for group in groups if group[1].any()]

    def paint(axes: "Axes") -> None:
        for label, rows, color, marker in drawn:
            axes.plot(
                positions[rows, 0],
                positions[rows, 1],
                linestyle="",
                marker=marker,
                markersize=2.6,
                markeredgewidth=0,
                alpha=0.7,
                color=color,
                # A leading underscore would hide the group from matplotlib's legend.
                label=f"\u200b{label}" if label.startswith("_") else label,
            )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=3, markerscale=2)

    # Counts would tell of few.
    words = f"points by {', '.join(label for label, *_ in drawn)}"
    return draw_svg(name, title, words, _HEIGHT_INCHES, paint)
