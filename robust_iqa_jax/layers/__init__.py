"""Flax Linen modules over robust_iqa_jax.functional."""
