"""A training round, of either phase: updates are added as they arrive, and dropped."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from fedehr_server.aggregation.adapter_aggregation import AdapterAggregation
from fedehr_server.phases.model_state import ModelState
from fedehr_server.phases.task_sums import LABELS, SiteWeight, TaskSums
from fedehr_server.privacy.central_mean import CentralMean
from fedehr_shared.config.exchange import ExchangeConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import WireError
from fedehr_shared.model.heads.task_parts import TaskParts
from fedehr_shared.model.tuning.plan import TuningPlan, is_adapter
from fedehr_shared.model.weights import check_tensors
from fedehr_shared.vocabulary.resolution import STEP_NAMES
from fedehr_shared.wire.moments import moment_shapes
from fedehr_shared.wire.payload import Arrays, Payload
from fedehr_shared.wire.reports import ROUND_METRICS, TrainReport
from fedehr_shared.wire.work import WorkId


def answered_names(study: StudyConfig, work: WorkId, state: ModelState) -> frozenset[str]:
    """Names of the weights that every site changes in a round and tells the change of."""
    if work.phase == "pretraining":
        return frozenset(state.weights)
    plan = TuningPlan.of(study)
    return frozenset(name for name in state.weights if plan.is_answered(name, work.round))


def travelling_moments(
    study: StudyConfig, work: WorkId, state: ModelState
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the moments that every site sends in a round: none where they are
    kept at the sites, or begin anew each round."""
    training = study.pretraining if work.phase == "pretraining" else study.finetuning
    if training.optimizer_state != "averaged":
        return {}
    answered = answered_names(study, work, state)
    return moment_shapes({name: state.weights[name].shape for name in answered})


def withheld_numbers(study: StudyConfig, phase: str) -> frozenset[str]:
    """Which numbers of its report a site may keep to itself in a phase."""
    if study.privacy.metrics == "withheld":
        return frozenset({"num_examples", "loss"})
    return frozenset({"loss"}) if study.privacy.is_private(phase) else frozenset()


@dataclass(frozen=True)
class SiteNumbers:
    """What a site said besides its update."""

    num_examples: int
    num_steps: int
    loss: float | None
    metrics: dict[str, float]

    @property
    def told(self) -> dict[str, float]:
        """What the site did, for the record; what it withheld is absent."""
        done = {name: self.metrics[name] for name in ROUND_METRICS if name in self.metrics}
        loss = {} if self.loss is None else {"loss": self.loss}
        return {"num_steps": self.num_steps, **loss, **done}


@dataclass
class TrainingRound:
    """Adds up one round.

    Updates are averaged by the sites' examples, also where sites took different numbers of
    steps: a site that took fewer has moved less, and pulls less.

    Attributes:
        state: what the sites were given.
        answered: the weights that every site tells the change of.
        adapters: how the sites' adapters become one; None where there are none that travel.
        rounded: tensors as the wire rounds them.
        parts: what belongs to single tasks; None: nothing does.
        exchange: how the study's tensors travel; None: in any way.
        declared: by site, the training subjects that it told in the vocabulary phase.
        labels: by site, the labels of each task that it told there; they weigh its heads where
            it withholds how many it trained on.
        may_lack: what a site's report may withhold.
        moments: names and shapes of the moments that travel; empty where none do.
        central: the mean of clipped updates with the coordinator's noise, in place of all others.
    """

    state: ModelState
    answered: frozenset[str]
    declared: Mapping[str, int]
    moments: Mapping[str, tuple[int, ...]]
    adapters: AdapterAggregation | None = None
    rounded: Callable[[Arrays], Arrays] = dict
    parts: TaskParts | None = None
    exchange: ExchangeConfig | None = None
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    may_lack: frozenset[str] = frozenset()
    central: CentralMean | None = None
    sites: dict[str, SiteNumbers] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with empty sums."""
        total = sum(self.declared.values())
        self._updates, self._moments = TaskSums(total, self.parts), TaskSums(total, self.parts)
        self.aggregation_error: float | None = None

    def accept(self, payload: Payload) -> str:
        """Add a site's update; the site's name.

        Raises:
            WireError: the answer is malformed or does not fit the weights; nothing is added.
        """
        report = TrainReport.from_payload(
            payload, self.shapes, self.moments or None, self.exchange, may_lack=self.may_lack
        )
        if report.site in self.sites:
            raise WireError(f"two nodes call themselves site '{report.site}'.")
        if report.site not in self.declared:
            # Where sites weigh the same nothing else would keep out one that came later.
            raise WireError(
                f"site '{report.site}' declared no subjects in the vocabulary phase. Start the "
                "study anew."
            )
        report, num_examples = self._weighed(report)
        if num_examples > self.declared.get(report.site, 0):
            raise WireError(
                f"site '{report.site}' counts more subjects than it declared. Start the study anew."
            )
        check_tensors(report.update, self.shapes)
        if self.central is None:
            self._add(report, num_examples)
        else:
            self.central.add(report.update)
        self.sites[report.site] = SiteNumbers(
            num_examples, report.num_steps, report.loss, report.metrics
        )
        return report.site

    def _add(self, report: TrainReport, num_examples: int) -> None:
        moments = self._checked_moments(report)
        averaged, adapters = self._split(report.update)
        weight = SiteWeight.of(report.site, num_examples, report.metrics, self.parts)
        self._updates.check(averaged, weight)
        if moments is not None:
            self._moments.check(moments, weight)
        if self.adapters is not None:
            self.adapters.add(report.site, adapters, num_examples)
        if moments is not None:
            self._moments.add(moments, weight)
        self._updates.add(averaged, weight)

    def close(self) -> ModelState:
        """The state after the round.

        Raises:
            TrainingError: the sites' adapters cannot be brought together.
        """
        if self.central is not None:
            return self.state.moved(self.central.close(), None)
        moments = self._moments.mean(self._unchanged_moments()) if self.moments else None
        unchanged, _ = self._split(_zeros(self.shapes))
        after = self.state.moved(self._updates.mean(unchanged), moments)
        if self.adapters is None:
            return after
        done = self.adapters.close()
        self.aggregation_error = done.error
        fold = None if done.fold is None else self.rounded(done.fold)
        return after.with_adapters(done.adapters, fold)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What a site's update holds."""
        return {name: self.state.weights[name].shape for name in self.answered}

    @property
    def loss(self) -> float | None:
        """Mean training loss over the sites that tell it, by their examples; None: none does."""
        told = {s: (n.loss, n.num_examples) for s, n in self.sites.items() if n.loss is not None}
        return self._weighted(told) if told else None

    @property
    def means(self) -> dict[str, float]:
        """Means of what sites tell of their training, by their examples."""
        found = {}
        for name in ("learning_rate", "grad_norm", "code_entropy"):
            told = {
                site: (n.metrics[name], n.num_examples)
                for site, n in self.sites.items()
                if name in n.metrics
            }
            if told:
                found[name] = self._weighted(told)
        return found

    @property
    def done(self) -> dict[str, dict[str, float]]:
        """By site, what it did in the round."""
        return {site: numbers.told for site, numbers in sorted(self.sites.items())}

    @property
    def back_off(self) -> dict[str, dict[str, float | None]]:
        """By site, the share of its events at each step of the back-off; None: withheld."""
        return {
            site: {step: n.metrics.get(f"back_off.{step}") for step in STEP_NAMES}
            for site, n in sorted(self.sites.items())
        }

    def tuning_auroc(self, tasks: tuple[str, ...]) -> dict[str, float | None]:
        """AUROC on the sites' tuning splits, by their examples; None where every site withheld."""
        found: dict[str, float | None] = {}
        for task in tasks:
            told = {
                site: (n.metrics[f"tuning.{task}.auroc"], int(n.metrics[f"tuning.{task}.num"]))
                for site, n in self.sites.items()
                if f"tuning.{task}.auroc" in n.metrics and f"tuning.{task}.num" in n.metrics
            }
            found[task] = self._weighted(told) if told else None
        return found

    def _weighed(self, report: TrainReport) -> tuple[TrainReport, int]:
        """A report with the examples and labels that it weighs by: its own, or the declared."""
        if report.num_examples is not None:
            return report, report.num_examples
        num_examples = self.declared.get(report.site, 0)
        labels = self.labels.get(report.site, {})
        told = {f"{LABELS}{task}": float(min(num, num_examples)) for task, num in labels.items()}
        return replace(report, metrics=report.metrics | told), num_examples

    def _unchanged_moments(self) -> Arrays:
        known = self.state.moments or {}
        return {
            **_zeros(self.moments),
            **{name: known[name] for name in self.moments if name in known},
        }

    def _split(self, update: Arrays) -> tuple[Arrays, Arrays]:
        """What is averaged, and the adapters, where these are brought together otherwise."""
        if self.adapters is None:
            return update, {}
        adapters = {name: value for name, value in update.items() if is_adapter(name)}
        return {name: value for name, value in update.items() if name not in adapters}, adapters

    def _checked_moments(self, report: TrainReport) -> Arrays | None:
        if not self.moments:
            return None
        if report.moments is None:
            raise WireError("the answer lacks the moments that the study averages.")
        # All of them: the first site's names would otherwise decide for the others.
        check_tensors(report.moments, self.moments)
        return report.moments

    @staticmethod
    def _weighted(values: dict[str, tuple[float, int]]) -> float:
        # Sites in order of their names: a sum of floats depends on its order.
        ordered = [values[site] for site in sorted(values)]
        return sum(v * w for v, w in ordered) / max(1, sum(w for _, w in ordered))


def _zeros(shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    return {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
