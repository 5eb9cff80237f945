"""`fedehr-client import SOURCE_KIND`: records in, a folder of MEDS 0.4 out."""

import typer

from fedehr_client.cli.import_csv import import_csv
from fedehr_client.cli.import_eicu import import_eicu
from fedehr_client.cli.import_meds import import_meds
from fedehr_client.cli.import_mimic4 import import_mimic4
from fedehr_client.cli.import_omop import import_omop

app = typer.Typer(
    name="import",
    help="Turn a hospital's records into MEDS 0.4: one site folder, or a federation of several.",
    no_args_is_help=True,
)


@app.callback()
def _root() -> None:
    pass


app.command("eicu")(import_eicu)
app.command("omop")(import_omop)
app.command("csv")(import_csv)
app.command("meds")(import_meds)
app.command("mimic4")(import_mimic4)
