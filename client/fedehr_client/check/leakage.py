"""The leakage test of every task, told by the cell rule."""

from collections.abc import Sequence

from fedehr_client.check.cell_rule import CellRule
from fedehr_client.check.report import Finding, Section, Verdict
from fedehr_client.tasks.leakage_of_site import check_task_of_site
from fedehr_client.tasks.leakage_report import LeakageReport
from fedehr_client.tasks.site_query import QueryLimits
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder

NUM_RULES_TOLD = 3


def check_leakage(
    site: SiteFolder, tasks: Sequence[str], limits: QueryLimits, rule: CellRule
) -> Section:
    """Can a label be read in its own input? Tasks without labels here are passed over."""
    findings = [_finding(site, task, limits, rule) for task in tasks if task in site.tasks]
    return Section("Labels visible in their input", tuple(findings))


def _finding(site: SiteFolder, task: str, limits: QueryLimits, rule: CellRule) -> Finding:
    name = f"leakage.{task}"
    try:
        report = check_task_of_site(site, task, limits)
    except DataError as error:
        return Finding(name, Verdict.FAILED, str(error))
    figures: dict[str, float | int | str | None] = {
        f"num_visible_{kind}": rule.subjects(num) for kind, num in report.visible.items()
    }
    if report.is_leaking:
        text = f"task '{task}' can be read in its input: {_explain(report, rule)}. " + (
            "Mend the task's gap, exclusions or delays, and make its labels again."
        )
        return Finding(name, Verdict.FAILED, text, figures)
    if not report.has_enough:
        text = f"task '{task}': no label settled in its input; too few labels to rank single codes."
        return Finding(name, Verdict.OK, text, figures)
    text = f"task '{task}': no label settled in its input, and no single code gives it away."
    return Finding(name, Verdict.OK, text, figures)


def _explain(report: LeakageReport, rule: CellRule) -> str:
    seen = [
        f"{rule.words(num)} subjects have an event of kind '{kind}' between index and prediction"
        for kind, num in report.visible.items()
        if num
    ]
    ranked = [
        f"'{found.name}' alone ranks with AUROC {found.auroc:.2f}"
        for found in report.leaking_rules[:NUM_RULES_TOLD]
    ]
    return "; ".join([*seen, *ranked])
