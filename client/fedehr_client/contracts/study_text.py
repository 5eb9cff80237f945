"""`study_text`: `StudyFacts` as a page to read before deciding."""

from collections.abc import Iterable, Iterator
from textwrap import wrap

from fedehr_client.contracts.bound import Bound
from fedehr_client.contracts.cohort_words import cohort_in_words
from fedehr_client.contracts.study_facts import PhaseFacts, StudyFacts
from fedehr_shared.privacy.disclosure import Protection
from fedehr_shared.wire.work import Phase

_DIGEST_SHOWN = 12
_MOST_SITES_SHOWN = 20
_TITLES: dict[Phase, str] = {
    "vocabulary": "Vocabulary: counts of codes and labels",
    "pretraining": "Pre-training: a model learns from the events of training subjects",
    "finetuning": "Fine-tuning: the model learns the outcomes",
    "evaluation": "Evaluation: how well the model does on held-out subjects",
}
_UNPROTECTED = "covered by no noise and no least number of subjects"
_GROUPS: dict[Protection, str] = {
    "epsilon": "with this site's noise (see PRIVACY)",
    "cell_rule": "resting on {min_cell} subjects or more, without noise",
}
_NO_RECORD = (
    "No record leaves: no identifier, no event, no single value. No code comes in: what is "
    "installed here runs, and the coordinator's bundle is not read."
)
_ERRORS = (
    "Instead of an answer an error may leave: a documented word and a random reference. The "
    "connection tells times and sizes (docs/privacy.md)."
)


def study_text(facts: StudyFacts, node: str) -> Iterator[str]:
    """Lines; an empty one between the parts.

    Args:
        facts: of the contract.
        node: the node's folder, as commands name it.
    """
    yield from _head(facts)
    yield from ("", "WHAT IT READS HERE", *_records(facts))
    yield from ("", "WHAT LEAVES", *_leaving(facts))
    yield from ("", "HOW OFTEN", *_often(facts))
    yield from ("", "PRIVACY", *_privacy(facts))
    yield from ("", "WHO TAKES PART", *_sites(facts))
    yield from ("", "YOUR CEILINGS (site.toml)", *_bounds(facts.bounds))
    yield from ("", "DECIDE", *_decide(facts, node))


def wrapped(lines: Iterable[str], width: int) -> Iterator[str]:
    """Long lines broken below their own indent; commands and columns stay whole.

    What no screen prints becomes `?`: a contract's texts come from outside.

    Args:
        lines: of a page.
        width: in characters.
    """
    for raw in lines:
        line = "".join(letter if letter.isprintable() else "?" for letter in raw)
        text = line.lstrip()
        if len(line) <= width or "  " in text or text.startswith("fedehr-client"):
            yield line
            continue
        indent = " " * (len(line) - len(text))
        hang = indent + ("  " if text.startswith("- ") else "")
        yield from wrap(
            text, width, initial_indent=indent, subsequent_indent=hang, break_on_hyphens=False
        )


def size_in_words(num_bytes: int) -> str:
    """Decimal units: 1 MB is a million bytes."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes} bytes"


def time_in_words(seconds: float) -> str:
    """In the largest unit of which there are two or more."""
    for unit, scale in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.3g} seconds"


def _head(facts: StudyFacts) -> Iterator[str]:
    contract, known = facts.contract, facts.known
    yield f"study '{known.study.name}' at site {facts.site}: {facts.state}"
    yield f"  contract {known.digest}"
    yield (
        f"  signed for the coordinator {contract.coordinator} at {contract.created}, "
        f"good until {contract.deadline}"
    )
    signer = facts.signer
    yield f"  by {signer.subject}, key {signer.key_sha256[:16]}, valid until {signer.valid_until}"
    if facts.coordinator.rpartition(":")[0] != contract.coordinator:
        yield f"  note: this node talks to {facts.coordinator}"
    for decision in known.decisions:
        note = f": {decision.note}" if decision.note else ""
        yield f"  {decision.state} by {decision.by} at {decision.time}{note}"
    for fault in facts.faults:
        yield f"  DOES NOT HOLD: {fault}"


def _records(facts: StudyFacts) -> Iterator[str]:
    phases = {phase.phase for phase in facts.phases}
    num = facts.num_training_subjects
    told = "the number here is unknown" if num is None else f"{num:,} here"
    uses = "are counted" + (", and learnt from" if "pretraining" in phases else "")
    yield f"  Events of the training subjects (train split, {told}) {uses}."
    if "finetuning" in phases:
        labels = ", ".join(_task(facts, name) for name in _task_names(facts))
        yield f"  Labels: {labels}; learnt on training, judged on tuning and held-out subjects."
        yield f"  Whose labels: {cohort_in_words(facts.known.study.cohort)}."
    yield f"  Columns: {_columns(facts)}."


def _task_names(facts: StudyFacts) -> list[str]:
    return [task.name for task in facts.tasks]


def _task(facts: StudyFacts, name: str) -> str:
    task = next(task for task in facts.tasks if task.name == name)
    missing = " (no labels here)" if task.has_labels is False else ""
    return f"'{name}', {task.kind.replace('_', ' ')}{missing}"


def _columns(facts: StudyFacts) -> str:
    tables: dict[str, list[str]] = {}
    for column in facts.contract.columns:
        table, _, name = column.rpartition(".")
        tables.setdefault(table, []).append(name)
    # Label files are alike: told once each set of columns.
    by_columns: dict[str, list[str]] = {}
    for table, names in tables.items():
        by_columns.setdefault(", ".join(names), []).append(table)
    return "; ".join(f"{' and '.join(own)}: {names}" for names, own in by_columns.items())


def _leaving(facts: StudyFacts) -> Iterator[str]:
    explained: set[str] = set()
    for number, phase in enumerate(facts.phases, start=1):
        yield f"  {number}. {_TITLES[phase.phase]}"
        yield f"     {_sizes(phase)}"
        yield from _unprotected(phase, explained)
        for protection, title in _GROUPS.items():
            own = [sent.what for sent in phase.sent if sent.protection == protection]
            if own:
                yield f"     - {title.format(min_cell=facts.min_cell)}: {'; '.join(own)}"
        if phase.kept:
            yield f"     - kept here by the study's own setting: {'; '.join(phase.kept)}"
    public = {s.what: None for p in facts.phases for s in p.sent if s.protection == "public"}
    yield f"  Besides, following from no subject: {'; '.join(public)}."
    yield f"  {_NO_RECORD}"
    yield f"  {_ERRORS}"


def _sizes(phase: PhaseFacts) -> str:
    each = f"{phase.num_rounds} answers of {size_in_words(phase.max_answer_bytes)} at most"
    if phase.num_rounds == 1:
        return f"1 answer of {size_in_words(phase.max_answer_bytes)} at most"
    return f"{each}, {size_in_words(phase.max_bytes)} in all"


def _unprotected(phase: PhaseFacts, explained: set[str]) -> Iterator[str]:
    """What it could tell is said once a page."""
    own = [sent for sent in phase.sent if sent.protection == "not_covered"]
    new = [sent for sent in own if sent.what not in explained]
    if new:
        yield f"     - {_UNPROTECTED}:"
    for sent in new:
        explained.add(sent.what)
        yield f"         {sent.what}: {sent.reason}"
    again = [sent.what for sent in own if sent not in new]
    if again:
        yield f"     - {_UNPROTECTED}, as above: {'; '.join(again)}"


def _often(facts: StudyFacts) -> Iterator[str]:
    contract, known = facts.contract, facts.known
    runs = "once" if contract.num_runs == 1 else f"{contract.num_runs} times"
    within = time_in_words(known.study.federation.round_deadline_seconds)
    yield (
        f"  The study may be run {runs}: {known.num_rounds} answers a run, "
        f"{size_in_words(contract.max_run_bytes)} at most; a round is answered once, within "
        f"{within} (the same answer again where the line was cut)."
    )
    yield (
        f"  So far: {len(known.runs)} of {contract.num_runs} run(s) begun, "
        f"{known.num_rounds_answered} round(s) answered."
    )


def _privacy(facts: StudyFacts) -> Iterator[str]:
    contract, epsilon = facts.contract, facts.epsilon
    yield f"  {facts.privacy}"
    if contract.subject_epsilon is None:
        yield "  So it costs nothing of your budget of epsilon, and no budget bounds it."
    else:
        yield (
            f"  With its vocabulary one run alone costs each subject an epsilon of "
            f"{contract.subject_epsilon:.4g} (delta {contract.subject_delta:g}, one subject added "
            "or removed)."
        )
    ceiling = (
        "no ceiling is set" if epsilon.ceiling is None else f"your ceiling {epsilon.ceiling:g}"
    )
    left = "" if epsilon.left is None else f", {epsilon.left:.4g} left"
    yield (
        f"  Your ledger over all studies, at delta {epsilon.delta:g}: {epsilon.spent:.4g} spent, "
        f"{epsilon.after:.4g} after this study ({ceiling}{left})."
    )


def _sites(facts: StudyFacts) -> Iterator[str]:
    contract = facts.contract
    least = facts.known.study.federation.min_sites
    more = len(contract.sites) - _MOST_SITES_SHOWN
    rest = f" and {more} more (--json lists them)" if more > 0 else ""
    shown = ", ".join(contract.sites[:_MOST_SITES_SHOWN])
    yield f"  {len(contract.sites)} site(s): {shown}{rest}"
    yield f"  A round counts with the answers of {least} of them at least."


def _bounds(bounds: tuple[Bound, ...]) -> Iterator[str]:
    widths = [
        max(len(getattr(bound, name)) for bound in bounds) for name in ("key", "allowed", "asked")
    ]
    for bound in bounds:
        cells = (bound.key, bound.allowed, bound.asked)
        row = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield f"  {row}  {'CROSSED' if bound.is_crossed else 'ok'}"


def _decide(facts: StudyFacts, node: str) -> Iterator[str]:
    digest = facts.known.digest[:_DIGEST_SHOWN]
    for crossing in facts.crossings:
        yield f"  Cannot be approved: {crossing}"
    if facts.state == "approved":
        yield f"  fedehr-client revoke {node} {digest}"
        yield "  Then its next message is refused, also in a run that has begun."
    elif facts.state == "expired":
        yield "  It is over. Ask the coordinator for a new contract."
    else:
        if not facts.crossings:
            yield f"  fedehr-client approve {node} {digest}"
        if facts.state != "refused":
            yield f"  fedehr-client refuse {node} {digest}"
