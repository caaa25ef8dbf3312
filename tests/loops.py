"""Cases so small that each being a test of its own would be more noise than use."""

import functools
import inspect
import itertools


def each(names, cases):
    """As pytest.mark.parametrize, but all cases are one test, which tells every one that fails and goes on.

    All have the same fixtures: a test that changes what a fixture gives is to be parametrized.
    """
    names = [name.strip() for name in names.split(",")]
    cases = [dict(zip(names, case if len(names) > 1 else [case], strict=True)) for case in cases]

    assert cases

    def decorate(test):
        one, loops = getattr(test, "looped", (test, []))
        loops = [cases, *loops]

        @functools.wraps(test)
        def all_of_them(subtests, **fixtures):
            for parts in itertools.product(*loops):
                case = {name: value for part in parts for name, value in part.items()}
                try:
                    one(**case, **fixtures)
                except Exception:  # told only then: to tell of the others would take longer than they do
                    with subtests.test(", ".join(f"{name}={value!r}" for name, value in case.items())):
                        raise

        given = [*inspect.signature(test).parameters.values()]
        own = inspect.Parameter("subtests", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        kept = [p for p in given if p.name not in {*names, "subtests"}]
        all_of_them.__signature__ = inspect.Signature([own, *kept])
        all_of_them.looped = one, loops
        return all_of_them

    return decorate
