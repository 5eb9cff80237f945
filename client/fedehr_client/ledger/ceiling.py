"""`Ceiling`: what a site lets its studies spend together."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ceiling:
    """The site's own bounds on privacy; a study can change none of them.

    Attributes:
        subject_epsilon: that all studies of the site's records may spend together; None: what is
            spent is written down and shown, and nothing is refused.
        subject_delta: at which epsilon is reckoned, whatever delta a study states.
        require_privacy: whether a study is refused whose sites train without noise of their own.
    """

    subject_epsilon: float | None = None
    subject_delta: float = 1e-5
    require_privacy: bool = False
