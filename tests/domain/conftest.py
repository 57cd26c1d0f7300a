"""Hypothesis settings: the same examples every time, in CI and elsewhere; HYPOTHESIS_PROFILE=explore draws new ones."""

import os

from hypothesis import HealthCheck, settings

QUIET = [HealthCheck.too_slow]  # whole worlds are built step by step

settings.register_profile("ci", derandomize=True, deadline=None, database=None, suppress_health_check=QUIET)
settings.register_profile("explore", deadline=None, suppress_health_check=QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
