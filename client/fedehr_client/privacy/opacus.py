"""What of Opacus is used, imported in one place.

Opacus gives the program's root logger a handler as it is imported, after which lines of every
library would reach the terminal. With a handler there already it leaves the logger alone.
"""

import logging

_placeholder = logging.NullHandler()
logging.getLogger().addHandler(_placeholder)
try:
    from opacus.grad_sample.grad_sample_module import GradSampleHooks
    from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import (
        GradSampleHooksFastGradientClipping,
    )
    from opacus.grad_sample.gsm_base import OPACUS_PARAM_MONKEYPATCH_ATTRS, AbstractGradSampleHooks
finally:
    logging.getLogger().removeHandler(_placeholder)

__all__ = [
    "OPACUS_PARAM_MONKEYPATCH_ATTRS",
    "AbstractGradSampleHooks",
    "GradSampleHooks",
    "GradSampleHooksFastGradientClipping",
]
