"""`check_vocabulary`: whether an answer counts codes and labels and says nothing else.

The names in it are those of the site's own code table, of its own task list and no other text.
"""

from functools import cached_property
from itertools import pairwise

from fedehr_client.contracts.admitted import Admitted
from fedehr_client.outbox.told_number import (
    require_integer,
    require_keys,
    require_records,
    require_text,
    within,
    wrong,
)
from fedehr_client.vocabulary.site_report import spend_of
from fedehr_shared.errors import ContractError, WireError
from fedehr_shared.meds.code_table import CodeTable, read_codes
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.vocabulary.ancestors import ancestor_chain
from fedehr_shared.vocabulary.histogram import MAX_BINS
from fedehr_shared.vocabulary.report import VocabularyReport
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.vocabulary_payload import report_from_payload, report_to_payload

_MOST_SUBJECTS = 10**10


class SiteCodes:
    """The codes that a site may name: read from its own table, when they are asked for."""

    def __init__(self, records: SiteFolder) -> None:
        self._records = records

    @cached_property
    def _table(self) -> CodeTable:
        return read_codes(self._records)

    @cached_property
    def _names(self) -> frozenset[str]:
        table = self._table
        chains = (ancestor_chain(code, table.parents) for code in table.codes)
        return frozenset(name for chain in chains for name in chain)

    def know(self, codes: list[str]) -> bool:
        """Whether every one is a code of the table, or stands above one.

        Raises:
            DataError: the table is missing or damaged.
        """
        return self._names.issuperset(codes)

    def links(self, codes: list[str]) -> dict[str, str]:
        """Child to parent from these codes upwards, as far as the table gives it."""
        parents = self._table.parents
        return {
            child: parent
            for code in codes
            for child, parent in pairwise(ancestor_chain(code, parents))
            if child in parents
        }


def check_vocabulary(
    answer: Payload, admitted: Admitted, *, site: str, min_cell: int, codes: SiteCodes
) -> None:
    """Hold the first phase's answer against its study and the site's own codes.

    Args:
        answer: what would leave.
        admitted: what was asked.
        site: this site's name.
        min_cell: of which each count is a multiple.
        codes: that the site may name.

    Raises:
        WireError: it holds anything that it may not.
        ContractError: it names more codes than the contract allows.
        DataError: the site's code table cannot be read.
    """
    config = admitted.study.vocabulary
    records = {"report", "labels"}
    if not config.reuse:
        records |= {"codes", "histograms"}
    if config.noise_epsilon:
        records |= {"noise"}
    require_records(answer, set(), records)
    report = answer.values["report"]
    keys = {"site", "num_subjects", "unit"}
    require_keys(report, "report", keys, keys)
    require_text(report, "report", "site", site)
    told = report_from_payload(answer)
    _require_same(answer, told)
    _check_unit(answer, admitted, min_cell)
    _check_counts(told, admitted, min_cell)
    _check_labels(told, admitted, min_cell)
    _check_codes(told, admitted, codes)
    if told.noise != spend_of(config, len(admitted.study.finetuning.tasks)):
        raise wrong("noise")


def _require_same(answer: Payload, told: VocabularyReport) -> None:
    """Nothing but what was read, in the order in which it is always told."""
    again = report_to_payload(told).values
    for record, values in answer.values.items():
        for key, value in values.items():
            if key not in again[record] or not _is_same(value, again[record][key]):
                raise wrong(f"a value of {record}")
        if values.keys() != again[record].keys():
            raise wrong(f"a key of {record}")
    names = list(told.num_subjects_by_code)
    if names != sorted(names) or list(told.histograms) != sorted(told.histograms):
        raise wrong("the order of codes")


def _is_same(value: object, again: object) -> bool:
    if isinstance(value, list) and isinstance(again, list):
        return value == again and [type(x) for x in value] == [type(x) for x in again]
    return value == again and type(value) is type(again)


def _check_unit(answer: Payload, admitted: Admitted, min_cell: int) -> None:
    """Codes are counted in cells; with noise one by one."""
    config = admitted.study.vocabulary
    is_noisy_count = bool(config.noise_epsilon) and not config.reuse
    unit = 1 if is_noisy_count else min_cell
    require_integer(answer.values["report"], "report", "unit", within(unit, unit))


def _check_counts(told: VocabularyReport, admitted: Admitted, min_cell: int) -> None:
    is_noisy = bool(admitted.study.vocabulary.noise_epsilon)
    if told.num_subjects % min_cell or not min_cell <= told.num_subjects <= _MOST_SUBJECTS:
        raise wrong("report.num_subjects")
    most = told.num_subjects
    for num in told.num_subjects_by_code.values():
        if not min_cell <= num <= most or (not is_noisy and num % min_cell):
            raise wrong("codes.num_units")
    for histogram in told.histograms.values():
        counts = histogram.counts
        if not 2 <= len(counts) <= MAX_BINS or min(counts) < min_cell:
            raise wrong("histograms.num_units")
        if not is_noisy and (sum(counts) > most or any(num % min_cell for num in counts)):
            raise wrong("histograms.num_units")


def _check_labels(told: VocabularyReport, admitted: Admitted, min_cell: int) -> None:
    tasks = admitted.study.tasks_by_name
    is_noisy = bool(admitted.study.vocabulary.noise_epsilon)
    in_order = [name for name in tasks if name in told.labels]
    if list(told.labels) != in_order:
        raise wrong("labels.task")
    for name, counts in told.labels.items():
        if len(counts) != tasks[name].num_counts or not any(counts):
            raise wrong("labels.num_parts")
        if any(num and (num < min_cell or num > _MOST_SUBJECTS) for num in counts):
            raise wrong("labels.num")
        if not is_noisy and any(num % min_cell for num in counts):
            raise wrong("labels.num")


def _check_codes(told: VocabularyReport, admitted: Admitted, codes: SiteCodes) -> None:
    if not told.num_subjects_by_code:
        if not admitted.study.vocabulary.reuse:
            raise WireError("a vocabulary answer names no code. It was stopped.")
        return
    names = list(told.num_subjects_by_code)
    every = {*names, *told.parents, *told.parents.values()}
    if len(every) > admitted.contract.max_codes:
        raise ContractError(
            f"a vocabulary answer names {len(every)} codes, and the contract allows "
            f"{admitted.contract.max_codes}. It was stopped."
        )
    if not codes.know(names):
        raise wrong("a name of codes.code")
    if told.parents != codes.links(names):
        raise wrong("codes.parent")
