"""One number for one thing: what is found is the same however it is asked for."""

import numpy as np
import pytest

import tmatch
from tmatch.synthetic import make_clutter, make_scene

TEMPLATE = make_clutter((16, 24), rng=5)


def scenes():
    exact, _ = make_scene(make_clutter((120, 140), rng=0), TEMPLATE, [(30, 40), (80, 100)], noise=3, rng=0)
    yield exact
    yield make_clutter((120, 140), rng=1)
    yield np.random.default_rng(2).normal(size=(120, 140))


def test_several_templates_have_the_numbers_of_locate():
    other = make_clutter((16, 24), rng=6)
    image, _ = make_scene(next(scenes()), other, [(60, 20)], rng=0)
    templates = {"one": TEMPLATE, "other": other}
    best = tmatch.best_match(image, templates)
    told = {(match.label, match.box): match for match in tmatch.locate(image, templates)}[
        best.label, best.box
    ]
    assert told.false_alarms == pytest.approx(best.false_alarms, rel=0.011)
    assert tmatch.Matcher(templates).best(image) == best


@pytest.mark.parametrize("number", range(3))
def test_the_best_position_has_one_number_of_false_alarms(number):
    image = [*scenes()][number]
    best = tmatch.best_match(image, TEMPLATE)
    told = tmatch.explain(image, TEMPLATE, at=best.box.start)
    assert (told.score, told.false_alarms) == (best.score, pytest.approx(best.false_alarms, rel=0.011))
    found = {match.box: match for match in tmatch.locate(image, TEMPLATE)}
    if best.box in found:
        assert found[best.box].false_alarms == pytest.approx(best.false_alarms, rel=0.011)
        assert (found[best.box].kind, found[best.box].expected_score) == (best.kind, best.expected_score)
    assert told.reported == (best.box in found)


def test_near_misses_are_peaks_that_locate_does_not_report():
    image, _ = make_scene(make_clutter((120, 140), rng=0), TEMPLATE, [(30, 40)], noise=3, rng=0)
    blurred = TEMPLATE + 0.55 * TEMPLATE.std() * np.random.default_rng(1).normal(size=TEMPLATE.shape).cumsum(
        axis=1
    )
    image[80:96, 100:124] = 128 + 0.4 * (blurred - blurred.mean())
    told = tmatch.explain(image, TEMPLATE, prefilter="none", false_alarms=1e-6)
    reported = {match.box for match in tmatch.locate(image, TEMPLATE, prefilter="none", false_alarms=1e-6)}
    assert not reported.intersection(miss.box for miss in told.near_misses)
    assert all(miss.rule in ("false alarms", "unlike", "alike") for miss in told.near_misses)
    assert len(told.near_misses) <= 5


def test_a_flat_window_has_no_kind():
    assert tmatch.best_match(np.zeros((30, 40)), TEMPLATE[:9, :9]).kind is None
