"""The study that a rehearsal runs: the default recipe or a named study, made for one site."""

from typing import TYPE_CHECKING

from fedehr_client.site import SiteConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError, DataError
from fedehr_shared.meds.folder import SiteFolder

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "rehearsal"
NUM_ROUNDS = 2
_MOST_TASKS = 4
_EPSILON = 8.0


def default_recipe(config: SiteConfig) -> StudyConfig:
    """Every setting left at its default, with this site's binary labels and its own floor.

    Raises:
        DataError: there are no records.
    """
    site = SiteFolder(config.site.records)
    tasks = _binary_tasks(site, config.ceilings.tasks)
    values: dict[str, object] = {
        "name": NAME,
        "vocabulary": {"min_cell": config.ceilings.min_cell},
        "finetuning": {"tasks": tasks} if tasks else {"tasks": ["outcome"], "rounds": 0},
    }
    if config.ceilings.require_privacy:
        most = config.ceilings.subject_epsilon or _EPSILON
        values["privacy"] = {
            "mechanism": "local",
            "target_epsilon": min(_EPSILON, most),
            "target_delta": config.ceilings.subject_delta,
        }
    return StudyConfig.model_validate(values)


def for_one_site(study: StudyConfig, num_rounds: int) -> StudyConfig:
    """The study with a few rounds, which one site alone can run to its end.

    Args:
        study: the whole study.
        num_rounds: of each phase that trains, at the most.

    Raises:
        ConfigError: the study cannot be run with so few rounds.
    """
    values = study.model_dump(mode="json")
    values["federation"]["min_sites"] = 1
    values["vocabulary"]["min_sites"] = 1
    for phase in ("pretraining", "finetuning"):
        values[phase]["rounds"] = min(num_rounds, values[phase]["rounds"])
    try:
        return StudyConfig.model_validate(values)
    except ValueError as error:
        raise ConfigError(
            f"study '{study.name}' cannot be cut down to {num_rounds} round(s) a phase. Give more "
            "with --rounds."
        ) from error


def _binary_tasks(site: SiteFolder, allowed: tuple[str, ...] | None) -> list[str]:
    import pyarrow.parquet as pq

    found = []
    for task in site.tasks:
        if allowed is not None and task not in allowed:
            continue
        try:
            table = pq.read_table(site.labels_file(task))
        except (OSError, ValueError) as error:
            raise DataError(
                f"the labels of '{task}' cannot be read. Run `fedehr-client check {site.path}`."
            ) from error
        # With a time beside it, the truth says whether the event came: another kind of outcome.
        if _has(table, "boolean_value") and not _has(table, "float_value"):
            found.append(task)
    return found[:_MOST_TASKS]


def _has(table: "pa.Table", column: str) -> bool:
    return column in table.column_names and table.column(column).null_count < table.num_rows
