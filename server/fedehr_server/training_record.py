"""`TrainingRecord`: what each site did over the rounds of a study, for `result.json`."""

from collections.abc import Mapping

SiteRecord = dict[str, float]
_SUMMED = ("num_steps", "seconds")


class TrainingRecord:
    """By phase and site: rounds, steps and seconds in total, the other numbers as last told."""

    def __init__(self) -> None:
        self._phases: dict[str, dict[str, SiteRecord]] = {}

    def add(self, phase: str, done: Mapping[str, Mapping[str, float]]) -> None:
        """Add a round: by site, its numbers."""
        sites = self._phases.setdefault(phase, {})
        for site, numbers in done.items():
            known = sites.get(site, {})
            sums = {name: known.get(name, 0) + numbers[name] for name in _SUMMED if name in numbers}
            num_rounds = known.get("num_rounds", 0) + 1
            sites[site] = {**known, **numbers, **sums, "num_rounds": num_rounds}

    @property
    def summary(self) -> dict[str, dict[str, SiteRecord]]:
        """The record, sites by their names."""
        return {phase: dict(sorted(sites.items())) for phase, sites in self._phases.items()}
