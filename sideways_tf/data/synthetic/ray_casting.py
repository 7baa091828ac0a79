"""Draws solids on a table: one ray for each pixel, one more to the light. NumPy alone.

Lengths are in units of the scene; z points up and the table is z = 0. A solid is a unit body in
coordinates of its own, scaled, rotated and moved: rays are taken into its coordinates, where the
distance along a ray stays what it is.
"""

from dataclasses import dataclass

import cv2
import numpy as np

SHAPES = ("sphere", "cube", "cylinder", "cone")
_ASPECT = 1.25  # width / height
_OVERSAMPLING = 2  # rays along each side of a pixel
_FIELD_OF_VIEW = 0.62  # radians, of the height
_FAR = np.float32(np.inf)
_EPSILON = 1e-3
_TABLE_COLOUR = np.array([0.5, 0.5, 0.49], np.float32)
_SKY, _GROUND = np.array([0.85, 0.88, 0.95]), np.array([0.3, 0.3, 0.32])  # what metal mirrors


@dataclass(frozen=True)
class Solid:
    """One object.

    Attributes:
      shape: one of `SHAPES`.
      colour: float [3] in [0, 1].
      metal: whether it mirrors its surroundings; else it is rubber.
      size: half its height.
      centre: float [3].
      rotation: float [3, 3], from its own coordinates to the scene's.
    """

    shape: str
    colour: np.ndarray
    metal: bool
    size: float
    centre: np.ndarray
    rotation: np.ndarray


def rotation(turn: float, tilt: float) -> np.ndarray:
    """First tilted about the x axis, then turned about the vertical, radians: [3, 3]."""
    c, s, d, e = np.cos(turn), np.sin(turn), np.cos(tilt), np.sin(tilt)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, d, -e], [0, e, d]]
    )


def support(shape: str, turned: np.ndarray) -> float:
    """How far the rotated unit body reaches below its centre."""
    if shape == "sphere":
        return 1.0
    axes = np.abs(turned[2])
    if shape == "cube":
        return float(axes.sum())
    return float(np.hypot(axes[0], axes[1]) + axes[2])


class Camera:
    """Looks at the middle of a table from `place` [3], lit from the direction `light` [3].

    Args:
      height: of the pictures, in pixels; their width is 1.25 times as much.
    """

    def __init__(self, place: np.ndarray, light: np.ndarray, height: int):
        self.size = (round(height * _ASPECT), height)
        self.towards = (light / np.linalg.norm(light)).astype(np.float32)
        rows, columns = (_OVERSAMPLING * side for side in reversed(self.size))
        self.rays = _camera_rays(place, rows, columns)
        self.origin = np.broadcast_to(place.astype(np.float32), self.rays.shape)
        with np.errstate(divide="ignore"):
            below = -self.origin[:, 2] / self.rays[:, 2]
        self.table = np.where(self.rays[:, 2] < 0, below, _FAR)

    def render(self, solids: list[Solid]) -> np.ndarray:
        """The picture of `solids`, uint8 [height, 1.25 height, 3] RGB."""
        depth, normal, hit = self._nearest(solids)
        point = self.origin + np.where(np.isfinite(depth), depth, 0)[:, None] * self.rays
        lit = ~_in_shadow(solids, point + _EPSILON * normal, self.towards)
        colour = self._shade_table(point, lit)
        for number, solid in enumerate(solids):
            mine = np.flatnonzero(hit == number)
            colour[mine] = _shade(solid, normal[mine], self.rays[mine], lit[mine], self.towards)
        width, height = self.size
        image = np.clip(colour, 0, 1).reshape(_OVERSAMPLING * height, _OVERSAMPLING * width, 3)
        small = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)
        return np.clip(np.rint(255 * small), 0, 255).astype(np.uint8)

    def _nearest(self, solids: list[Solid]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each ray: distance, unit normal, and the solid's number; -1 is the table."""
        depth = self.table.copy()
        normal = np.zeros_like(self.rays)
        normal[:, 2] = 1
        hit = np.full(len(depth), -1)
        for number, solid in enumerate(solids):
            rows, distance, own = _meet(solid, self.origin, self.rays)
            nearer = distance < depth[rows]
            rows = rows[nearer]
            depth[rows], hit[rows] = distance[nearer], number
            normal[rows] = own[nearer] @ solid.rotation.T.astype(np.float32)
        return depth, normal, hit

    def _shade_table(self, point: np.ndarray, lit: np.ndarray) -> np.ndarray:
        """Colour of the table at `point` [n, 3], float32 [n, 3]: darker away from the lamp."""
        fall = 1 / (1 + 0.03 * (point[:, 0] ** 2 + point[:, 1] ** 2))
        return _TABLE_COLOUR * (0.35 + 0.75 * self.towards[2] * lit * fall)[:, None]


def _camera_rays(camera: np.ndarray, height: int, width: int) -> np.ndarray:
    """Unit vectors from `camera` towards the middle of the table, float32 [height * width, 3]."""
    ahead = np.array([0.0, 0.0, 0.25]) - camera
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    reach = np.tan(_FIELD_OF_VIEW / 2)
    rows = reach * (1 - 2 * (np.arange(height) + 0.5) / height)
    columns = reach * (2 * (np.arange(width) + 0.5) / width - 1) * width / height
    rays = ahead + rows[:, None, None] * up + columns[None, :, None] * right
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return rays.reshape(-1, 3).astype(np.float32)


def _in_shadow(solids: list[Solid], points: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Whether a solid stands between each of `points` and the light."""
    rays = np.broadcast_to(towards.astype(np.float32), points.shape)
    dark = np.zeros(len(points), bool)
    for solid in solids:
        rows, distance, _ = _meet(solid, points, rays)
        dark[rows[np.isfinite(distance)]] = True
    return dark


def _meet(
    solid: Solid, origin: np.ndarray, rays: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rays that may meet `solid`, by number; distance, inf where it is missed; its normal,
    in its own coordinates."""
    # Most rays pass its bounding ball: of radius sqrt(3), the cube's.
    to_centre = solid.centre.astype(np.float32) - origin
    along = np.einsum("nk,nk->n", to_centre, rays)
    gap = np.einsum("nk,nk->n", to_centre, to_centre) - along**2
    near = np.flatnonzero((gap < 3.01 * solid.size**2) & (along > -2 * solid.size))
    own = solid.rotation.astype(np.float32) / np.float32(solid.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance, normal = _BODIES[solid.shape](-to_centre[near] @ own, rays[near] @ own)
    return near, distance, normal


def _entry(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both roots of a t^2 + 2 b t + c, the smaller first; nan where there is none."""
    root = np.sqrt(b * b - a * c)
    first, second = (-b - root) / a, (-b + root) / a
    return np.minimum(first, second), np.maximum(first, second)


def _sphere(o: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x^2 + y^2 + z^2 = 1."""
    t, _ = _entry((d * d).sum(1), (o * d).sum(1), (o * o).sum(1) - 1)
    t = np.where(t > 0, t, _FAR)
    return t, o + np.where(np.isfinite(t), t, 0)[:, None] * d


def _cube(o: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """|x|, |y|, |z| <= 1: the last of three slabs to be entered, before any is left."""
    first, second = (-1 - o) / d, (1 - o) / d
    near, far = np.minimum(first, second), np.maximum(first, second)
    face = near.argmax(1)
    t = near.max(1)
    normal = np.zeros_like(o)
    rows = np.arange(len(o))
    normal[rows, face] = -np.sign(d[rows, face])
    return np.where((t > 0) & (t < far.min(1)), t, _FAR), normal


def _cylinder(o: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x^2 + y^2 <= 1, |z| <= 1."""
    a, b = (d[:, :2] ** 2).sum(1), (o[:, :2] * d[:, :2]).sum(1)
    side, _ = _entry(a, b, (o[:, :2] ** 2).sum(1) - 1)
    return _side_or_cap(o, d, side, np.sign(-d[:, 2]), slope=0.0)


def _cone(o: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x^2 + y^2 <= ((1 - z) / 2)^2, |z| <= 1."""
    rest, fall = (1 - o[:, 2]) / 2, -d[:, 2] / 2
    a = (d[:, :2] ** 2).sum(1) - fall**2
    b = (o[:, :2] * d[:, :2]).sum(1) - rest * fall
    first, second = _entry(a, b, (o[:, :2] ** 2).sum(1) - rest**2)
    inside = np.abs(o[:, 2] + first * d[:, 2]) <= 1  # else on the mirrored half above the apex
    return _side_or_cap(o, d, np.where(inside, first, second), np.full(len(o), -1.0), slope=0.5)


def _side_or_cap(
    o: np.ndarray, d: np.ndarray, side: np.ndarray, cap_z: np.ndarray, slope: float
) -> tuple[np.ndarray, np.ndarray]:
    """The nearer of the side, met at `side`, and the level cap of radius 1 at height `cap_z`."""
    z = o[:, 2] + side * d[:, 2]
    side = np.where((side > 0) & (np.abs(z) <= 1), side, _FAR)
    cap = (cap_z - o[:, 2]) / d[:, 2]
    radius = ((o[:, :2] + cap[:, None] * d[:, :2]) ** 2).sum(1)
    cap = np.where((cap > 0) & (radius <= 1) & np.isfinite(cap), cap, _FAR)
    t = np.minimum(side, cap)
    point = o + np.where(np.isfinite(t), t, 0)[:, None] * d
    flat = np.linalg.norm(point[:, :2], axis=1, keepdims=True) + 1e-9
    around = np.concatenate([point[:, :2] / flat, np.full_like(flat, slope)], axis=1)
    around /= np.sqrt(1 + slope**2)
    level = np.stack([np.zeros_like(t), np.zeros_like(t), cap_z], axis=1)
    return t, np.where((cap < side)[:, None], level, around).astype(o.dtype)


_BODIES = {"sphere": _sphere, "cube": _cube, "cylinder": _cylinder, "cone": _cone}


def _shade(
    solid: Solid, normal: np.ndarray, rays: np.ndarray, lit: np.ndarray, towards: np.ndarray
) -> np.ndarray:
    """Colour of each ray, float [n, 3]: ambient, diffuse (Lambert) and highlights (Phong)."""
    mirrored = rays - 2 * (normal * rays).sum(1, keepdims=True) * normal
    diffuse = np.clip(normal @ towards, 0, 1) * lit
    gleam = np.clip(mirrored @ towards, 0, 1) * lit
    base = solid.colour * (0.3 + 0.8 * diffuse)[:, None]
    if not solid.metal:
        return base + 0.12 * gleam[:, None] ** 8
    around = _GROUND + (_SKY - _GROUND) * np.clip(mirrored[:, 2:] * 0.5 + 0.5, 0, 1)
    return 0.45 * base + 0.5 * (0.35 + 0.65 * solid.colour) * around + gleam[:, None] ** 40
