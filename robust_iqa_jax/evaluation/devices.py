"""The devices of an evaluation, by the names that it imports them under; they are those of robust_iqa_jax.devices."""

from robust_iqa_jax.devices import ONE, Count, Devices, local_devices

__all__ = ["ONE", "Count", "Devices", "local_devices"]
