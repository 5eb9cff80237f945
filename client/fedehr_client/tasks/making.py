"""Making labels: every task of every site is labelled and tested before any file is written."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedehr_client.tasks.catalog import read_task, task_file
from fedehr_client.tasks.definition import ImportedTask, TaskDefinition
from fedehr_client.tasks.label_file import FileReading, Kind, read_label_file
from fedehr_client.tasks.label_folder import LabelFile, refuse_existing, write_label_files
from fedehr_client.tasks.labeling import LabelTable, make_labels
from fedehr_client.tasks.leakage import LeakRoles, check_leakage
from fedehr_client.tasks.leakage_report import LeakageReport
from fedehr_client.tasks.site_query import QueryLimits
from fedehr_shared.config.section import parse
from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.meds.folder import FederationFolder, SiteFolder
from fedehr_shared.meds.folder_lock import try_lock_folder

ReportStep = Callable[[str], None]
"""Told the name of each step as it begins."""


@dataclass(frozen=True)
class MakingRules:
    """What the command line says.

    Attributes:
        limits: of the queries.
        replace: labels that exist already may be replaced.
        allow_leak: why labels that can be read in their input are written all the same; empty:
            they are not.
    """

    limits: QueryLimits
    replace: bool = False
    allow_leak: str = ""


@dataclass(frozen=True)
class MadeLabels:
    """One task at one site: what was made and what the leakage test found."""

    table: LabelTable
    leakage: LeakageReport

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**self.table.to_dict(), "leakage": self.leakage.to_dict()}


def sites_of(folder: Path) -> list[SiteFolder]:
    """The one site of a site folder, or all of a federation folder.

    Raises:
        DataError: the folder is missing, or is neither.
    """
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder}. Name a site folder (data/, metadata/) or a federation "
            "folder."
        )
    if (folder / "metadata").is_dir():
        return [SiteFolder(folder)]
    return FederationFolder(folder).sites


def read_tasks(names: Sequence[str]) -> list[tuple[TaskDefinition, str]]:
    """Tasks by built-in name or path, each with its text.

    Raises:
        ConfigError: there is no such task, or its file is wrong.
        UsageError: a task is a template, or two have one name.
    """
    files = [task_file(name) for name in names]
    tasks = [(read_task(file), file.read_text(encoding="utf-8")) for file in files]
    for task, _ in tasks:
        if task.template:
            raise UsageError(
                f"task '{task.name}' is a template. Copy it (fedehr-client label tasks --show "
                f"{task.name} > mine.toml), name it, fill in your codes and remove `template`."
            )
    if len({task.name for task, _ in tasks}) < len(tasks):
        raise UsageError("two of the tasks have one name. Give each its own.")
    return tasks


def make_all(
    sites: Sequence[SiteFolder],
    tasks: Sequence[tuple[TaskDefinition, str]],
    rules: MakingRules,
    report_step: ReportStep,
) -> list[MadeLabels]:
    """Label all sites, test all labels, then write them.

    Raises:
        DataError: labels exist already, leak, or cannot be made; or a site is being changed.
    """
    with _undisturbed(sites):
        return _make_all(sites, tasks, rules, report_step)


@contextmanager
def _undisturbed(sites: Sequence[SiteFolder]) -> Iterator[None]:
    """Keep erasures away: one that ends meanwhile would find its subjects labelled again."""
    with ExitStack() as stack:
        for site in sites:
            metadata = site.path / "metadata"
            if metadata.is_dir() and not stack.enter_context(try_lock_folder(metadata)):
                raise DataError(
                    f"another process is changing {site.path}. Repeat when it has ended."
                )
        yield


def _make_all(
    sites: Sequence[SiteFolder],
    tasks: Sequence[tuple[TaskDefinition, str]],
    rules: MakingRules,
    report_step: ReportStep,
) -> list[MadeLabels]:
    made: list[MadeLabels] = []
    files: dict[Path, list[LabelFile]] = {site.path: [] for site in sites}
    for site in sites:
        for task, text in tasks:
            refuse_existing(site, task.name, rules.replace)
            report_step(f"{site.name}: {task.name}")
            table = make_labels(site, task, rules.limits)
            report_step(f"{site.name}: {task.name}, looking for leaks")
            roles = LeakRoles.of_task(task)
            report = check_leakage(site, task.name, table.labels, roles, rules.limits)
            _refuse_leak(report, site, rules)
            about = _header(rules, report) + text
            files[site.path].append(LabelFile(task.name, table.labels, about))
            made.append(MadeLabels(table, report))
    for site in sites:
        write_label_files(site, files[site.path])
    return made


def import_labels(
    site: SiteFolder,
    file: Path,
    task: str,
    kind: Kind,
    rules: MakingRules,
    *,
    reading: FileReading,
) -> tuple[dict[str, Any], LeakageReport]:
    """Labels of a CSV into a site.

    Returns:
        Counts and bad rows, and what the test found.

    Raises:
        ConfigError: no task may have this name.
        DataError: labels exist already, leak, or the file is malformed.
        UsageError: there is no such time zone.
    """
    imported = parse({"name": task, "kind": kind}, ImportedTask, "--task")
    with _undisturbed([site]):
        refuse_existing(site, task, rules.replace)
        given = read_label_file(file, site, kind, reading)
        roles = LeakRoles.of_imported()
        report = check_leakage(site, task, given.labels, roles, rules.limits)
        _refuse_leak(report, site, rules)
        about = "".join(f'{key} = "{value}"\n' for key, value in imported.model_dump().items())
        text = _header(rules, report) + about
        write_label_files(site, [LabelFile(task, given.labels, text)])
        return given.to_dict(), report


def _refuse_leak(report: LeakageReport, site: SiteFolder, rules: MakingRules) -> None:
    if report.is_leaking and not rules.allow_leak:
        raise DataError(
            f"task '{report.task}' at '{site.name}': the label can be read in its input: "
            f"{report.explain()}. Nothing was written. Mend the task (a longer gap, an exclusion, "
            'a delay of the codes), or give --allow-leak "REASON".'
        )


def _header(rules: MakingRules, report: LeakageReport) -> str:
    if not report.is_leaking:
        return ""
    reason = " ".join(rules.allow_leak.split()).encode("ascii", "replace").decode()
    return f"# The label can be read in its input; allowed because: {reason}\n"
