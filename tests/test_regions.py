import numpy as np
import pytest
from PIL import Image

from pipeline import BadInput, regions

RED, GREEN, BLUE, YELLOW = regions.COLOURS.values()
SIZE = (80, 64)


def labels(**boxes):
    image = Image.new("RGB", SIZE)
    for name, box in boxes.items():
        image.paste(regions.COLOURS[name], box)
    return image


def test_colours_become_masks_in_order():
    masks = regions.read(labels(red=(0, 0, 40, 64), green=(40, 0, 60, 64)), 2, SIZE)
    assert masks.shape == (2, 64, 80) and masks.dtype == np.float32
    assert masks[0, :, :40].all() and masks[1, :, 40:60].all() and masks.sum() == 64 * 60


def test_a_map_is_scaled_to_the_photo_and_transparency_is_the_photo():
    image = Image.new("RGBA", SIZE, (0, 255, 0, 0))
    image.paste((*RED, 255), (0, 0, 40, 64))
    masks = regions.read(image, 1, (40, 32))
    assert masks.shape == (1, 32, 40) and masks[0, :, :20].all() and masks.sum() == 32 * 20


def test_strokes_with_soft_edges_are_understood():
    image = labels(red=(10, 10, 50, 50), green=(50, 10, 70, 50)).resize((160, 128), Image.Resampling.BICUBIC)
    assert regions.read(image, 2, SIZE)[0].sum() == pytest.approx(1600, rel=0.05)


@pytest.mark.parametrize(
    ("image", "count", "message"),
    [
        (labels(red=(0, 0, 40, 64)), 2, "Painting 2 has no region"),
        (labels(red=(0, 0, 40, 64), green=(0, 0, 2, 2)), 2, "Painting 2 has only"),
        (labels(red=(0, 0, 40, 64), blue=(40, 0, 80, 64)), 1, "no painting 3"),
        (Image.new("RGB", SIZE, (120, 120, 120)), 1, "other colours than red, green, blue, yellow"),
    ],
    ids=["empty", "tiny", "unpaired", "colour"],
)
def test_what_can_not_be_painted_is_refused(image, count, message):
    with pytest.raises(BadInput, match=message):
        regions.read(image, count, SIZE)


def test_guides_follow_the_poolings_softly():
    masks = regions.read(labels(red=(0, 0, 33, 64), green=(33, 0, 80, 64)), 2, SIZE)
    guides = regions.guides(masks, ("relu1_1", "relu3_1", "relu5_1"))
    assert [g.shape for g in guides.values()] == [(2, 64, 80), (2, 16, 20), (2, 4, 5)]
    for g in guides.values():
        np.testing.assert_allclose(g.sum((1, 2)), 1, rtol=1e-5)
    third = guides["relu3_1"][0, 0]
    assert third[8] == pytest.approx(third[0] / 4) and third[9] == 0


def test_the_cover_rises_inside_and_is_nothing_outside():
    masks = regions.read(labels(red=(0, 0, 20, 64), green=(20, 0, 50, 64)), 2, SIZE)
    cover = regions.cover(masks)
    assert cover.shape == (64, 80, 1) and (cover[:, 50:] == 0).all()
    np.testing.assert_allclose(cover[:, :40], 1, atol=1e-3)
    assert (np.diff(cover[0, 40:50, 0]) <= 0).all() and 0 < cover[0, 49, 0] < 0.6


def test_softened_masks_still_share_out_every_pixel():
    masks = regions.read(labels(red=(0, 0, 40, 64), green=(40, 0, 80, 64)), 2, SIZE)
    soft = regions.soften(masks)
    np.testing.assert_allclose(soft.sum(0), 1, rtol=1e-4)
    assert 0.2 < soft[0, 30, 39] < 0.8 and soft[0, 30, 10] > 0.999
