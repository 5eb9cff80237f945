"""`fedehr-server privacy STUDY`: what a study will cost each subject."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared.console import err, out, print_json

app = typer.Typer()


@app.command("privacy")
def show(
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a study's noise promises: epsilon by phase and by round.

    Reckoned from the study's public numbers alone, as every site will.
    """
    from fedehr_server.privacy.study_privacy import study_privacy
    from fedehr_server.privacy.tables import tables_of
    from fedehr_shared.config.study import StudyConfig

    read = StudyConfig.load(study)
    with err.status("finding the noise and its epsilon"):
        found = study_privacy(read)
    if json:
        print_json(found)
        return
    if "phases" in found:
        for table in tables_of(found):
            out.print(table)
    out.print(found["words"], markup=False)
