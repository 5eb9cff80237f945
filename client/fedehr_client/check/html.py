"""The report as one HTML page that loads nothing from elsewhere."""

from pathlib import Path

from fedehr_client.check.report import Bars, CheckReport, table_rows

_BAR_HEIGHT, _LABEL_WIDTH, _PLOT_WIDTH = 22, 110, 360


def render_html(report: CheckReport) -> str:
    """The page's text. What came from records is escaped."""
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("page.html.j2")
    return template.render(report=report, bars=place_bars, rows=table_rows)


def place_bars(plot: Bars) -> dict[str, object]:
    """Pixel places of a plot's bars; a withheld one is drawn hatched at a stub's length."""
    largest = max((value or 0 for value in plot.values), default=0) or 1
    rows = [
        {
            "label": label,
            "y": place * _BAR_HEIGHT,
            "width": _PLOT_WIDTH * (value or 0) / largest if value is not None else 12,
            "value": value,
        }
        for place, (label, value) in enumerate(zip(plot.labels, plot.values, strict=True))
    ]
    return {
        "rows": rows,
        "left": _LABEL_WIDTH,
        "bar_height": _BAR_HEIGHT - 6,
        "width": _LABEL_WIDTH + _PLOT_WIDTH + 80,
        "height": len(rows) * _BAR_HEIGHT,
    }
