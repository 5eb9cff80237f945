"""`check_site`: every section of the page, in order; nothing at the site is changed."""

from collections.abc import Callable
from dataclasses import dataclass

from fedehr_client.check.cell_rule import CellRule
from fedehr_client.check.codes import check_codes
from fedehr_client.check.database import open_records
from fedehr_client.check.dates import check_dates
from fedehr_client.check.default_study import default_study
from fedehr_client.check.labels import check_labels
from fedehr_client.check.layout import scan_layout
from fedehr_client.check.leakage import check_leakage
from fedehr_client.check.report import CheckReport, Finding, Section, Verdict
from fedehr_client.check.structure import check_schema, check_structure
from fedehr_client.check.subjects import check_subjects
from fedehr_client.check.training_step import TRAINING_TITLE, check_training
from fedehr_client.check.vocabulary import own_vocabulary
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocation
from fedehr_client.scratch import scratch_folder
from fedehr_client.tasks.site_query import QueryLimits
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import TooFewSubjectsError
from fedehr_shared.meds.code_table import read_codes
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.vocabulary.vocabulary import Vocabulary

ReportStep = Callable[[str], None]


@dataclass(frozen=True)
class CheckSettings:
    """What the command line says.

    Attributes:
        study: the study to check against; None for the defaults.
        vocabulary: the study's vocabulary, where there is one already.
        min_cell: the site's floor, in subjects.
        memory_limit_bytes: for the queries.
        compute: what the training step computes with.
    """

    study: StudyConfig | None
    vocabulary: Vocabulary | None
    min_cell: int
    memory_limit_bytes: int
    compute: ComputeConfig


def check_site(site: SiteFolder, settings: CheckSettings, report_step: ReportStep) -> CheckReport:
    """Look at everything; where the files cannot be read or are out of order, at that alone.

    Raises:
        DataError: a file breaks off in the middle.
    """
    rule = CellRule(settings.min_cell)
    report_step("reading the shards")
    schema = check_schema(site)
    if any(finding.verdict is Verdict.FAILED for finding in schema):
        return CheckReport(site.name, rule.min_cell, (Section("Files and order", tuple(schema)),))
    structure = check_structure(site, scan_layout(site), rule)
    sections = [structure, *_content(site, settings, rule, report_step)]
    if settings.study:
        sections.append(_demands(settings.study, rule))
    report = CheckReport(site.name, rule.min_cell, tuple(sections))
    if report.ready:
        report_step("training a step")
        sections.append(_training(site, settings))
    return CheckReport(site.name, rule.min_cell, tuple(sections))


def _content(
    site: SiteFolder, settings: CheckSettings, rule: CellRule, report_step: ReportStep
) -> list[Section]:
    with open_records(site, settings.memory_limit_bytes) as connection:
        report_step("dates")
        sections = [check_dates(connection, site, rule)]
        report_step("subjects")
        sections.append(check_subjects(connection, rule))
        report_step("codes")
        codes = read_codes(site)
        sections.append(check_codes(connection, codes, settings.vocabulary, rule))
    if any(f.verdict is Verdict.FAILED for section in sections for f in section.findings):
        # Labels are read by splits and codes that are in order.
        return sections
    report_step("labels")
    sections.append(check_labels(site, settings.study, rule))
    report_step("labels visible in their input")
    limits = QueryLimits(settings.memory_limit_bytes)
    tasks = settings.study.finetuning.tasks if settings.study else site.tasks
    leakage = check_leakage(site, tasks, limits, rule)
    return [*sections, leakage] if leakage.findings else sections


def _demands(study: StudyConfig, rule: CellRule) -> Section:
    asked = study.vocabulary.min_cell
    if asked >= rule.min_cell:
        finding = Finding("min_cell", Verdict.OK, f"it asks for cells of {asked} subjects.")
    else:
        finding = Finding(
            "min_cell",
            Verdict.FAILED,
            f"it asks for cells of {asked} subjects, below this site's {rule.min_cell}, and every "
            "request would be refused. Ask the coordinator to raise [vocabulary] min_cell.",
        )
    return Section("What the study asks", (finding,))


def _training(site: SiteFolder, settings: CheckSettings) -> Section:
    study = settings.study or default_study(site, settings.min_cell)
    try:
        vocabulary = settings.vocabulary or own_vocabulary(site, study, settings.min_cell)
    except TooFewSubjectsError as error:
        return Section(TRAINING_TITLE, (Finding("training_step", Verdict.FAILED, str(error)),))
    with scratch_folder(None) as work:
        location = SiteLocation(
            name=site.name,
            records=site,
            work=work,
            min_cell=settings.min_cell,
            compute=settings.compute,
        )
        return check_training(location, study, vocabulary)
