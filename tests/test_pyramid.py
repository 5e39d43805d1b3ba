import numpy as np

from pipeline import pyramid


def test_sizes_grow_by_the_root_of_two():
    assert pyramid.shapes(256, 512, 3) == [(128, 256), (181, 362), (256, 512)]
    assert pyramid.shapes(33, 512, 3) == [(33, 512)]
    assert pyramid.shapes(100, 100, 9) == [(35, 35), (50, 50), (71, 71), (100, 100)]


def test_resizing_keeps_flat_pictures_flat(rng):
    flat = np.full((20, 30, 3), 0.25, np.float32)
    np.testing.assert_allclose(pyramid.resize(flat, (41, 17)), 0.25, atol=1e-6)
    picture = rng.uniform(size=(8, 8, 3)).astype(np.float32)
    assert pyramid.resize(picture, (8, 8)) is picture
