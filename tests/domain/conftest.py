"""Hypothesis settings: the same examples every time, in CI and elsewhere.

HYPOTHESIS_PROFILE=explore draws new ones; `mutants` only wants to know whether an example fails, not the smallest one.
"""

import os

from hypothesis import HealthCheck, Phase, settings

QUIET = [HealthCheck.too_slow]  # whole worlds are built step by step

settings.register_profile("ci", derandomize=True, deadline=None, database=None, suppress_health_check=QUIET)
settings.register_profile(
    "mutants", settings.get_profile("ci"), max_examples=25, phases=[Phase.explicit, Phase.generate]
)
settings.register_profile("explore", deadline=None, suppress_health_check=QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
