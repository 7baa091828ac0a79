"""The drawn solids: geometry by hand, pictures that repeat, motions that stay smooth."""

import numpy as np
import pytest

from sideways_tf.data.cater import UNLABELLED
from sideways_tf.data.synthetic import ray_casting
from sideways_tf.data.synthetic.moving_objects import MovingObjects, draw_video, make_actors
from sideways_tf.data.synthetic.ray_casting import SHAPES, Camera, Solid, rotation, support

STRAIGHT = rotation(0.0, 0.0)
RED = np.array([0.8, 0.1, 0.1])


def solid(shape, size=1.0, turned=STRAIGHT, metal=False, place=(0.0, 0.0)):
    centre = np.array([*place, size * support(shape, turned)])
    return Solid(shape, RED, metal, size, centre, turned)


def meet(shape, origin, ray, **kwargs):
    """Distance and normal of one ray at a solid that stands on the table."""
    ray = np.float32(ray) / np.linalg.norm(ray)
    rows, distance, normal = ray_casting._meet(
        solid(shape, **kwargs), np.float32([origin]), np.float32([ray])
    )
    return (distance[0], normal[0]) if len(rows) else (np.inf, None)


@pytest.mark.parametrize(
    ("shape", "origin", "ray", "distance", "normal"),
    [
        ("sphere", (0, -5, 1), (0, 1, 0), 4, (0, -1, 0)),
        ("sphere", (0, 0, 9), (0, 0, -1), 7, (0, 0, 1)),
        ("cube", (0.5, -5, 1), (0, 1, 0), 4, (0, -1, 0)),
        ("cube", (0.5, 0.5, 9), (0, 0, -1), 7, (0, 0, 1)),
        ("cylinder", (0, -5, 1), (0, 1, 0), 4, (0, -1, 0)),
        ("cylinder", (0.5, 0, 9), (0, 0, -1), 7, (0, 0, 1)),
        # Half way up, the cone of height 2 has radius 1/2; its normal leans up by half its slope.
        ("cone", (0, -5, 1), (0, 1, 0), 4.5, (0, -2 / 5**0.5, 1 / 5**0.5)),
        # From straight above, off its axis by 1/4: height 2 - 2/4.
        ("cone", (0, -0.25, 9), (0, 0, -1), 7.5, (0, -2 / 5**0.5, 1 / 5**0.5)),
        ("cone", (0.5, 0, -5), (0, 0, 1), 5, (0, 0, -1)),
    ],
)
def test_where_a_ray_meets_a_solid(shape, origin, ray, distance, normal):
    found = meet(shape, origin, ray)
    assert found[0] == pytest.approx(distance, abs=1e-5)
    np.testing.assert_allclose(found[1], normal, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "origin", "ray"),
    [
        ("sphere", (0, -5, 2.01), (0, 1, 0)),
        ("cube", (1.01, -5, 1), (0, 1, 0)),
        ("cylinder", (0.8, 0.8, 9), (0, 0, -1)),
        ("cone", (0.6, -5, 1), (0, 1, 0)),
        ("cone", (0, -5, 2.2), (0, 1, 0)),  # the mirrored half above the apex
        ("sphere", (0, -5, 1), (0, -1, 0)),  # behind
    ],
)
def test_where_a_ray_passes_by(shape, origin, ray):
    assert np.isinf(meet(shape, origin, ray)[0])


def test_a_larger_solid_is_met_earlier_and_a_turned_cube_at_its_edge():
    assert meet("sphere", (0, -5, 0.5), (0, 1, 0), size=0.5)[0] == pytest.approx(4.5)
    eighth = rotation(np.pi / 4, 0.0)
    assert meet("cube", (0, -5, 1), (0, 1, 0), turned=eighth)[0] == pytest.approx(5 - 2**0.5)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_tilted_solid_stands_on_the_table(shape):
    """No ray along the table meets it below; it is met just above, or it would float."""
    rng = np.random.default_rng(0)
    for tilt in rng.uniform(0, np.pi / 2, 5):
        turned = rotation(rng.uniform(0, 6), tilt)
        assert np.isinf(lowest(shape, turned, -0.01)).all()
        assert np.isfinite(lowest(shape, turned, 0.3)).any()


def lowest(shape, turned, height):
    """Distances along level rays at this height, side by side."""
    x = np.linspace(-1.5, 1.5, 61)
    origin = np.stack([x, np.full_like(x, -5), np.full_like(x, height)], 1).astype(np.float32)
    rays = np.broadcast_to(np.float32([0, 1, 0]), origin.shape)
    rows, distance, _ = ray_casting._meet(solid(shape, turned=turned), origin, rays)
    return distance if len(rows) else np.array([np.inf])


def render(*solids, light=(-3.0, 0.0, 3.0)):
    return Camera(np.array([0.0, -6.0, 4.0]), np.array(light), 64).render(list(solids)).astype(int)


def test_a_solid_is_seen_in_its_colour_and_throws_a_shadow_away_from_the_light():
    empty, scene = render(), render(solid("sphere", size=0.6))
    assert (empty.max(axis=2) - empty.min(axis=2)).max() <= 4  # a grey table
    changed = np.abs(scene - empty).sum(axis=2) > 20
    red = scene[..., 0] > 2 * scene[..., 1]
    shadow = changed & ~red & (scene.sum(axis=2) < empty.sum(axis=2))
    columns = np.arange(scene.shape[1])
    assert red.sum() > 50
    assert shadow.sum() > 30
    # The light comes from the left: the shadow lies to the right.
    assert (shadow.sum(0) * columns).sum() / shadow.sum() > (
        red.sum(0) * columns
    ).sum() / red.sum() + 2


def test_metal_shines_and_rubber_does_not():
    rubber, metal = (render(solid("sphere", size=0.6, metal=m)) for m in (False, True))
    assert metal.sum(axis=2).max() > rubber.sum(axis=2).max() + 100


def test_the_nearer_solid_hides_the_other():
    front, back = solid("cube", 0.5, place=(0, -1)), solid("cube", 0.5, place=(0, 0.2))
    back = Solid("cube", np.array([0.1, 0.8, 0.1]), False, 0.5, back.centre, STRAIGHT)
    for order in ([front, back], [back, front]):
        scene = render(*order)
        np.testing.assert_array_equal(scene, render(front, back))
        assert (scene[..., 1] > 2 * scene[..., 0]).sum() < (
            render(back)[..., 1] > 2 * render(back)[..., 0]
        ).sum()


def test_a_video_is_a_function_of_its_name():
    first, again, other = (
        np.stack(list(draw_video(name, 24, frames=6)))
        for name in ("train/000", "train/000", "test/000")
    )
    assert first.shape == (6, 24, 30, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_motions_are_smooth_and_stay_on_the_table():
    travelled = lifted = turned = 0
    for seed in range(20):
        actors = make_actors(np.random.default_rng(seed), 80)
        assert 3 <= len(actors) <= 5
        for actor in actors:
            steps = np.abs(np.diff(actor.places, axis=0))
            assert steps.max() < 0.25  # 3.4 units in 40 frames, faster in the middle
            assert np.abs(actor.places[:, :2]).max() <= 1.7
            assert actor.places[:, 2].min() >= 0
            travelled += steps[:, 0].sum() > 0
            lifted += actor.places[:, 2].max() > 0.5
            turned += np.ptp(actor.turns) > 1
    assert min(travelled, lifted, turned) > 10


def test_it_has_no_labels():
    listing = MovingObjects.list_videos(None, None)
    assert {video.label for video in listing.train + listing.test} == {UNLABELLED}
    listing.check_disjoint()
