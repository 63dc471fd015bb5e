"""A model is measured in the middle of a user's run, which must not notice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def untouched(model: torch.nn.Module) -> Iterator[None]:
    """The model in evaluation mode; at the end every module's own mode and every random state is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    python, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        random.setstate(python)
        np.random.set_state(numpy_state)
        torch.random.set_rng_state(torch_state)
        if devices:
            torch.cuda.set_rng_state_all(devices)
