"""Batched inverse of the Cayley system M = I + U - U^H + V^H V."""
