"""Several processes, on one machine or many, as one run."""

import os

import jax
from jax.experimental import multihost_utils


def join(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None
) -> None:
    """Join the other processes of a run; call it before anything else touches a device.

    Without arguments the launcher tells the rest: SLURM, Open MPI, a TPU pod, or the variables
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.

    Args:
        coordinator: "host:port" of process 0.
        processes: how many there are.
        process: which of them this is, from 0.

    Raises:
        ValueError: if only some of the arguments are given, or nothing tells them.
    """
    coordinator = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    processes = _number(processes, "JAX_NUM_PROCESSES")
    process = _number(process, "JAX_PROCESS_ID")
    given = [value is not None for value in (coordinator, processes, process)]
    if any(given) and not all(given):
        raise ValueError(
            f"join(coordinator={coordinator!r}, processes={processes}, process={process}): "
            "pass all three, or none where a launcher tells them"
        )
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"joining the other processes failed: {error}") from error


def wait(what: str) -> None:
    """Wait until every process of the run has come here; alone, go on at once."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def _number(value: int | None, variable: str) -> int | None:
    """Return a number that was given, or else that the environment holds."""
    found = os.environ.get(variable)
    return int(found) if value is None and found is not None else value
