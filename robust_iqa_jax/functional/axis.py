"""Sums over the devices of a mapped function, by their earlier names; they are those of robust_iqa_jax.devices."""

from robust_iqa_jax.devices import all_rows as gathered
from robust_iqa_jax.devices import first_row
from robust_iqa_jax.devices import mean_over_devices as averaged

__all__ = ["averaged", "first_row", "gathered"]
