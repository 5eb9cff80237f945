"""`StudyMachine`: phases and rounds as a pure state machine, without clock or network.

Events in, actions out. The same events give the same actions; tests drive it through
seeded schedules of faults. Actions are to be carried out in order.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fedehr_server.rounds.events import (
    Abort,
    Action,
    Answered,
    Close,
    DeadlinePassed,
    Event,
    Failed,
    Finish,
    NodesSeen,
    Open,
    Push,
    PushLater,
)
from fedehr_shared.config.study import FederationConfig, StudyConfig
from fedehr_shared.wire.work import Phase, WorkId

PERMANENT_CODES = frozenset(
    {
        "budget",
        "config",
        "contract",
        "data",
        "missing_task",
        "policy",
        "too_few_subjects",
        "training",
    }
)
"""A site that answers with one of these is not asked again: it would say the same."""

WAITING_CODES = frozenset({"busy", "held", "not_approved", "storage"})
"""A site that answers with one of these will say something else later: it is asked for the same
again, as the same attempt, until the round's deadline."""


@dataclass(frozen=True)
class PhasePlan:
    """A phase and its number of rounds."""

    phase: Phase
    num_rounds: int


def plan_of(study: StudyConfig) -> tuple[PhasePlan, ...]:
    """The phases that a study has, in order; a phase of 0 rounds is left out.

    Without fine-tuning there are no heads, and so nothing to evaluate.
    """
    plans = (
        PhasePlan("vocabulary", 1),
        PhasePlan("pretraining", study.pretraining.rounds),
        PhasePlan("finetuning", study.finetuning.rounds),
        PhasePlan("evaluation", min(1, study.finetuning.rounds)),
    )
    return tuple(plan for plan in plans if plan.num_rounds > 0)


class StudyMachine:
    """Drives one study from joining to its end."""

    def __init__(
        self,
        digest: str,
        plan: Sequence[PhasePlan],
        federation: FederationConfig,
        num_sites: int,
    ) -> None:
        """`num_sites`: how many nodes to wait for before the first round."""
        self._digest = digest
        self._rounds = [(p.phase, number + 1) for p in plan for number in range(p.num_rounds)]
        self._federation = federation
        self._num_sites = max(num_sites, federation.min_sites)
        self._position = -1
        self._nodes: frozenset[int] = frozenset()
        self._excluded: dict[int, str] = {}
        self._pending: dict[int, int] = {}
        self._accepted: list[int] = []
        self._missing: dict[int, str] = {}
        self._waiting: dict[int, str] = {}
        self._over = False

    @property
    def pending(self) -> dict[int, int]:
        """Nodes that have yet to answer, with the attempt they are at."""
        return dict(self._pending)

    @property
    def is_joining(self) -> bool:
        """True until the first round opens."""
        return self._position < 0

    def handle(self, event: Event) -> list[Action]:
        """What follows from an event; nothing once the study is over."""
        if self._over:
            return []
        if isinstance(event, NodesSeen):
            return self._seen(event.nodes)
        if isinstance(event, DeadlinePassed):
            return self._deadline()
        if self._is_stale(event):
            return []
        if isinstance(event, Answered):
            del self._pending[event.node]
            self._accepted.append(event.node)
            return self._close_when_done()
        return self._failed(event)

    def _seen(self, nodes: frozenset[int]) -> list[Action]:
        self._nodes = self._nodes | nodes
        if self.is_joining and len(self._nodes) >= self._num_sites:
            return self._open_next()
        return []

    def _deadline(self) -> list[Action]:
        if self.is_joining:
            if len(self._nodes) >= self._federation.min_sites:
                return self._open_next()
            return self._abort(
                "deadline",
                f"{len(self._nodes)} of at least {self._federation.min_sites} sites connected in "
                "time. Start the missing nodes, or raise [federation] join_deadline_seconds.",
            )
        for node in self._pending:
            self._missing[node] = self._waiting.get(node, "deadline")
        self._pending.clear()
        return self._close_when_done()

    def _failed(self, event: Failed) -> list[Action]:
        attempt = self._pending[event.node]
        if event.code in WAITING_CODES:
            self._waiting[event.node] = event.code
            return [PushLater(event.node, event.work)]
        self._waiting.pop(event.node, None)
        if event.code not in PERMANENT_CODES and attempt < self._federation.max_attempts:
            self._pending[event.node] = attempt + 1
            return [Push(event.node, self._work(attempt + 1), again=True)]
        del self._pending[event.node]
        self._missing[event.node] = event.code
        if event.code in PERMANENT_CODES:
            self._excluded[event.node] = event.code
        return self._close_when_done()

    def _is_stale(self, event: Answered | Failed) -> bool:
        """An answer to an earlier round or attempt, or from a node that was not asked."""
        attempt = self._pending.get(event.node)
        return attempt is None or event.work != self._work(attempt)

    def _close_when_done(self) -> list[Action]:
        if self._pending:
            return []
        if len(self._accepted) < self._federation.min_sites:
            return self._abort(*self._why_too_few())
        if self._rounds[self._position][0] == "vocabulary":
            # Its subjects are in no total that weights are checked against: every update of
            # its own would be refused, or push another site's beyond the bound.
            self._excluded |= self._missing
        missing = tuple(sorted(self._missing.items()))
        close = Close(self._work(1), tuple(sorted(self._accepted)), missing)
        return [close, *self._open_next()]

    def _open_next(self) -> list[Action]:
        self._position += 1
        if self._position >= len(self._rounds):
            self._over = True
            return [Finish()]
        asked = sorted(self._nodes - self._excluded.keys())
        self._pending = dict.fromkeys(asked, 1)
        self._accepted = []
        self._missing = {}
        self._waiting = {}
        work = self._work(1)
        pushes = [Push(node, work, again=False) for node in asked]
        return [Open(work, tuple(asked)), *pushes, *self._close_when_done()]

    def _why_too_few(self) -> tuple[str, str]:
        codes = Counter((self._excluded | self._missing).values())
        code = min(codes, key=lambda name: (-codes[name], name)) if codes else "failed"
        told = ", ".join(f"{name} x{num}" for name, num in sorted(codes.items()))
        phase, number = self._rounds[self._position]
        return code, (
            f"only {len(self._accepted)} site(s) answered in round {number} of {phase}, fewer than "
            f"min_sites = {self._federation.min_sites} (missing: {told or 'none'}). "
            "Look into those sites' logs."
        )

    def _abort(self, code: str, reason: str) -> list[Action]:
        self._over = True
        return [Abort(code, reason)]

    def _work(self, attempt: int) -> WorkId:
        phase, number = self._rounds[self._position]
        return WorkId(self._digest, phase, number, attempt)
