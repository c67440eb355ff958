import struct
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from workshop.generative_models.training import MLflow, TensorBoard, Trainer, WandB

PICTURE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def pictures(model):
    return {"some": PICTURE}


def fit(make_vae, x, callback, steps=10, **options):
    settings = {"batch_size": 8, "log_every": 5, "evaluate_every": 5, "progress": False, **options}
    trainer = Trainer(make_vae(), callbacks=[callback], **settings)
    return trainer.fit(x, x[:9], steps=steps, resume="folder" in options)


def events(folder):
    """Read event files: records of a length (8 bytes), its check (4), the data, its check (4)."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            (size,) = struct.unpack("<Q", content[:8])
            yield Event.FromString(content[12 : 12 + size])
            content = content[16 + size :]


@pytest.mark.slow
def test_tensorboard_holds_all_rows_and_pictures(make_vae, x, tmp_path):
    from io import BytesIO

    from PIL import Image

    rows = fit(make_vae, x, TensorBoard(tmp_path, pictures))
    values = {
        (event.step, value.tag): value
        for event in events(tmp_path)
        for value in event.summary.value
    }
    for row in rows:
        for name, number in row.items():
            if isinstance(number, float):
                found = values[row["step"], f"{row['split']}/{name}"].simple_value
                assert found == np.float32(number)
    image = values[5, "some"].image.encoded_image_string
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(image)))[..., :3], PICTURE)


@pytest.mark.slow
def test_tensorboard_drops_what_a_resumed_run_writes_again(make_vae, x, tmp_path):
    """From the step of each start on, TensorBoard forgets what an earlier file holds."""

    def start(steps):
        fit(make_vae, x, TensorBoard(tmp_path / "tb"), steps=steps, folder=tmp_path / "run")
        return [e.step for e in events(tmp_path / "tb") if e.HasField("session_log")]

    assert start(5) == [1]
    assert start(10)[-1] == 6


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_other_trackers_get_the_same(make_vae, x, monkeypatch, name):
    """Against a stand-in that records the calls of each package's documented interface."""
    fake = MagicMock()
    monkeypatch.setitem(sys.modules, name, fake)
    tracker = WandB(pictures, project="p") if name == "wandb" else MLflow(pictures, run_name="p")
    rows = fit(make_vae, x, tracker)
    if name == "wandb":
        fake.init.assert_called_once_with(project="p")
        run = fake.init.return_value
        logged = [c for c in run.log.call_args_list if "some" not in c.args[0]]
        images = [c for c in run.log.call_args_list if "some" in c.args[0]]
        run.finish.assert_called_once_with()
    else:
        fake.start_run.assert_called_once_with(run_name="p")
        logged, images = fake.log_metrics.call_args_list, fake.log_image.call_args_list
        fake.end_run.assert_called_once_with()
    assert len(images) == 2
    found = [SimpleNamespace(step=c.kwargs["step"], values=c.args[0]) for c in logged]
    assert [f.step for f in found] == [row["step"] for row in rows]
    for one, row in zip(found, rows, strict=True):
        assert one.values[f"{row['split']}/elbo"] == row["elbo"]
