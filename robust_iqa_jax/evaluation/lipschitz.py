"""How much each layer of a network stretches small changes, and the exact stretch of a Cayley convolution.
Ratios are lower bounds of Lipschitz constants; spectra of convolutions: Sedghi, Gupta & Long (arXiv 1805.10408)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.checks import checked_images
from robust_iqa_jax.functional.cayley import CayleyOperator
from robust_iqa_jax.functional.feature_distance import Features
from robust_iqa_jax.functional.spectral import frequencies, tap_offsets
from robust_iqa_jax.pytrees import as_pytree


@dataclass(frozen=True, eq=False)
class Stretch:
    """Length of a layer's change over the length of what caused it, l2 over all positions and channels.

    Attributes:
      from_input: over the change of the image.
      from_previous: over the change of the layer before, the image for the first; NaN where that did not change.
    """

    from_input: Float[np.ndarray, " n"]
    from_previous: Float[np.ndarray, " n"]


def layer_stretch(features: Features, layers: Sequence[str], images: Images, changed: Images) -> dict[str, Stretch]:
    """Stretch of every named map between two versions of each image, such as clean and attacked.

    Args:
      features: images in [0,1] -> maps by name, see functional.feature_distance.
      layers: names in the order of the network.
      images, changed: (n, h, w, c).

    Returns:
      layer -> (n,) ratios.

    Raises:
      ValueError: shapes that differ, an image that did not change, no such map.
    """
    if jnp.shape(images) != jnp.shape(changed):
        raise ValueError(f"layer_stretch: images of one shape expected, got {images.shape} and {changed.shape}")
    changes = _lengths(as_pytree(features), tuple(layers), jnp.asarray(images), jnp.asarray(changed))
    lengths = np.asarray(changes, np.float64)
    if not lengths[0].all():
        raise ValueError(f"layer_stretch: image {int(np.argmin(lengths[0]))} did not change, its ratios are undefined")
    moved = np.where(lengths == 0, np.nan, lengths)
    return {name: Stretch(lengths[i] / lengths[0], lengths[i] / moved[i - 1]) for i, name in enumerate(layers, start=1)}


def empirical_lipschitz(
    features: Features, layers: Sequence[str], images: Images, key: Array, *, rms: float = 1 / 255, draws: int = 8
) -> dict[str, tuple[float, float]]:
    """Largest stretch of every named map under random changes of the images.

    Directions are uniform on the sphere: estimates from below, and far below where few directions are stretched;
    `layer_stretch` of an attack's images comes closer.

    Args:
      features, layers, images: as in `layer_stretch`.
      key: of the directions.
      rms: root mean square of the change of a pixel, in [0,1] units. Changed images are not clipped.
      draws: directions an image.

    Returns:
      layer -> (from input, from previous), the maxima over images and draws.

    Raises:
      ValueError: bad images, settings that are not positive, and as `layer_stretch`.
    """
    images = checked_images(images)
    if not rms > 0 or draws < 1:
        raise ValueError(f"empirical_lipschitz: rms above 0 and one draw or more expected, got {rms} and {draws}")
    stretches: list[dict[str, Stretch]] = []
    for one in jax.random.split(key, draws):
        direction = jax.random.normal(one, images.shape, images.dtype)
        size = jnp.sqrt((direction**2).mean((1, 2, 3), keepdims=True))
        stretches.append(layer_stretch(features, layers, images, images + rms * direction / size))
    return {
        name: (
            float(max(draw[name].from_input.max() for draw in stretches)),
            float(max(draw[name].from_previous.max() for draw in stretches)),
        )
        for name in layers
    }


def cayley_spectral_norm(operator: CayleyOperator) -> float:
    """Largest singular value of a prepared Cayley convolution, its bias aside: exact, from its spectra.

    A circular convolution's singular values are those of its matrices Q(f) over all frequencies (arXiv 1805.10408);
    frequencies that rfft2 drops have the conjugate matrices. It is 1 for any in and out where the inverse is exact, so
    what it differs by is the solver's error. Q is formed in float64 from the inverse and the taps
    (functional.cayley.from_solution), for the smaller of Q^H Q and Q Q^H.

    Args:
      operator: from functional.cayley.prepare.
    """
    inverse = np.asarray(operator.inverse.real, np.float64) + 1j * np.asarray(operator.inverse.imag, np.float64)
    taps = np.asarray(operator.taps, np.float64)
    kh, kw, side, rest = taps.shape
    phases = np.exp(1j * frequencies(operator.size) @ tap_offsets((kh, kw)).T)
    rectangular = (phases @ taps.reshape(kh * kw, side * rest)).reshape(len(phases), side, rest)
    if operator.wide:  # Q = [2 M^-1 - I; -2 V M^-1]; the taps' layout is V^T
        parts = [2 * inverse - np.eye(side), -2 * rectangular.swapaxes(1, 2) @ inverse]
        gram = sum(part.conj().swapaxes(1, 2) @ part for part in parts)
    else:  # Q = [2 M^-T - I, -2 M^-T V^T]
        parts = [2 * inverse - np.eye(side), -2 * inverse @ rectangular]
        gram = sum(part @ part.conj().swapaxes(1, 2) for part in parts)
    return float(np.sqrt(np.linalg.eigvalsh(gram).max()))


@partial(jax.jit, static_argnums=1)
def _lengths(features: Features, layers: tuple[str, ...], images: Array, changed: Array) -> Array:
    """(1 + layers, n): lengths of the change of the image and of every map."""
    before, after = _named(features(images), layers), _named(features(changed), layers)
    pairs = [(images, changed), *((before[name], after[name]) for name in layers)]
    return jnp.stack([jnp.sqrt(((b - a) ** 2).reshape(len(a), -1).sum(1)) for a, b in pairs])


def _named(maps: Mapping[str, Array] | Iterable[Array], layers: tuple[str, ...]) -> Mapping[str, Array]:
    if not isinstance(maps, Mapping):
        raise ValueError("layer_stretch: maps by name expected, got maps without names")
    named = cast(Mapping[str, Array], maps)
    if unknown := sorted(set(layers) - set(named)):
        raise ValueError(f"layer_stretch: no maps {unknown}; choose among {', '.join(named)}")
    return named
