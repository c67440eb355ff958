"""Several devices and several processes give the losses of one.

Sums of a batch are taken in another order on several devices, so losses agree to 1e-5 and not to
the bit.
"""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from devices_script import train

from workshop.generative_models.core.configuration import MODEL_CONFIGS
from workshop.generative_models.training import Trainer

SCRIPT = Path(__file__).with_name("devices_script.py")
ENVIRONMENT = os.environ | {"JAX_PLATFORMS": "cpu"}
MODELS = [*MODEL_CONFIGS, "vq-vae, averaged", "batch statistics"]
# Of all that is split or summed: labels, averages of codes, statistics of batches.
KINDS = ["conditional-vae", "vq-vae, averaged", "batch statistics"]


def start(devices, jobs, *process):
    command = [sys.executable, str(SCRIPT), str(devices), json.dumps(jobs), *map(str, process)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


def result(run):
    out, errors = run.communicate(timeout=400)
    assert run.returncode == 0, errors
    return json.loads(out.splitlines()[-1])


def pair(devices, jobs):
    """Start two processes that find each other on the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [start(devices, jobs, address, 2, process) for process in range(2)]


def job(model, layout, steps=12, **more):
    return {"model": model, "layout": layout, "steps": steps, **more}


def assert_close(found, expected):
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=1e-5)
    np.testing.assert_allclose(found["weights"], expected["weights"], rtol=1e-5)
    if expected["usage"] is not None:
        np.testing.assert_allclose(found["usage"], expected["usage"], rtol=1e-5)
        np.testing.assert_allclose(found["codes"], expected["codes"], rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def one():
    """A model on one device, that of this process."""
    return functools.cache(lambda name: train(job(name, "one")))


LAYOUTS = {"vq-vae, averaged": "full"}
OTHERS = {name: "full" for name in MODELS if name not in LAYOUTS}


@pytest.mark.parametrize(
    "layouts",
    [
        LAYOUTS,
        pytest.param(OTHERS, marks=pytest.mark.slow),
        pytest.param(dict.fromkeys(KINDS, "data"), marks=pytest.mark.slow),
    ],
)
def test_eight_devices_give_the_losses_of_one(one, layouts):
    found = result(start(8, [job(name, layout) for name, layout in layouts.items()]))
    for name, each in zip(layouts, found, strict=True):
        assert_close(each, one(name))


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(one):
    """Over Gloo; the streamed feed too, of which each process reads only its half."""
    jobs = [job(name, "full") for name in KINDS] + [job("conditional-vae", "data", stream=True)]
    runs = pair(2, jobs)
    results = [result(run) for run in runs]
    for first, second, name in zip(*results, [*KINDS, "conditional-vae"], strict=True):
        assert first == second
        assert_close(first, one(name))


@pytest.mark.slow
def test_a_run_saved_on_eight_devices_resumes_train(one, tmp_path):
    result(start(8, [job("vq-vae", "full", steps=8, folder=str(tmp_path))]))
    # Ten evaluations in a run: their steps depend on its length, so only the end is compared.
    found = train(job("vq-vae", "one", folder=str(tmp_path), resume=True))
    np.testing.assert_allclose(found["weights"], one("vq-vae")["weights"], rtol=1e-5)
    np.testing.assert_allclose(found["usage"], one("vq-vae")["usage"], rtol=1e-5)


@pytest.mark.slow
def test_a_killed_process_leaves_a_checkpoint_that_both_can_resume(tmp_path):
    jobs = [job("vae", "data", steps=4000, folder=str(tmp_path))]
    runs = pair(1, jobs)
    while not any(p.name.isdigit() for p in (tmp_path / "checkpoints").glob("*")):
        assert all(run.poll() is None for run in runs), [run.communicate() for run in runs]
        time.sleep(0.05)
    runs[1].send_signal(signal.SIGKILL)
    time.sleep(0.5)
    for run in runs:  # the other one waits for its partner until it gives up
        run.kill()
        run.communicate()
    saved = max(int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit())
    steps = saved + 8
    jobs = [job("vae", "data", steps=steps, folder=str(tmp_path), resume=True)]
    results = [result(run) for run in pair(1, jobs)]
    assert results[0] == results[1]
    whole = train(job("vae", "one", steps=steps))
    # Adam divides small numbers by small ones: orders of summation grow apart with the steps.
    np.testing.assert_allclose(results[0][0]["weights"], whole["weights"],
                               rtol=1e-3)  # fmt: skip


def test_a_batch_that_cannot_be_split_is_named(make_vae, monkeypatch):
    import jax

    devices = jax.devices() * 3
    monkeypatch.setattr(jax, "devices", lambda: devices)
    with pytest.raises(ValueError, match=r"batch_size=16: expected a multiple of the 3 devices"):
        Trainer(make_vae(), batch_size=16, devices="data")
