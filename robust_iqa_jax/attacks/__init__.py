"""Attacks on quality scores: one file an attack over one small core."""
