"""`VocabularyReport` to and from the records that carry it.

Small numbers are small on the wire, so counts travel in units of `min_cell`, edges as
differences, and codes named a second time as indices.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from fedehr_shared.errors import WireError
from fedehr_shared.vocabulary.histogram import MergedHistogram
from fedehr_shared.vocabulary.noise_spent import NoiseSpent
from fedehr_shared.vocabulary.report import VocabularyReport
from fedehr_shared.wire.payload import Payload, Values

_NO_PARENT = -1
_MOST_SUBJECTS = 2**40
"""More than there are people. Sums of such counts over all sites stay exact in 64 bits."""


def report_to_payload(report: VocabularyReport) -> Payload:
    """The records of `docs/protocol.md`."""
    values: dict[str, Values] = {
        "report": {
            "site": report.site,
            "num_subjects": report.num_subjects,
            "unit": report.unit,
        },
        "labels": {
            "task": list(report.labels),
            "num_parts": [len(counts) for counts in report.labels.values()],
            "num": [num for counts in report.labels.values() for num in counts],
        },
    }
    if report.num_subjects_by_code:
        values |= {"codes": _code_values(report), "histograms": _histogram_values(report)}
    if report.noise is not None:
        values["noise"] = {
            "subject_epsilon": report.noise.subject_epsilon,
            "delta": report.noise.delta,
            "sigma": report.noise.sigma,
        }
    return Payload(values=values)


def report_from_payload(payload: Payload) -> VocabularyReport:
    """Read an answer.

    Raises:
        WireError: a record is missing or wrong, lists differ in length, or an index or a count
            lies outside its bounds.
    """
    unit = payload.integer("report", "unit")
    if unit < 1:
        raise WireError("the unit of a vocabulary answer is below 1.")
    # Either all that a study without `reuse` asks for, or nothing of it.
    asked = "codes" in payload.values or "histograms" in payload.values
    try:
        codes = payload.texts("codes", "code") if asked else []
        report = VocabularyReport(
            site=payload.text("report", "site"),
            num_subjects=payload.integer("report", "num_subjects"),
            num_subjects_by_code=_counts(payload, codes, unit) if asked else {},
            parents=_parents(payload, codes) if asked else {},
            histograms=_histograms(payload, codes, unit) if asked else {},
            labels=_labels(payload),
            unit=unit,
            noise=_noise(payload),
        )
    except ValueError as error:
        raise WireError("lists of a vocabulary answer differ in length.") from error
    if _greatest(report) > _MOST_SUBJECTS:
        raise WireError("a vocabulary answer counts more subjects than there are people.")
    return report


def _greatest(report: VocabularyReport) -> int:
    """The greatest of its counts."""
    return max(
        [report.num_subjects, *report.num_subjects_by_code.values()]
        + [sum(histogram.counts) for histogram in report.histograms.values()]
        + [sum(counts) for counts in report.labels.values()]
    )


def _code_values(report: VocabularyReport) -> Values:
    names = list(report.num_subjects_by_code)
    above = set(report.parents) | set(report.parents.values())
    names += sorted(above - report.num_subjects_by_code.keys())
    indices = {name: index for index, name in enumerate(names)}
    parents = [report.parents.get(name) for name in names]
    return {
        "code": list(report.num_subjects_by_code),
        "num_units": [num // report.unit for num in report.num_subjects_by_code.values()],
        "above": names[len(report.num_subjects_by_code) :],
        "parent": [_NO_PARENT if parent is None else indices[parent] for parent in parents],
    }


def _histogram_values(report: VocabularyReport) -> Values:
    indices = {name: index for index, name in enumerate(report.num_subjects_by_code)}
    histograms = report.histograms.values()
    steps = [b - a for h in histograms for a, b in pairwise((0, *h.edges))]
    return {
        "code": [indices[name] for name in report.histograms],
        "num_bins": [len(h.counts) for h in histograms],
        "edge_steps": steps,
        "num_units": [count // report.unit for h in histograms for count in h.counts],
    }


def _counts(payload: Payload, codes: Sequence[str], unit: int) -> dict[str, int]:
    counts = payload.integers("codes", "num_units")
    if len(set(codes)) != len(codes):
        raise WireError("a vocabulary answer names a code twice.")
    return {code: num * unit for code, num in zip(codes, counts, strict=True)}


def _parents(payload: Payload, codes: Sequence[str]) -> dict[str, str]:
    names = [*codes, *payload.texts("codes", "above")]
    parents = payload.integers("codes", "parent")
    if any(not _NO_PARENT <= parent < len(names) for parent in parents):
        raise WireError("a vocabulary answer names a parent that it does not list.")
    pairs = zip(names, parents, strict=True)
    return {name: names[parent] for name, parent in pairs if parent != _NO_PARENT}


def _histograms(payload: Payload, codes: Sequence[str], unit: int) -> dict[str, MergedHistogram]:
    steps = payload.integers("histograms", "edge_steps")
    counts = payload.integers("histograms", "num_units")
    sizes = payload.integers("histograms", "num_bins")
    rows = payload.integers("histograms", "code")
    fits = sum(sizes) == len(counts) and sum(sizes) + len(sizes) == len(steps)
    if not fits or any(size < 1 for size in sizes):
        raise WireError("histograms of a vocabulary answer do not fit their sizes.")
    if any(not 0 <= row < len(codes) for row in rows) or len(set(rows)) != len(rows):
        raise WireError("a histogram of a vocabulary answer belongs to no code, or to one twice.")
    result: dict[str, MergedHistogram] = {}
    at_edge = at_count = 0
    for row, size in zip(rows, sizes, strict=True):
        edges = tuple(accumulate(steps[at_edge : at_edge + size + 1]))
        told = tuple(num * unit for num in counts[at_count : at_count + size])
        result[codes[row]] = MergedHistogram(edges, told)
        at_edge += size + 1
        at_count += size
    return result


def _labels(payload: Payload) -> dict[str, tuple[int, ...]]:
    tasks, sizes = payload.texts("labels", "task"), payload.integers("labels", "num_parts")
    counts = payload.integers("labels", "num")
    if len(set(tasks)) != len(tasks):
        raise WireError("a vocabulary answer names a task twice.")
    if sum(sizes) != len(counts) or any(size < 1 for size in sizes):
        raise WireError("label counts of a vocabulary answer do not fit their sizes.")
    ends = accumulate(sizes)
    told = [tuple(counts[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    return dict(zip(tasks, told, strict=True))


def _noise(payload: Payload) -> NoiseSpent | None:
    if "noise" not in payload.values:
        return None
    return NoiseSpent(
        subject_epsilon=payload.number("noise", "subject_epsilon"),
        delta=payload.number("noise", "delta"),
        sigma=payload.number("noise", "sigma"),
    )
