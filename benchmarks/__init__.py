"""Measurements: one file a question. Installed as robust_iqa_jax.benchmarks; `riqa bench` runs the spectral ones."""
