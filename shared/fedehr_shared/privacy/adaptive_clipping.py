"""What a clipping norm that follows the gradients costs (Andrew et al. 2021, Theorem 1)."""

from fedehr_shared.errors import ConfigError


def gradient_noise_multiplier(charged: float, count_noise: float) -> float:
    """The gradients' noise multiplier where a noisy count is released with each step.

    A step releases the noisy sum of gradients and the noisy sum of `b - 1/2` over its subjects,
    b telling whether a gradient was within the norm. One subject moves the latter by 1/2, so
    that its multiplier is `2 * count_noise`; both together are one Gaussian release with
    `charged ** -2 = gradient ** -2 + (2 * count_noise) ** -2`.

    Args:
        charged: the multiplier that a step is accounted with.
        count_noise: the standard deviation of the count's noise, in subjects.

    Raises:
        ConfigError: the count alone costs more than is charged.
    """
    rest = charged**-2 - (2 * count_noise) ** -2
    if rest <= 0:
        raise ConfigError(
            f"[privacy] clipping_count_noise = {count_noise:g} is too little beside a noise "
            f"multiplier of {charged:g}: give more than {charged / 2:g}."
        )
    return float(rest**-0.5)
