"""`KeyPatterns`: which names of a message a study's table of disclosures means."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.metrics.questions import RANGES, group_names, questions_of
from fedehr_shared.privacy.disclosure import Disclosure
from fedehr_shared.privacy.disclosures import DISCLOSURES
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import Phase

_NOTHING = r"(?!)"
_PARAMETER = r"[A-Za-z0-9_.]+"


class KeyPatterns:
    """A study's names: the holes of the table filled with its own tasks, questions and groups."""

    def __init__(self, study: StudyConfig) -> None:
        self._study = study
        tasks = study.finetuning.tasks
        questions = [
            question.name
            for name, task in study.tasks_by_name.items()
            for question in questions_of(name, task)
        ]
        groups = group_names(study.evaluation)
        self._holes: Mapping[str, str] = {
            "<parameter>": _PARAMETER,
            "<task>": _one_of(tasks),
            "<question>": _one_of(questions),
            "<metric>": _one_of(RANGES),
            "<kind>": _one_of(groups),
            "<group>": _one_of(name for names in groups.values() for name in names),
        }
        self._patterns = [
            (disclosure, self._compiled(disclosure.record), self._compiled(key))
            for disclosure in DISCLOSURES
            for key in disclosure.keys
            if disclosure.leaves(study)
        ]

    def find(self, phase: Phase, record: str, key: str) -> Disclosure | None:
        """The table's entry for a name in an answer; None where there is none, or where the
        study withholds it."""
        found = [
            disclosure
            for disclosure, of_record, of_key in self._patterns
            if phase in disclosure.phases and of_record.fullmatch(record) and of_key.fullmatch(key)
        ]
        # Of a moment's name the more special one: its entry has the longer key.
        return max(found, key=lambda one: max(map(len, one.keys)), default=None)

    def unknown(self, phase: Phase, payload: Payload) -> list[str]:
        """What an answer holds and the table lacks: `record.key`, or a record of tensors.

        The tensors of a record have names inside their encoding; of these only the record's is
        looked at, since the coordinator takes no other names than those of its weights.
        """
        tensors = [name for name in payload.tensors if not self._has_tensors(phase, name)]
        values = [
            f"{record}.{key}"
            for record, own in payload.values.items()
            for key in own
            if self.find(phase, record, key) is None
        ]
        return tensors + values

    def _has_tensors(self, phase: Phase, record: str) -> bool:
        return any(
            phase in disclosure.phases and disclosure.record == record
            for disclosure, _, _ in self._patterns
            if "<parameter>" in disclosure.keys[0]
        )

    def _compiled(self, name: str) -> re.Pattern[str]:
        pattern = re.escape(name)
        for hole, meaning in self._holes.items():
            pattern = pattern.replace(re.escape(hole), meaning)
        return re.compile(pattern)


@lru_cache(maxsize=8)
def key_patterns(study_json: str) -> KeyPatterns:
    """The patterns of a study, from its canonical JSON: made once."""
    return KeyPatterns(StudyConfig.from_json(study_json))


def _one_of(names: Iterable[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, names)) or _NOTHING})"
