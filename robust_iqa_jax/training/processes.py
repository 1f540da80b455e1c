"""Joins the processes of a run on several hosts, by what their launcher puts into the environment.
Sources: jax.distributed.initialize, which knows Slurm and Cloud TPU pods by itself."""

from collections.abc import Mapping

import jax

OURS = ("RIQA_COORDINATOR", "RIQA_PROCESSES", "RIQA_PROCESS")


def join_processes(environment: Mapping[str, str]) -> bool:
    """Start jax.distributed where the environment speaks of several processes; before any other use of JAX.

    RIQA_COORDINATOR (host:port of the first process), RIQA_PROCESSES (how many) and RIQA_PROCESS (0, 1, ...) come
    first; else Slurm (SLURM_NTASKS above 1) and Cloud TPU pods (several TPU_WORKER_HOSTNAMES), which JAX reads itself.

    Returns:
      whether it did.

    Raises:
      ValueError: some of the three variables are missing, or the numbers are none.
    """
    given = {name: environment[name] for name in OURS if environment.get(name)}
    if given:
        if missing := [name for name in OURS if name not in given]:
            raise ValueError(f"environment: {next(iter(given))} is set, {', '.join(missing)} is not; set all three")
        coordinator, *numbers = (given[name] for name in OURS)
        if not all(number.isdigit() for number in numbers) or int(numbers[1]) >= int(numbers[0]):
            raise ValueError(
                f"environment: RIQA_PROCESSES={numbers[0]}, RIQA_PROCESS={numbers[1]}: the second counts from 0 to the "
                "first less one"
            )
        jax.distributed.initialize(coordinator, int(numbers[0]), int(numbers[1]))
        return True
    slurm = environment.get("SLURM_NTASKS", "1")
    if (slurm.isdigit() and int(slurm) > 1) or "," in environment.get("TPU_WORKER_HOSTNAMES", ""):
        jax.distributed.initialize()
        return True
    return False
