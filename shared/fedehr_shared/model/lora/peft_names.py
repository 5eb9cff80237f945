"""Names of adapters' tensors in peft's files."""

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.lora.adapted_matrices import adapted_matrices
from fedehr_shared.model.lora.peft_config import module_in_peft

VERA_A, VERA_B = "base_model.vera_A", "base_model.vera_B"
_PREFIX = "base_model.model."


def peft_names(study: StudyConfig) -> dict[str, str]:
    """By the name of an adapter's parameter in fedehr, its name in `adapter_model.safetensors`."""
    names: dict[str, str] = {}
    for matrix in adapted_matrices(study):
        module = _PREFIX + module_in_peft(matrix.module)
        if study.lora.variant == "vera":
            names[matrix.vera_d] = f"{module}.vera_lambda_d"
            names[matrix.vera_b] = f"{module}.vera_lambda_b"
        else:
            names[matrix.lora_A] = f"{module}.lora_A.weight"
            names[matrix.lora_B] = f"{module}.lora_B.weight"
    return names
