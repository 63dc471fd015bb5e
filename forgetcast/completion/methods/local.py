"""The known rows nearest to the new one alone."""

from __future__ import annotations

from forgetcast.completion.methods.blend import Blend

LOCAL = Blend("local", factor_share=0.0)
