"""How much is tested: "ci" at each change, "nightly" with more examples, "brief" with few.

TMATCH_TEST_PROFILE in the environment chooses. "brief" is for a second version of Python: it does the first and the
last case of each test, and a quarter of the examples.
"""

import os

from hypothesis import settings

PROFILES = ("ci", "nightly", "brief")
PROFILE = os.environ.get("TMATCH_TEST_PROFILE") or "ci"
if PROFILE not in PROFILES:
    msg = f"the environment's TMATCH_TEST_PROFILE is {PROFILE!r}; it must be one of {', '.join(PROFILES)}"
    raise ValueError(msg)


def load():
    for name in PROFILES:
        settings.register_profile(name, deadline=None, derandomize=True)
    settings.register_profile("brief", settings.get_profile("brief"), max_examples=25)
    settings.load_profile(PROFILE)


def examples(ci, nightly):
    """So many examples in each profile, for a test that needs another number than hypothesis' 100."""
    return settings(max_examples={"ci": ci, "nightly": nightly, "brief": max(ci // 4, 1)}[PROFILE])


def first_and_last(items):
    """Of the cases of each test the first and the last."""
    cases = {}
    for item in items:
        cases.setdefault((item.fspath, getattr(item, "originalname", item.name)), []).append(item)
    kept = {item for each in cases.values() for item in (each[0], each[-1])}
    return [item for item in items if item in kept]
