"""`with_private_defaults`: what a study's fine-tuning is by default where its sites add noise.

Noise costs less the fewer numbers are trained, and in few steps on large batches than in many on
small ones. These are the settings that kept most of the skill (docs/privacy-utility.md); a study
that gives its own is left as it is.
"""

from typing import Any

from fedehr_shared.config.lora import RESTARTING

_FINETUNING = {
    "shortcut": False,
    "rounds": 8,
    "learning_rate": 6e-2,
    "schedule": "constant",
    "weight_decay": 0.0,
}
_STEPS_PER_ROUND = 4
_ENCODER_RATE_FACTOR = 0.015
_ADAPTERS_RATE_FACTOR = 0.03
_HEADS_SAMPLE_RATE, _OTHERS_SAMPLE_RATE = 0.5, 0.25
_MAX_GRAD_NORM = 0.3

_Values = dict[str, Any]


def with_private_defaults(values: _Values) -> _Values:
    """A study's values with what `[privacy]` changes of its defaults; the same where nothing is.

    Args:
        values: of a study, not yet checked.
    """
    privacy, finetuning = values.get("privacy"), values.get("finetuning")
    if not isinstance(privacy, dict) or not isinstance(finetuning, dict):
        return values
    if not _is_noisy(privacy):
        return values
    tuning = finetuning.get("tuning", _tuning(finetuning))
    sections = {"finetuning": _finetuning(finetuning, values, tuning)}
    sections["privacy"] = _privacy(privacy, tuning)
    if tuning == "lora" and isinstance(values.get("lora", {}), dict):
        sections["lora"] = {"rate_factor": _ADAPTERS_RATE_FACTOR, **values.get("lora", {})}
    return {**values, **sections}


def _is_noisy(privacy: _Values) -> bool:
    phases = privacy.get("phases", ("finetuning",))
    return (
        privacy.get("mechanism") == "local"
        and isinstance(phases, list | tuple)
        and "finetuning" in phases
    )


def _tuning(given: _Values) -> str:
    """The heads alone, unless each site keeps its own: then nothing would be shared."""
    parts = given.get("local_parts", ())
    return "full" if isinstance(parts, list | tuple) and "heads" in parts else "probe"


def _finetuning(given: _Values, study: _Values, tuning: object) -> _Values:
    defaults: _Values = {**_FINETUNING, "tuning": tuning}
    if "epochs_per_round" not in given:
        defaults["steps_per_round"] = _STEPS_PER_ROUND
    if tuning == "lora":
        defaults["wide"] = True
        lora = study.get("lora")
        if not (isinstance(lora, dict) and lora.get("aggregation") in RESTARTING):
            defaults["optimizer_state"] = "averaged"
    elif tuning != "probe":
        defaults["encoder_rate_factor"] = _ENCODER_RATE_FACTOR
    return {**defaults, **given}


def _privacy(given: _Values, tuning: object) -> _Values:
    phase = given.get("finetuning", {})
    if not isinstance(phase, dict):
        return given
    rate = _HEADS_SAMPLE_RATE if tuning == "probe" else _OTHERS_SAMPLE_RATE
    defaults = {"sample_rate": rate, "max_grad_norm": _MAX_GRAD_NORM}
    return {**given, "finetuning": {**defaults, **phase}}
