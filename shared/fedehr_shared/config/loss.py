"""`[loss]`: what fine-tuning minimizes, and how its tasks share."""

from typing import Annotated, Literal

from pydantic import Field

from fedehr_shared.config.section import Section


class LossConfig(Section):
    """The loss of every task, and the weights between them."""

    kind: Literal["cross_entropy", "focal"] = "cross_entropy"
    """Of binary and multiclass tasks. `focal` (Lin et al. 2017) looks at hard examples, at the
    price of calibration."""
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Labels move this far towards one half, or towards all classes alike."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: each class of a task weighs the same, by the label counts that the sites told
    in the first phase; a task's own `class_weights` come first."""
    task_weights: Literal["equal", "fixed", "dynamic", "uncertainty"] = "equal"
    """`fixed`: by each task's `weight`. `dynamic` (Liu et al. 2019): a task whose tuning loss
    falls slowly weighs more. `uncertainty` (Kendall et al. 2018): weights are learnt."""
    dynamic_temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    """`dynamic`: a higher one makes the weights more alike."""
