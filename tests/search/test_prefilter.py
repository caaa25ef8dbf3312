import re

import numpy as np
import pytest
from scipy import ndimage

import tmatch
from tmatch import Box
from tmatch._scoring.image import prepare_image
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.search import pair
from tmatch._scoring.template import prepare_template
from tmatch._search import prefilter
from tmatch.synthetic import make_clutter


def filter_both(image, template, how, mask=None, image_mask=None, **options):
    options = ScoringOptions(**options)
    search = pair(prepare_image(image, image_mask, options), prepare_template(template, mask, options))
    [search] = prefilter.filtered([search], how)
    return search.image, search.template


def neighbours(array):
    """Correlation of pixels with the next ones."""
    return np.corrcoef(array[:, :-1].ravel(), array[:, 1:].ravel())[0, 1]


# --- what filters do ------------------------------------------------------------------------------


@pytest.mark.parametrize("blur", [0.5, 1, 1.5])
def test_whitened_pixels_are_hardly_alike_their_neighbours(blur):
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.normal(size=(200, 220)), blur) + rng.normal(0, 0.02, (200, 220))
    [white], _ = filter_both(image, image[40:60, 40:60], "whiten")
    assert white.dtype == np.int16
    assert abs(neighbours(white)) < abs(neighbours(image)) / 3
    frequencies = np.abs(np.fft.fft2(white - white.mean()))[5:40, 5:40]
    assert frequencies.std() / frequencies.mean() < 0.8  # of white noise 0.52


def test_the_band_leaves_neither_the_finest_nor_the_coarse():
    x = np.mgrid[:128, :128][1]
    waves = {period: np.sin(2 * np.pi * x / period) for period in (2.5, 16, 128)}
    template = np.random.default_rng(0).normal(size=(32, 32))
    powers = {}
    for period, wave in waves.items():
        kernels = prefilter._band_kernels(template.shape)
        band = ndimage.convolve(wave, kernels[0], mode="wrap") - ndimage.convolve(
            wave, kernels[1], mode="wrap"
        )
        powers[period] = band.std()
    assert powers[16] > 4 * powers[2.5]
    assert powers[16] > 4 * powers[128]
    assert filter_both(waves[16], template, "bandpass")[0][0].std() > 0


@pytest.mark.parametrize("how", ["whiten", "bandpass"])
def test_inside_a_template_is_filtered_as_the_image_is(how):
    image = make_clutter((150, 160), rng=0)
    [filtered], [template] = filter_both(image, image[30:90, 40:110], how)
    inner = np.s_[20:-20, 20:-20]
    ours, theirs = template[inner].astype(float), filtered[30:90, 40:110][inner].astype(float)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("how", ["whiten", "bandpass"])
def test_what_does_not_count_or_is_missing_has_no_say(how):
    rng = np.random.default_rng(1)
    image, there = make_clutter((90, 100), rng=rng), rng.random((90, 100)) < 0.9
    template, mask = image[20:44, 30:60], np.hypot(*np.mgrid[-12:12, -15:15]) < 11
    one = filter_both(image, template, how, mask=mask, image_mask=there)
    other = filter_both(
        np.where(there, image, 1e4), np.where(mask, template, -1e4), how, mask=mask, image_mask=there
    )
    for a, b in zip((*one[0], *one[1]), (*other[0], *other[1]), strict=True):
        assert np.array_equal(a, b)


# --- what they are good for -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["whiten", "bandpass", "auto"])
def test_filters_find_what_noise_hides_and_tell_the_score_of_the_pictures_as_they_are(picture, how):
    face = picture("raccoon/face_gray.png")
    template = face[300:365, 670:750]
    noisy = tmatch.to_range(face + np.random.default_rng(0).normal(0, 90, face.shape))
    [match] = tmatch.locate(noisy, template, prefilter=how)
    assert match.box == Box((300, 670), (65, 80))
    assert match.score == tmatch.match_template(noisy, template)[300, 670]
    assert match.false_alarms <= 0.01


def test_both_stages_have_half_of_the_false_alarms_allowed(picture):
    face, noisy, eye = (picture(f"raccoon/{name}.png") for name in ("face_gray", "noisy", "eye"))
    for image in (face, noisy):
        [plain], [auto] = (tmatch.locate(image, eye, prefilter=how) for how in ("none", "auto"))
        assert auto.false_alarms == pytest.approx(2 * plain.false_alarms, rel=0.01)
        assert (auto.box, auto.score) == (plain.box, plain.score)
    assert tmatch.locate(noisy, picture("coins/big.png")) == []


def test_whitening_adds_to_what_is_found_without():
    rng = np.random.default_rng(3)
    ground = 51700 + 80 * ndimage.gaussian_filter(rng.normal(size=(300, 400)), 2) * 7
    spot = 1100 * np.exp(-((np.mgrid[-7:8, -7:8][0] / 2.2) ** 2) - (np.mgrid[-7:8, -7:8][1] / 4.2) ** 2)
    corners = [(40, 50), (150, 300), (220, 100)]
    for y, x in corners:
        ground[y : y + 15, x : x + 15] += spot
    image = (np.rint(ground / 20) * 20).astype(np.uint16)
    template = image[40:55, 50:65]
    assert [m.box.start for m in tmatch.locate(image, template, prefilter="none")] == [(40, 50)]
    found = tmatch.locate(image, template)
    assert len(found) == len(corners)
    assert np.abs(np.array(sorted(m.box.start for m in found)) - corners).max() <= 1
    assert found[0].box.start == (40, 50)


def test_colours_signals_volumes_and_borders_can_be_whitened(picture):
    rng = np.random.default_rng(2)
    colour = picture("raccoon/face.png")[:300, :400]
    found = tmatch.locate(colour, colour[100:140, 200:260], channel_axis=2, prefilter="whiten")
    assert [m.box.start for m in found] == [(100, 200)]
    signal = np.cumsum(rng.normal(size=2000))
    assert [m.box.start for m in tmatch.locate(signal, signal[900:960], prefilter="whiten")] == [(900,)]
    volume = ndimage.gaussian_filter(rng.normal(size=(30, 32, 34)), 1)
    found = tmatch.locate(volume, volume[5:14, 6:15, 7:16], prefilter="whiten")
    assert [m.box.start for m in found] == [(5, 6, 7)]
    image = make_clutter((120, 130), rng=rng)
    found = tmatch.locate(image[10:], image[:40, 50:90], output="full", prefilter="whiten")
    assert [m.box.start for m in found] == [(-10, 50)]


def test_small_images_and_constant_ones_are_no_trouble():
    tiny = np.random.default_rng(3).integers(0, 256, (6, 7), dtype=np.uint8)
    assert tmatch.locate(np.full((40, 50), 7), tiny) == []
    assert tmatch.locate(np.full((40, 50), 7), tiny, prefilter="whiten") == []
    assert tmatch.locate(tiny, tiny[:1, :2], prefilter="whiten") == []


# --- noise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [2, 10, 40])
def test_noise_is_estimated_in_photographs(picture, sigma):
    rng = np.random.default_rng(4)
    for name in ("raccoon/face.png", "astronaut/image.png"):
        photo = picture(name).astype(float)
        clean = tmatch.estimate_noise(photo, channel_axis=2)
        noisy = tmatch.estimate_noise(photo + rng.normal(0, sigma, photo.shape), channel_axis=2)
        assert noisy == pytest.approx(np.hypot(sigma, clean), rel=0.25)


def test_noise_of_signals_scales_with_them():
    signal = np.sin(np.arange(3000) / 40) + np.random.default_rng(5).normal(0, 0.1, 3000)
    assert tmatch.estimate_noise(signal) == pytest.approx(0.1, rel=0.1)
    assert tmatch.estimate_noise(7 * signal + 3) == pytest.approx(7 * tmatch.estimate_noise(signal))
    assert tmatch.estimate_noise(np.zeros((9, 9))) == 0


@pytest.mark.engine_free
@pytest.mark.parametrize("image", [np.zeros((2, 9)), np.zeros((9, 0)), np.float64(3)])
def test_noise_of_too_little_is_refused(image):
    sentence = f"`image` has shape {image.shape}; noise can be estimated from three pixels on each axis on"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        tmatch.estimate_noise(image)
