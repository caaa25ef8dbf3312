"""How many examples hypothesis tries: a few hundred at each change, all of them at night.

TMATCH_TEST_PROFILE=nightly in the environment chooses the second.
"""

import os

from hypothesis import settings

PROFILES = ("ci", "nightly")
PROFILE = os.environ.get("TMATCH_TEST_PROFILE") or "ci"
if PROFILE not in PROFILES:
    msg = f"the environment's TMATCH_TEST_PROFILE is {PROFILE!r}; it must be one of {', '.join(PROFILES)}"
    raise ValueError(msg)


def load():
    for name in PROFILES:
        settings.register_profile(name, deadline=None, derandomize=True)
    settings.load_profile(PROFILE)


def examples(ci, nightly):
    """So many examples in each profile, for a test that needs another number than hypothesis' 100."""
    return settings(max_examples={"ci": ci, "nightly": nightly}[PROFILE])
