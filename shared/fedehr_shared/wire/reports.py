"""What a site answers: an update, an evaluation or an error code."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

import numpy as np

from fedehr_shared.config.exchange import ExchangeConfig
from fedehr_shared.errors import ERROR_CODES, WireError
from fedehr_shared.metrics.score_histogram import ScoreHistogram
from fedehr_shared.wire.codec.record import decode, encode
from fedehr_shared.wire.payload import Arrays, Payload, Values

ROUND_METRICS = ("learning_rate", "grad_norm", "seconds", "code_entropy")
"""What a site tells of a round of training beside its loss, in `metrics`: the last step's rate,
the mean norm of the gradients before clipping, how long it trained, and in pre-training the
entropy (nats) of its code frequencies."""

_CLASSES, _LISTS = ("positive", "negative"), ("edges", "means", "deviations")
_MOST = 1e12
"""No honest number of a round is greater; sums and means over sites and rounds stay finite."""


@dataclass(frozen=True)
class TrainReport:
    """A round's training at one site.

    Attributes:
        site: the site's name.
        num_examples: training subjects (pre-training) or labelled training subjects with events
            (fine-tuning), by the cell rule; None: withheld.
        num_steps: optimizer steps taken, at least one.
        loss: mean training loss over the steps, nats; None: withheld.
        update: local weights less the weights received, by name.
        moments: AdamW's moments after the round, if the study averages them.
        metrics: further numbers, each named in `docs/protocol.md`; what is withheld is absent.
    """

    site: str
    num_examples: int | None
    num_steps: int
    loss: float | None
    update: Arrays
    moments: Arrays | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    def to_payload(
        self, exchange: ExchangeConfig, generator: np.random.Generator | None = None
    ) -> Payload:
        """The records of `docs/protocol.md`.

        Args:
            exchange: how tensors travel.
            generator: rounds an update that travels as `int8`.

        Raises:
            WireError: a tensor cannot be encoded.
        """
        compress = exchange.compress
        update = encode(self.update, exchange.dtype, compress=compress, generator=generator)
        tensors = {"update": update}
        if self.moments is not None:
            tensors["moments"] = encode(self.moments, exchange.state_dtype, compress=compress)
        report: Values = {"site": self.site, "num_steps": self.num_steps}
        if self.num_examples is not None:
            report["num_examples"] = self.num_examples
        if self.loss is not None:
            report["loss"] = self.loss
        return Payload(tensors=tensors, values={"report": report, "metrics": dict(self.metrics)})

    @classmethod
    def from_payload(
        cls,
        payload: Payload,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        moment_shapes: Mapping[str, tuple[int, ...]] | None = None,
        exchange: ExchangeConfig | None = None,
        *,
        may_lack: Container[str] = (),
    ) -> "TrainReport":
        """Read an answer.

        Args:
            payload: what came.
            shapes: of the update that was asked for; None: any.
            moment_shapes: of the moments; None: any.
            exchange: the dtypes that the study says; None: any.
            may_lack: which of `num_examples` and `loss` the study lets a site withhold.

        Raises:
            WireError: a record is missing or wrong, or a number is none that training finds.
        """
        if "update" not in payload.tensors:
            raise WireError("the answer holds no update.")
        num_examples, loss = _num_examples(payload, may_lack), _loss(payload, may_lack)
        num_steps = payload.integer("report", "num_steps")
        if num_steps < 1:
            raise WireError("the answer rests on no step.")
        keys = payload.values.get("metrics", {})
        metrics = {key: payload.number("metrics", key) for key in keys}
        for name, number in {"num_steps": num_steps, "loss": abs(loss or 0), **metrics}.items():
            is_share = name.startswith("back_off.") or name.endswith(".auroc")
            if not 0 <= number <= (1 if is_share else _MOST):
                raise WireError(f"the answer's {name} is below 0 or beyond all bounds.")
        moments = payload.tensors.get("moments")
        dtype = None if exchange is None else exchange.dtype
        state_dtype = None if exchange is None else exchange.state_dtype
        return cls(
            site=payload.text("report", "site"),
            num_examples=num_examples,
            num_steps=num_steps,
            loss=loss,
            update=decode(payload.tensors["update"], shapes=shapes, dtype=dtype),
            moments=None
            if moments is None
            else decode(moments, shapes=moment_shapes, dtype=state_dtype),
            metrics=metrics,
        )


def _num_examples(payload: Payload, may_lack: Container[str]) -> int | None:
    if "num_examples" in may_lack and not _is_told(payload, "num_examples"):
        return None
    num_examples = payload.integer("report", "num_examples")
    if num_examples < 1:
        raise WireError("the answer rests on no example.")
    return num_examples


def _loss(payload: Payload, may_lack: Container[str]) -> float | None:
    if "loss" in may_lack and not _is_told(payload, "loss"):
        return None
    return payload.number("report", "loss")


def _is_told(payload: Payload, key: str) -> bool:
    return key in payload.values.get("report", {})


@dataclass(frozen=True)
class EvaluationReport:
    """A site's held-out evaluation: metrics by question, and score histograms for pooling.

    Attributes:
        site: the site's name.
        min_cell: the site's, of which all counts are multiples.
        metrics: named as `docs/protocol.md` says; what is withheld is absent.
        scores: by question with scores, the histogram of the positives and of the negatives.
    """

    site: str
    min_cell: int
    metrics: dict[str, float]
    scores: dict[str, tuple[ScoreHistogram, ScoreHistogram]]

    def to_payload(self) -> Payload:
        """The records of `docs/protocol.md`."""
        report: Values = {"site": self.site, "min_cell": self.min_cell}
        values: dict[str, Values] = {"report": report, "metrics": dict(self.metrics)}
        for question, histograms in self.scores.items():
            record: Values = {}
            for name, told in zip(_CLASSES, histograms, strict=True):
                record[f"{name}.num"] = told.num
                record |= {f"{name}.{key}": list(getattr(told, key)) for key in _LISTS}
            values[f"scores.{question}"] = record
        return Payload(values=values)

    @classmethod
    def from_payload(cls, payload: Payload) -> "EvaluationReport":
        """Read an answer.

        Raises:
            WireError: a record is missing or wrong, or a histogram is none that a site made.
        """
        min_cell = payload.integer("report", "min_cell")
        metrics = payload.values.get("metrics", {})
        return cls(
            site=payload.text("report", "site"),
            min_cell=min_cell,
            metrics={key: payload.number("metrics", key) for key in metrics},
            scores={
                record.removeprefix("scores."): _histograms(payload, record, min_cell)
                for record in payload.values
                if record.startswith("scores.")
            },
        )


def _histograms(
    payload: Payload, record: str, min_cell: int
) -> tuple[ScoreHistogram, ScoreHistogram]:
    positives, negatives = (
        ScoreHistogram(
            payload.integer(record, f"{name}.num"),
            min_cell,
            *(tuple(payload.integers(record, f"{name}.{key}")) for key in _LISTS),
        )
        for name in _CLASSES
    )
    fault = positives.fault() or negatives.fault()
    if fault:
        raise WireError(f"{record} holds {fault}.")
    return positives, negatives


@dataclass(frozen=True)
class ErrorReport:
    """A failure at a site: a documented code and a random reference, never text.

    The site's log holds the reference with the reason.
    """

    code: str
    reference: str

    def to_payload(self) -> Payload:
        """The records of `docs/protocol.md`."""
        return Payload(values={"error": {"code": self.code, "reference": self.reference}})

    @classmethod
    def from_payload(cls, payload: Payload) -> "ErrorReport":
        """Read a failure; a code that is not documented becomes `failed`."""
        code = payload.text("error", "code")
        reference = payload.text("error", "reference")
        return cls(code if code in ERROR_CODES else "failed", reference[:64])
