"""`write_records`: from an importer's plan to a whole site folder, or to nothing at all."""

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedehr_client.importers.engine.previous_site import PreviousSite
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.engine.site_import import write_site_records
from fedehr_client.importers.engine.source import Importer, ReportStep, settings_for
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.summary import ImportSummary
from fedehr_shared.errors import DataError
from fedehr_shared.meds.new_folder import new_folder


def write_records(
    importer: Importer, out: Path, settings: ImportSettings, report_step: ReportStep
) -> ImportSummary:
    """Import into the site folder `out`, which appears only when all of it is written.

    With `settings.replace` and an existing folder, its split key, every known subject's
    split, its labels and its withdrawn subjects carry over.

    Raises:
        DataError: `out` exists, the source is incomplete or malformed, holds no event, or
            memory or disk ran out.
        UsageError: the memory limit is too small, or the time zone is unknown.
    """
    started = time.monotonic()
    settings = settings_for(importer, settings)
    with _full_disk_named(out), new_folder(out, replace=settings.replace) as folder:
        # Only now is it locked, and a replacement that was killed is undone.
        previous = PreviousSite(out, importer.kind, settings.split_key) if out.exists() else None
        with Workspace(settings, beside=out.parent) as workspace:
            plan = importer.plan(workspace, report_step)
            site = write_site_records(
                folder, workspace, plan, importer.kind, report_step, previous=previous
            )
        report_step("putting the folder in its place")
    return ImportSummary(
        sites=[site.named(out.name)],
        tasks={},
        num_subjects=site.num_subjects,
        left_out=dict(workspace.left_out),
        repairs=dict(workspace.repairs),
        tables=dict(workspace.bad_rows.to_dict()),
        seconds=time.monotonic() - started,
    )


@contextmanager
def _full_disk_named(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise DataError(
            f"the disk of {out.parent} is full. Free some space, or name another folder."
        ) from error
