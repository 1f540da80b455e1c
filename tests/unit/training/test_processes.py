"""What an environment says about the processes of a run."""

import pytest

from robust_iqa_jax.training.processes import join_processes

OURS = {"RIQA_COORDINATOR": "host0:1234", "RIQA_PROCESSES": "4", "RIQA_PROCESS": "3"}


@pytest.mark.parametrize(
    ("environment", "calls"),
    [
        ({}, []),
        ({"SLURM_NTASKS": "1", "TPU_WORKER_HOSTNAMES": "one"}, []),
        ({"SLURM_NTASKS": "8"}, [()]),
        ({"TPU_WORKER_HOSTNAMES": "one,two"}, [()]),
        ({**OURS, "SLURM_NTASKS": "8"}, [("host0:1234", 4, 3)]),
    ],
    ids=["laptop", "one task", "slurm", "pod", "ours first"],
)
def test_processes_are_joined_as_the_launcher_says(environment, calls, monkeypatch):
    made = []
    monkeypatch.setattr("jax.distributed.initialize", lambda *args: made.append(args))
    assert join_processes(environment) == bool(calls)
    assert made == calls


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RIQA_PROCESS": "0"}, "RIQA_PROCESS is set, RIQA_COORDINATOR, RIQA_PROCESSES is not"),
        ({**OURS, "RIQA_PROCESS": "4"}, "RIQA_PROCESS=4: the second counts from 0"),
        ({**OURS, "RIQA_PROCESSES": "four"}, "RIQA_PROCESSES=four"),
    ],
)
def test_half_an_environment_is_refused(environment, message):
    with pytest.raises(ValueError, match=message):
        join_processes(environment)
