"""The text of a new `study.toml`: every section and key, its unit, its default, its bounds.

Defaults and bounds are read from `StudyConfig`, so that they cannot go stale; the words are
here, and a test finds a key that has none.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence

from pydantic.fields import FieldInfo

from fedehr_shared.config.section import Section, parse
from fedehr_shared.config.study import StudyConfig

_WIDTH = 96
_PHASE = {
    "rounds": "Rounds: a site trains, the coordinator averages.",
    "steps_per_round": "Optimizer steps that every site takes in a round.",
    "steps_per_epoch": (
        "A site's batch is its number of training subjects divided by this, so that all sites "
        "take equally many steps whatever their size."
    ),
    "epochs_per_round": (
        "Above 0: a round is so many passes over the site's subjects, in place of steps_per_round."
    ),
    "minutes_per_round": (
        "Above 0: a site ends its round after so many minutes, whatever it has done by then; such "
        "a study cannot be repeated bit by bit."
    ),
    "batch_subjects": (
        "Above 0: every site's batch has so many subjects, in place of steps_per_epoch."
    ),
    "learning_rate": "Highest learning rate of AdamW.",
    "schedule": (
        'After the warm-up: "cosine" to zero over all rounds of the phase, or "constant".'
    ),
    "warmup_share": "Share of the phase's steps with a rising rate.",
    "weight_decay": "Weight decay of AdamW.",
    "max_grad_norm": "Gradients are clipped to this norm.",
    "proximal_weight": (
        "FedProx: half of this times the squared distance from the round's first weights is added "
        "to the loss."
    ),
    "optimizer_state": (
        '"averaged": the moments of AdamW travel and are averaged with the weights (three times '
        'the bytes). "kept": each site keeps its own. "fresh": every round starts with empty ones.'
    ),
}
_PRIVATE_PHASE = {
    "sample_rate": (
        "Chance that a step sees a training subject: private steps draw their subjects by it, and "
        "not by steps_per_epoch."
    ),
    "max_grad_norm": (
        "A subject's gradient is scaled down to this norm; with clipping_quantile the first one."
    ),
}
WORDS: dict[str, str] = {
    "name": "The study's name: lower case letters, digits, - and _.",
    "seed": "First weights, batches and masks follow from it.",
    "federation": "How many sites take part and how long a round waits.",
    "federation.min_sites": "A round counts only with at least this many sites' answers.",
    "federation.round_deadline_seconds": (
        "Seconds. A round ends at its deadline or when all have answered."
    ),
    "federation.join_deadline_seconds": "Seconds. How long the run waits for sites to connect.",
    "federation.max_attempts": "How often a site that failed is asked in one round.",
    "vocabulary": "What may become a token, and what a site may report to decide it.",
    "vocabulary.min_cell": (
        "Subjects. No number that rests on fewer leaves a site; a site whose own floor is higher "
        "refuses the study."
    ),
    "vocabulary.min_sites": "Sites that must report a code, or a code below it, to keep it.",
    "vocabulary.num_value_bins": "Quantile bins of a code with values: 10 are deciles.",
    "vocabulary.num_hash_buckets": (
        "Tokens for codes that are known by the words of their description alone; each is a row "
        "of the embedding."
    ),
    "vocabulary.noise_epsilon": (
        "Epsilon of Gaussian noise on what sites report of codes, values and labels, charged to "
        "each site's subjects; 0: no noise."
    ),
    "vocabulary.noise_delta": "Its delta, well below one in the number of a site's subjects.",
    "vocabulary.max_codes_per_subject": (
        "With noise: codes at which a subject counts, those above its own included; the noise "
        "grows with the square root."
    ),
    "vocabulary.reuse": (
        "Digest of an earlier study's vocabulary: sites report no code again; empty: a new one."
    ),
    "cohort": "Whose labels count; pre-training sees every record all the same.",
    "cohort.min_age_years": "Years at the prediction time.",
    "cohort.max_age_years": "Years at the prediction time; 200 is no bound.",
    "cohort.setting": (
        "Regular expression over whole codes (RE2): one must be known by the prediction time in "
        "the same visit, for example ICU_ADMISSION(//.*)?; empty: anywhere."
    ),
    "cohort.start_date": "First day of prediction, as 2024-12-31; empty: any.",
    "cohort.end_date": "Last day of prediction; empty: any.",
    "cohort.min_history_hours": "Hours from the first known event to the prediction.",
    "sequence": "How a subject's events become one sequence.",
    "sequence.context": (
        "Tokens. Of a longer history pre-training reads another stretch each epoch, and "
        "fine-tuning and scoring the latest."
    ),
    "sequence.skip_repeats": (
        "Leave out a measurement in the same bin as the one before it in the same stay."
    ),
    "model": "The encoder's size; size = tiny, small, base or large may stand for three numbers.",
    "model.layers": "Transformer layers.",
    "model.hidden": "Width of a token's encoding; a multiple of 2 x heads.",
    "model.heads": "Attention heads.",
    "model.pooling": (
        'From token encodings to one subject encoding: "mean", "sum", or "attention", a mean whose '
        "weights are learnt with the heads."
    ),
    "masking": "Masked events: what is hidden in pre-training.",
    "masking.rate": "Share of positions that are hidden and to be found.",
    "masking.mask_share": "Share of the hidden positions that show [MASK].",
    "masking.random_share": "Share of them that show a random token; the rest stays as it was.",
    "masking.hide_copies": (
        "Hide all events of a code in a stay (outside stays: in a day) together, lest one copy "
        "give away another."
    ),
    "masking.whole_visit_share": (
        "Share of sequences in which one whole stay or day is hidden instead of single codes, "
        "unless the one drawn is more than half of its sequence."
    ),
    "objective": "What pre-training asks of the encoder.",
    "objective.kind": (
        '"masked_events": name what [masking] hides. "masked_autoencoder": encode only what is '
        'visible, a light decoder names the rest. "contrastive": two masked views of a subject '
        "must be closer than those of others."
    ),
    "objective.hidden_share": "Share of events that a masked autoencoder hides.",
    "objective.decoder_layers": "Layers of its decoder, which is half as wide as the encoder.",
    "objective.contrastive_weight": (
        "The contrastive loss times this is added to the other kinds' loss; 0: left out."
    ),
    "objective.contrastive_group": "Subjects of a batch that are told from each other.",
    "objective.temperature": "Of the contrastive loss: a lower one asks for sharper differences.",
    "objective.projection": "Width in which views of subjects are compared.",
    "pretraining": "Self-supervised pre-training on the train split; 0 rounds leave it out.",
    **{f"pretraining.{key}": words for key, words in _PHASE.items()},
    "pretraining.reuse": (
        "Digest of a model that an earlier study pre-trained; empty: rounds of its own."
    ),
    "pretraining.private_bias": (
        "Each site fits an output bias for its own code frequencies, and keeps it."
    ),
    "finetuning": "Fine-tuning with one head a task, from the pre-trained weights.",
    **{f"finetuning.{key}": words for key, words in _PHASE.items()},
    "finetuning.tasks": "Tasks: each is a file labels/<task>.parquet at the sites that hold it.",
    "finetuning.tuning": (
        'What is trained. "probe": the heads alone. "probe_then_full": the heads, then everything. '
        '"full": everything. "gradual": the heads, then layer after layer from the top. "lora": '
        "heads and low-rank adapters. What is not trained is sent to a site once."
    ),
    "finetuning.probe_share": (
        '"probe_then_full" and "gradual": this share of the rounds trains the heads alone.'
    ),
    "finetuning.layer_rate_decay": (
        '"gradual": each layer learns at this times the rate of the one above it.'
    ),
    "finetuning.local_parts": (
        'Parts that each site trains for itself and keeps: "heads", "adapters".'
    ),
    "finetuning.encoder_rate_factor": ("The encoder's learning rate as a share of the heads'."),
    "finetuning.wide": (
        "Add to each head a linear term over the tokens that a sequence holds; with lora it is off "
        "unless asked for."
    ),
    "finetuning.shortcut": "Heads see the tokens' embeddings beside their encodings, and the age.",
    "finetuning.dropout": "Dropout on the subject's encoding, in training only.",
    "lora": 'Low-rank adapters, with tuning = "lora".',
    "lora.variant": '"lora", or "vera": A and B are drawn once, and two vectors learn.',
    "lora.rank": "Rank of the adapters.",
    "lora.alpha": "The adapters' product is scaled by alpha / rank.",
    "lora.rank_stabilized": "Scale by alpha / sqrt(rank) instead.",
    "lora.target_modules": "Matrices with adapters, of q, k, v, o, gate, up and down.",
    "lora.layer_ranks": (
        "A rank for each layer, from the lowest; 0: no adapters; empty: rank everywhere."
    ),
    "lora.rate_factor": "The adapters' learning rate as a share of the heads'.",
    "lora.b_rate_factor": "LoRA+: the learning rate of B as a multiple of A's.",
    "lora.aggregation": (
        'How the sites\' adapters become one. "average": A and B apart. "frozen_a": A never '
        'learns. "alternating": B and A in turn. "reprojection": the exact sum, cut to the rank, '
        'the rest folded into the base. "stacking": the exact sum, folded into the base.'
    ),
    "loss": "What fine-tuning minimizes, and how its tasks share.",
    "loss.kind": '"cross_entropy", or "focal", which looks at hard examples.',
    "loss.focal_gamma": "How much less an easy example counts; 0: as cross-entropy.",
    "loss.label_smoothing": "Labels move this far towards one half.",
    "loss.class_weights": '"balanced": all classes of a task weigh the same; "none": each label.',
    "loss.task_weights": (
        '"equal"; "fixed": by the weight of [tasks.NAME]; "dynamic": a task whose tuning loss '
        'falls slowly weighs more; "uncertainty": weights are learnt.'
    ),
    "loss.dynamic_temperature": "Of the dynamic weights: a higher one makes them more alike.",
    "tasks": (
        "A task that is not binary, or has a weight or thresholds of its own, gets a table "
        '[tasks.NAME] with kind = "binary", "multiclass", "regression" or "time_to_event"; see '
        "docs/heads.md."
    ),
    "exchange": "How tensors travel.",
    "exchange.dtype": (
        '"fp32", "bf16", "fp16", or "int8" for the sites\' updates, with fp16 for the rest.'
    ),
    "exchange.compress": "With zstd, where it makes a tensor smaller.",
    "evaluation": "The held-out evaluation that ends a study.",
    "evaluation.num_bootstraps": "Bootstrap replicates over subjects for the 95 % intervals.",
    "evaluation.calibration": (
        'Fitted by each site on its tuning split: "none", "temperature" or "platt".'
    ),
    "evaluation.num_calibration_bins": "Bins of equal mass for the calibration error.",
    "evaluation.subgroups": 'By what scores are told apart: "sex", "age".',
    "evaluation.age_bands_years": "Years at the prediction at which one band ends.",
    "privacy": "Differential privacy of training; see docs/privacy-accounting.md.",
    "privacy.mechanism": (
        '"none"; "local": each site adds noise to its own steps, and epsilon is of a subject; '
        '"central": the coordinator adds noise to the mean of the updates, which it sees, and '
        "epsilon is of a whole site."
    ),
    "privacy.phases": '"local": the phases with noise; epsilon does not cover the others.',
    "privacy.target_epsilon": (
        "Of all noisy training of the study together; the noise follows. 0: noise_multiplier "
        "says it."
    ),
    "privacy.target_delta": (
        "Its delta; well below one in the number of a site's subjects (central: of sites)."
    ),
    "privacy.noise_multiplier": (
        "In place of target_epsilon: the noise's standard deviation by what one subject (central: "
        "one site) can change; 0: target_epsilon says it."
    ),
    "privacy.nominal_subjects": (
        '"local": a public guess of a site\'s training subjects. Sums over a step are divided by '
        "sample_rate times it."
    ),
    "privacy.clipping_quantile": (
        '"local": above 0 the clipping norm follows this quantile of the gradients\' norms, whose '
        "noisy count is part of the price."
    ),
    "privacy.clipping_rate": "How quickly it follows.",
    "privacy.clipping_count_noise": "Standard deviation of that count's noise, in subjects.",
    "privacy.metrics": (
        'What a site tells of its training and tuning split beside its update: "cell_rule": as '
        'without noise, not covered by epsilon; "withheld": nothing.'
    ),
    "privacy.max_update_norm": '"central": a site\'s update is scaled down to this norm.',
    **{
        f"privacy.{phase}": f'"local": the steps of [{phase}].'
        for phase in ("pretraining", "finetuning")
    },
    **{
        f"privacy.{phase}.{key}": words
        for phase in ("pretraining", "finetuning")
        for key, words in _PRIVATE_PHASE.items()
    },
}


_HEAD = (
    "# A fedehr study: what a coordinator proposes and a hospital approves.",
    "# Keys stand at their defaults; a key left out means the same. Unknown keys are refused.",
)
_UNDER_NOISE = (
    "# [privacy] changes some defaults of [finetuning]: the heads alone are trained, in few steps",
    "# on large batches, which keeps most of the skill under noise (docs/privacy-utility.md).",
)


def write_study_text(
    name: str, tasks: Sequence[str], privacy: Mapping[str, object] | None = None
) -> str:
    """A study of this name and these tasks with all defaults, as commented TOML.

    Args:
        name: the study's.
        tasks: what is learnt.
        privacy: keys of `[privacy]`, which other defaults may follow from.

    Raises:
        ConfigError: the name, a task or a key is not allowed.
    """
    values = {"name": name, "finetuning": {"tasks": list(tasks)}, "privacy": dict(privacy or {})}
    study = parse(values, StudyConfig, "the new study")
    lines = [*_HEAD, *(_UNDER_NOISE if privacy else ()), ""]
    sections: list[str] = []
    for key, field in StudyConfig.model_fields.items():
        value = getattr(study, key)
        if isinstance(value, Section):
            sections += _section(key, value)
        elif isinstance(value, dict):
            sections += ["", *_comment(WORDS[key])]
        else:
            lines += _key(key, key, value, field)
    return "\n".join([*lines, *sections]) + "\n"


def _section(name: str, section: Section) -> list[str]:
    lines = ["", *_comment(WORDS[name]), f"[{name}]"]
    within: list[str] = []
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        if isinstance(value, Section):
            within += _section(f"{name}.{key}", value)
        else:
            lines += _key(f"{name}.{key}", key, value, field)
    return lines + within


def _key(path: str, key: str, value: object, field: FieldInfo) -> list[str]:
    bounds = _bounds(field)
    notes = ["no default" if field.is_required() else f"default {_toml(field.default)}"]
    notes += [bounds] if bounds else []
    return [*_comment(f"{WORDS[path]} ({'; '.join(notes)})"), f"{key} = {_toml(value)}"]


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH, break_on_hyphens=False)]


def _bounds(field: FieldInfo) -> str:
    """`1 to 20`, `above 0`, ...: from the field's own constraints."""
    limits = {
        name: getattr(constraint, name)
        for constraint in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(constraint, name, None) is not None
    }
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return ", ".join(f"{words[name]} {limit:_}" for name, limit in limits.items())


def _toml(value: object) -> str:
    """A TOML value: strings, booleans, numbers and lists of them read as JSON does."""
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)
