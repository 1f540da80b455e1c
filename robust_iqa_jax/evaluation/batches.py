"""Images in batches of one size, so that a program over them compiles once."""

import jax.numpy as jnp
from jaxtyping import Array, Int


def even_batches(count: int, most: int, devices: int = 1) -> list[Int[Array, " size"]]:
    """Indices of count images in as few batches of one size as `most` images a device and batch allow.

    The batches are evened out, because what fills up the last one, its last image again, costs as much as any image.
    Cut what is computed from them, end to end, to the count. The size is a multiple of `devices`.

    Raises:
      ValueError: no images, or a batch size below 1.
    """
    if count < 1 or most < 1:
        raise ValueError(f"batches: one image or more and a batch size of 1 or more expected, got {count} and {most}")
    share = -(-count // devices)
    size = devices * -(-share // -(-share // most))
    return [jnp.minimum(jnp.arange(start, start + size), count - 1) for start in range(0, count, size)]
