"""Purifiers that draw: a random window, mirroring, angle, size or noise for each photo.
Of the benchmark arXiv 2408.01541, after Xie et al. 2018 (arXiv 1711.01991); each differentiable given its draw."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from robust_iqa_jax.defenses.purifiers import Images, check
from robust_iqa_jax.functional.resize import resize

Image = Float[Array, "h w c"]


class Random:
    """A purifier that draws something for each image."""

    random = True


@dataclass(frozen=True)
class Crop(Random):
    """A window at a random place, resized to the photo's own size.

    Attributes:
      share: of each side that is left, > 0 and < 1.
    """

    share: float = 0.9

    def __post_init__(self) -> None:
        """Check the share."""
        check(0 < self.share < 1, "crop", "share of the sides above 0 and below 1", self.share)

    @property
    def name(self) -> str:
        """ "crop-0.9"."""
        return f"crop-{self.share:g}"

    def __call__(self, keys: Array, images: Images) -> Images:
        """One window of each image."""
        h, w, c = images.shape[1:]
        size = max(1, round(self.share * h)), max(1, round(self.share * w))

        def window(key: Array, image: Image) -> Image:
            top, left = jax.random.randint(key, (2,), 0, jnp.array([h - size[0] + 1, w - size[1] + 1]))
            return jax.lax.dynamic_slice(image, (top, left, 0), (*size, c))

        return jnp.clip(resize(jax.vmap(window)(keys, images), (h, w)), 0, 1)


@dataclass(frozen=True)
class Flip(Random):
    """Mirrored left to right, or not.

    Attributes:
      share: chance that it is.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        """Check the chance."""
        check(0 < self.share <= 1, "flip", "chance above 0 and up to 1", self.share)

    @property
    def name(self) -> str:
        """ "flip-0.5"."""
        return f"flip-{self.share:g}"

    def __call__(self, keys: Array, images: Images) -> Images:
        """Each image, or its mirror image."""
        drawn = jax.vmap(partial(jax.random.bernoulli, p=self.share))(keys)
        return jnp.where(drawn[:, None, None, None], images[:, :, ::-1], images)


@dataclass(frozen=True)
class Rotate(Random):
    """Turned about its centre by a random angle, read bilinearly, mirrored beyond the border.

    Attributes:
      degrees: angles are uniform from -degrees to degrees; > 0, up to 180.
    """

    degrees: float = 3.0

    def __post_init__(self) -> None:
        """Check the angle."""
        check(0 < self.degrees <= 180, "rotate", "angle above 0 and up to 180 degrees", self.degrees)

    @property
    def name(self) -> str:
        """ "rotate-3"."""
        return f"rotate-{self.degrees:g}"

    def __call__(self, keys: Array, images: Images) -> Images:
        """Each image by its own angle."""
        draw = partial(jax.random.uniform, dtype=images.dtype, minval=-self.degrees, maxval=self.degrees)
        return jnp.clip(jax.vmap(rotated)(images, jnp.deg2rad(jax.vmap(draw)(keys))), 0, 1)


@dataclass(frozen=True)
class RandomResize(Random):
    """Down to a random share of each side and up again; after Xie et al. 2018 (arXiv 1711.01991), who pad instead.

    Attributes:
      share: the least that is left of each side; > 0 and < 1.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        """Check the share."""
        check(0 < self.share < 1, "random-resize", "share of the sides above 0 and below 1", self.share)

    @property
    def name(self) -> str:
        """ "random-resize-0.5"."""
        return f"random-resize-{self.share:g}"

    def __call__(self, keys: Array, images: Images) -> Images:
        """Each image by its own share."""
        draw = partial(jax.random.uniform, dtype=images.dtype, minval=self.share, maxval=1.0)
        return jnp.clip(jax.vmap(shrunk_and_back)(images, jax.vmap(draw)(keys)), 0, 1)


@dataclass(frozen=True)
class Noise(Random):
    """White Gaussian noise, cut to [0,1]: one draw of randomised smoothing (arXiv 1902.02918).

    Attributes:
      sigma: standard deviation in [0,1] pixels, > 0.
    """

    sigma: float = 0.05

    def __post_init__(self) -> None:
        """Check the strength."""
        check(0 < self.sigma <= 1, "noise", "standard deviation above 0 and up to 1", self.sigma)

    @property
    def name(self) -> str:
        """ "noise-0.05"."""
        return f"noise-{self.sigma:g}"

    def __call__(self, keys: Array, images: Images) -> Images:
        """Each image with its own noise."""
        draw = partial(jax.random.normal, shape=images.shape[1:], dtype=images.dtype)
        return jnp.clip(images + self.sigma * jax.vmap(draw)(keys), 0, 1)


def rotated(image: Image, angle: Float[Array, ""]) -> Image:
    """An image turned about its centre by an angle in radians, anticlockwise as it is seen, read bilinearly; what lies
    beyond the border is mirrored (scipy.ndimage's "mirror")."""
    h, w, _ = image.shape
    middle = (h - 1) / 2, (w - 1) / 2
    rows, columns = jnp.meshgrid(jnp.arange(h) - middle[0], jnp.arange(w) - middle[1], indexing="ij")
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    places = [cosine * rows + sine * columns + middle[0], cosine * columns - sine * rows + middle[1]]
    read = partial(jax.scipy.ndimage.map_coordinates, coordinates=places, order=1, mode="mirror")
    return jax.vmap(read, -1, -1)(image)


def shrunk_and_back(image: Image, share: Float[Array, ""]) -> Image:
    """An image resized to round(share * side) of each side and back, as functional.resize does; the share is traced."""
    for axis in (0, 1):
        n = image.shape[axis]
        m = jnp.clip(jnp.round(share * n), 1, n).astype(image.dtype)
        there, back = _triangles(n, n, m, jnp.asarray(n, m.dtype)), _triangles(n, n, jnp.asarray(n, m.dtype), m)
        matrix = jnp.matmul(back, there, precision=jax.lax.Precision.HIGHEST)
        image = jnp.moveaxis(jnp.tensordot(matrix, image, (1, axis), precision=jax.lax.Precision.HIGHEST), 0, axis)
    return image


def _triangles(rows: int, columns: int, m: Array, n: Array) -> Float[Array, "rows columns"]:
    """The weights of n samples (of at most `columns`) for each of m (of at most `rows`), zero beyond both; those of
    functional.resize."""
    new, old = jnp.arange(rows, dtype=m.dtype)[:, None], jnp.arange(columns, dtype=m.dtype)[None]
    centres = (new + 0.5) * (n / m) - 0.5
    heights = jnp.maximum(0, 1 - jnp.abs(old - centres) / jnp.maximum(n / m, 1))
    heights = jnp.where((new < m) & (old < n), heights, 0)
    return heights / jnp.maximum(heights.sum(1, keepdims=True), jnp.finfo(m.dtype).tiny)
