"""Environment of a process that has several devices on one CPU."""

import os


def host_devices(count: int) -> dict[str, str]:
    """Variables to add; flags of XLA that are set stay."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    return {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
