"""How an import runs: one site by the engine, or a federation folder by its importer."""

from pathlib import Path
from typing import Protocol, runtime_checkable

from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.engine.source import Importer, ReportStep
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.engine.write import write_records
from fedehr_client.importers.summary import ImportSummary
from fedehr_shared.errors import UsageError
from fedehr_shared.meds.new_folder import new_folder


@runtime_checkable
class FederationImporter(Protocol):
    """Turns one source of records into a federation folder of several sites."""

    def write(self, folder: Path, workspace: Workspace, report_step: ReportStep) -> ImportSummary:
        """Write sites and `federation.json` into `folder`, which exists and is empty.

        Raises:
            DataError: the source is incomplete or malformed.
        """
        ...


AnyImporter = Importer | FederationImporter


def run_import(
    importer: AnyImporter, out: Path, settings: ImportSettings, report_step: ReportStep
) -> ImportSummary:
    """Run `importer`; `out` appears only when all of it is written.

    Raises:
        DataError: `out` exists, the source is incomplete or malformed, or memory or disk ran
            out.
        UsageError: the memory limit is too small, a setting does not apply, or `out` lies
            within the source or around it.
    """
    source = getattr(importer, "source", None)
    if isinstance(source, Path):
        _require_apart(source, out)
    if isinstance(importer, FederationImporter):
        return _import_federation(importer, out, settings, report_step)
    return write_records(importer, out, settings, report_step)


def _require_apart(source: Path, out: Path) -> None:
    """The source is never written, so the result may not lie in it, nor take its place."""
    here, there = source.resolve(), out.resolve()
    if there.is_relative_to(here) or here.is_relative_to(there):
        raise UsageError(
            f"--out {out} and the source {source} lie one within the other, and the source is "
            "never written. Name a folder elsewhere."
        )


def _import_federation(
    importer: FederationImporter, out: Path, settings: ImportSettings, report_step: ReportStep
) -> ImportSummary:
    if settings.replace:
        raise UsageError(
            "--replace takes the place of one site, and this import makes several, whose "
            "subjects may change sites. Import into a new folder: with the same --split-key "
            "every subject's split is the same. Whoever was erased from the old one is erased from "
            "the new one by the same command."
        )
    with new_folder(out) as folder, Workspace(settings, beside=out.parent) as workspace:
        return importer.write(folder, workspace, report_step)
