"""The leakage test for labels that a site already has, whoever made them."""

import pyarrow as pa
import pyarrow.parquet as pq

from fedehr_client.tasks.label_folder import read_made_from
from fedehr_client.tasks.leakage import LeakRoles, check_leakage
from fedehr_client.tasks.leakage_report import LeakageReport
from fedehr_client.tasks.site_query import QueryLimits
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder


def check_task_of_site(site: SiteFolder, task: str, limits: QueryLimits) -> LeakageReport:
    """Test a task's labels.

    Raises:
        MissingTaskError: the site has no labels for the task.
        DataError: a file is damaged.
    """
    file = site.labels_file(task)
    try:
        labels = pq.read_table(file)
    except (OSError, pa.ArrowException):
        raise DataError(f"{file} is damaged. Make the labels again with --replace.") from None
    made_from = read_made_from(site, task)
    roles = LeakRoles.of_imported() if made_from is None else LeakRoles.of_task(made_from)
    return check_leakage(site, task, labels, roles, limits)
