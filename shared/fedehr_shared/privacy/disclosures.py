"""`DISCLOSURES`: every number and text of a site's answers, and what protects each.

docs/privacy.md has it as a table. A site sends no answer that holds anything else.
"""

from fedehr_shared.privacy.disclosure import Disclosure
from fedehr_shared.wire.work import PHASES, Phase

_TRAINING: tuple[Phase, ...] = ("pretraining", "finetuning")
_SPLIT_ALONE = "epsilon speaks of training subjects; these are others, and train nothing"
_HELD_OUT = "no noise is added to it: " + _SPLIT_ALONE
_COUNTS = "a multiple of min_cell, so that no difference counts a small group"

_OF_ANY_ANSWER = (
    Disclosure(
        "report", ("site",), PHASES, "the site's name", "", "none", "public", "public",
        "chosen by the site",
    ),
    Disclosure(
        "error", ("code",), PHASES, "why the site did not answer", "", "all", "not_covered",
        "not_covered", "a documented word: `too_few_subjects`, `missing_task`, `data`, "
        "`training`, `compute` and `failed` can follow from the site's records, `budget` from its "
        "ledger, `not_approved`, `held` and `busy` from the people and the hours there, the others "
        "from the study or the machine; so can it that no answer comes",
    ),
    Disclosure(
        "error", ("reference",), PHASES, "the entry in the site's log", "", "none", "public",
        "public", "drawn at random",
    ),
)  # fmt: skip

_OF_THE_VOCABULARY = (
    Disclosure(
        "report", ("num_subjects",), ("vocabulary",), "training subjects", "subjects", "training",
        "cell_rule", "cell_rule", "weighs the site in every mean and gets no noise; " + _COUNTS,
    ),
    Disclosure(
        "report", ("unit",), ("vocabulary",), "what counts are multiples of", "subjects", "none",
        "public", "public", "set by the site and the study",
    ),
    Disclosure(
        "codes", ("code", "num_units"), ("vocabulary",), "codes, and who has them", "subjects",
        "training", "cell_rule", "epsilon",
        "a code of fewer than min_cell subjects is not named; " + _COUNTS,
    ),
    Disclosure(
        "codes", ("above", "parent"), ("vocabulary",), "the codes above those", "", "training",
        "cell_rule", "epsilon", "of named codes alone, read from the site's code table, which is "
        "no record of a subject",
    ),
    Disclosure(
        "histograms", ("code", "num_bins", "edge_steps", "num_units"), ("vocabulary",),
        "subjects by their first value of a code", "subjects", "training", "cell_rule", "epsilon",
        "bins of min_cell subjects and more; no least, greatest or single value",
    ),
    Disclosure(
        "noise", ("subject_epsilon", "delta", "sigma"), ("vocabulary",), "what noise was added", "",
        "none", "public", "public", "follows from the study",
    ),
    Disclosure(
        "labels", ("task", "num_parts", "num"), ("vocabulary",), "labels by task and outcome",
        "subjects", "training", "cell_rule", "epsilon",
        "first biases and class weights follow from them; which label files a site has gets no "
        "noise; " + _COUNTS,
    ),
)  # fmt: skip

_OF_TRAINING = (
    Disclosure(
        "update", ("<parameter>",), _TRAINING, "how the weights changed", "", "training",
        "not_covered", "epsilon",
        "without noise an update can tell of single subjects (docs/attacks.md)",
    ),
    Disclosure(
        "moments", ("<parameter>.first", "<parameter>.second_root"), _TRAINING,
        "AdamW's means of gradients", "", "training", "not_covered", "epsilon",
        "follow from the gradients, as the update does",
    ),
    Disclosure(
        "report", ("num_examples",), _TRAINING, "training subjects with events, and labels",
        "subjects", "training", "cell_rule", "cell_rule",
        "weighs the update; " + _COUNTS, is_withheld=True,
    ),
    Disclosure(
        "report", ("num_steps",), _TRAINING, "optimizer steps", "", "training", "cell_rule",
        "public", "with noise it is `steps_per_round`; otherwise it may follow from the count of "
        "subjects as told, or from the machine's speed",
    ),
    Disclosure(
        "report", ("loss",), _TRAINING, "mean training loss", "nats", "training", "not_covered",
        "not_covered", "exact without noise; in a phase with noise two digits, where the round's "
        "steps see min_cell subjects and more, as expected from public numbers", is_withheld=True,
    ),
    Disclosure(
        "metrics", ("learning_rate",), _TRAINING, "learning rate of the last step", "",
        "training", "cell_rule", "public",
        "follows from the study and the number of steps, and tells no more than that",
    ),
    Disclosure(
        "metrics", ("grad_norm",), _TRAINING, "mean norm of the gradients", "", "training",
        "not_covered", "epsilon", "exact without noise; with it, of the noisy gradients",
        is_withheld=True,
    ),
    Disclosure(
        "metrics", ("seconds",), _TRAINING, "how long training took", "seconds, in tenths",
        "training", "not_covered", "not_covered",
        "grows with the records that a round sees; the coordinator's clock sees it too",
        is_withheld=True,
    ),
    Disclosure(
        "metrics", ("code_entropy",), ("pretraining",), "entropy of the code frequencies",
        "nats, in hundredths", "training", "not_covered", "not_covered",
        "a mean over all training subjects, without noise", is_withheld=True,
    ),
    Disclosure(
        "metrics",
        ("back_off.exact", "back_off.ancestor", "back_off.bucket", "back_off.unknown"),
        _TRAINING, "share of events that the vocabulary knows", "share, in hundredths", "all",
        "cell_rule", "cell_rule",
        "held-out subjects' events included; what rests on fewer than min_cell is left out",
        is_withheld=True,
    ),
    Disclosure(
        "metrics", ("tuning.<task>.auroc",), ("finetuning",),
        "AUROC of the weights received", "", "tuning", "cell_rule", "cell_rule",
        "in coarse steps; " + _SPLIT_ALONE, is_withheld=True,
    ),
    Disclosure(
        "metrics", ("tuning.<task>.num",), ("finetuning",), "labelled tuning subjects",
        "subjects", "tuning", "cell_rule", "cell_rule", _COUNTS, is_withheld=True,
    ),
    Disclosure(
        "metrics", ("tuning.<task>.loss",), ("finetuning",),
        "a task's mean loss", "nats, in thousandths", "tuning", "cell_rule", "cell_rule",
        "the tasks' weights follow from it; " + _SPLIT_ALONE, is_withheld=True,
    ),
    Disclosure(
        "metrics", ("labels.<task>",), ("finetuning",), "labelled training subjects",
        "subjects", "training", "cell_rule", "cell_rule",
        "weighs the update of the task's head; " + _COUNTS, is_withheld=True,
    ),
)  # fmt: skip

_OF_EVALUATION = (
    Disclosure(
        "report", ("min_cell",), ("evaluation",), "what counts are multiples of", "subjects",
        "none", "public", "public", "set by the site and the study",
    ),
    Disclosure(
        "metrics", ("<question>.num", "<question>.num_positive"), ("evaluation",),
        "subjects with an answer", "subjects", "held_out", "cell_rule", "cell_rule", _COUNTS,
    ),
    Disclosure(
        "metrics", ("<question>.<metric>", "<question>.<metric>.low", "<question>.<metric>.high"),
        ("evaluation",), "how well the model predicts", "", "held_out", "cell_rule", "cell_rule",
        "in coarse steps; " + _HELD_OUT,
    ),
    Disclosure(
        "metrics",
        (
            "<question>/<kind>/<group>.num", "<question>/<kind>/<group>.num_positive",
            "<question>/<kind>/<group>.<metric>", "<question>/<kind>/<group>.<metric>.low",
            "<question>/<kind>/<group>.<metric>.high",
        ),
        ("evaluation",), "the same of a sex or an age band", "", "held_out", "cell_rule",
        "cell_rule", "a group of few is hidden, and others with it; " + _HELD_OUT,
    ),
    Disclosure(
        "metrics", ("calibration.<task>.slope", "calibration.<task>.intercept"), ("evaluation",),
        "the site's calibration", "thousandths", "tuning", "cell_rule", "cell_rule",
        "fitted without noise; `withheld` refuses a study that asks for it",
    ),
    Disclosure(
        "metrics", ("uncalibrated.<question>.<metric>",), ("evaluation",),
        "metrics before that calibration", "", "held_out", "cell_rule", "cell_rule", _HELD_OUT,
    ),
    Disclosure(
        "scores.<question>",
        (
            "positive.num", "positive.edges", "positive.means", "positive.deviations",
            "negative.num", "negative.edges", "negative.means", "negative.deviations",
        ),
        ("evaluation",), "histograms of the model's scores", "cells of 1/1024 log-odds", "held_out",
        "cell_rule", "cell_rule", "bins of min_cell subjects and more; " + _HELD_OUT,
    ),
)  # fmt: skip

NOTICES: tuple[Disclosure, ...] = (
    Disclosure(
        "proposal", ("site",), (), "the site's name", "", "none", "public", "public",
        "chosen by the site",
    ),
    Disclosure(
        "proposal", ("state",), (), "whether a person there approved the study", "", "none",
        "public", "public", "`waiting`, `approved` or `refused`; decided before any record is read",
    ),
    Disclosure(
        "end", ("site",), (), "the site's name: it has heard of a run's end", "", "none", "public",
        "public", "chosen by the site",
    ),
    Disclosure(
        "error", ("code", "reference"), (), "why the site did not answer", "", "none", "public",
        "public", "no record is read for these answers",
    ),
)  # fmt: skip
"""What a site says of a contract, apart from the phases of a study."""

DISCLOSURES: tuple[Disclosure, ...] = (
    *_OF_ANY_ANSWER, *_OF_THE_VOCABULARY, *_OF_TRAINING, *_OF_EVALUATION,
)  # fmt: skip
