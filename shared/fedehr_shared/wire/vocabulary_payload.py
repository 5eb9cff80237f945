"""`VocabularyReport` to and from the records that carry it."""

from fedehr_shared.errors import WireError
from fedehr_shared.vocabulary.histogram import MergedHistogram
from fedehr_shared.vocabulary.report import VocabularyReport
from fedehr_shared.wire.payload import Payload, Values


def report_to_payload(report: VocabularyReport) -> Payload:
    """The records of `docs/protocol.md`."""
    codes: Values = {
        "code": list(report.num_subjects_by_code),
        "num_subjects": list(report.num_subjects_by_code.values()),
        "child": list(report.parents),
        "parent": list(report.parents.values()),
    }
    edges = [edge for h in report.histograms.values() for edge in h.edges]
    counts = [count for h in report.histograms.values() for count in h.counts]
    histograms: Values = {
        "code": list(report.histograms),
        "num_bins": [len(h.counts) for h in report.histograms.values()],
        "edges": edges,
        "num_subjects": counts,
    }
    site: Values = {
        "site": report.site,
        "num_subjects": report.num_subjects,
    }
    labels: Values = {
        "task": list(report.labels),
        "num": [num for num, _ in report.labels.values()],
        "num_positive": [positive for _, positive in report.labels.values()],
    }
    return Payload(
        values={"report": site, "codes": codes, "histograms": histograms, "labels": labels}
    )


def report_from_payload(payload: Payload) -> VocabularyReport:
    """Read an answer.

    Raises:
        WireError: a record is missing or wrong, or lists differ in length.
    """
    try:
        return VocabularyReport(
            site=payload.text("report", "site"),
            num_subjects=payload.integer("report", "num_subjects"),
            num_subjects_by_code=dict(
                zip(
                    payload.texts("codes", "code"),
                    payload.integers("codes", "num_subjects"),
                    strict=True,
                )
            ),
            parents=dict(
                zip(payload.texts("codes", "child"), payload.texts("codes", "parent"), strict=True)
            ),
            histograms=_histograms(payload),
            labels=_labels(payload),
        )
    except ValueError as error:
        raise WireError("lists of a vocabulary answer differ in length.") from error


def _labels(payload: Payload) -> dict[str, tuple[int, int]]:
    counts = zip(
        payload.integers("labels", "num"), payload.integers("labels", "num_positive"), strict=True
    )
    return dict(zip(payload.texts("labels", "task"), counts, strict=True))


def _histograms(payload: Payload) -> dict[str, MergedHistogram]:
    edges = payload.integers("histograms", "edges")
    counts = payload.integers("histograms", "num_subjects")
    sizes = payload.integers("histograms", "num_bins")
    if sum(sizes) != len(counts) or sum(sizes) + len(sizes) != len(edges):
        raise WireError("histograms of a vocabulary answer do not fit their sizes.")
    result: dict[str, MergedHistogram] = {}
    at_edge = at_count = 0
    for code, size in zip(payload.texts("histograms", "code"), sizes, strict=True):
        result[code] = MergedHistogram(
            tuple(edges[at_edge : at_edge + size + 1]), tuple(counts[at_count : at_count + size])
        )
        at_edge += size + 1
        at_count += size
    return result
