"""The commands that measure a run: evaluate, compare, score."""

import csv
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import workshop
from workshop.cli import evaluate, main
from workshop.cli import evaluate as measuring
from workshop.cli.progress import Interrupts
from workshop.cli.tables import console
from workshop.generative_models.data import load_dataset
from workshop.generative_models.evaluation import bounds, summary
from workshop.generative_models.evaluation.bounds import importance
from workshop.generative_models.evaluation.detection import auroc
from workshop.generative_models.evaluation.estimates import Estimate
from workshop.generative_models.evaluation.sections import samples
from workshop.generative_models.training import Trainer

LITTLE = ("--samples", 32, "--examples", 20, "--generated", 40)


def command(*arguments):
    main([str(a) for a in arguments])


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        command(*arguments)
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory, all_figures):
    """A short run on the digits, evaluated."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    command("train", "--steps", 30, "--hidden-dims", 16, "--latent-dim", 4, "--out", folder,
            "--no-progress")  # fmt: skip
    with all_figures():
        command("evaluate", folder, *LITTLE)
    return folder


def test_evaluate_says_what_the_trainer_says(run):
    """The same ELBO from other draws: within four standard errors of the noise of z."""
    found = summary.read(run / "evaluation.json")["sections"]["likelihood"]
    model, test = workshop.load(run), load_dataset("digits").test
    trained = Trainer(model, batch_size=60).evaluate(test)
    draws = [bounds.elbo(model, test, seed=seed).mean() for seed in range(1, 9)]
    assert abs(trained["elbo"] - np.mean(draws)) < 4 * np.std(draws, ddof=1)
    assert abs(found["elbo"].value - np.mean(draws)) < 4 * np.std(draws, ddof=1)
    assert found["kl_loss"].value == pytest.approx(trained["kl_loss"], rel=1e-5)
    assert found["elbo"].n == len(test)


def test_evaluate_writes_what_needs_nothing_else(run):
    content = json.loads((run / "evaluation.json").read_text())
    assert content["data"] == {"name": "digits", "split": "test", "examples": 180}
    page = (run / "report.html").read_text()
    for section in content["sections"].values():
        assert section["title"] in page
    pictures = re.findall(r'src="([^"]{30})', page)
    assert len(pictures) == 8
    assert all(p.startswith("data:image/png;base64,") for p in pictures)
    assert "http" not in page.split("</style>")[1]
    assert not re.search(r"<script|<link|@import|url\(", page)


def test_other_parts_and_folders_have_names_of_their_own(run, tmp_path, capsys):
    command("evaluate", run, "--quick", "--split", "validation", "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation-validation.json"]
    assert "without --out" in refused(capsys, "evaluate", run, "--data", "digits")
    assert "--split='tset'" in refused(capsys, "evaluate", run, "--split", "tset")
    assert "--samples=0" in refused(capsys, "evaluate", run, "--samples", 0)


@pytest.mark.slow
def test_samples_are_compared_in_features_of_inception(run, tmp_path, capsys, monkeypatch):
    """The network itself has a test of its own: here means of rows stand for it."""

    def features(path):
        assert path == "weights.safetensors"
        return lambda x: np.asarray(x).mean(2).reshape(len(x), -1)

    monkeypatch.setattr(measuring, "inception_features", features)
    option = ("--features", "inception=weights.safetensors")
    command("evaluate", run, *LITTLE, *option, "--out", tmp_path)
    found = summary.read(tmp_path / "evaluation.json")["sections"]["samples_inception"]
    assert found.keys() == summary.read(run / "evaluation.json")["sections"]["samples_pca"].keys()
    assert "leaves out samples" in refused(capsys, "evaluate", run, *option, "--quick")
    assert "expected inception=FILE" in refused(capsys, "evaluate", run, "--features", "vgg=a")


@pytest.mark.slow
def test_an_autoencoder_is_scored_by_its_reconstruction_loss(tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "scores.csv"
    command("train", "--steps", 2, "--hidden-dims", 8, "--latent-dim", 2, "--out", run,
            "--posterior.kind", "point_mass", "--objective.kind", "reconstruction",
            "--no-progress")  # fmt: skip
    command("score", run, "--out", out, "--odd", 3, "--samples", 2)
    assert "reconstruction loss" in capsys.readouterr().out
    command("evaluate", run, "--quick")
    assert "there is no bound on log p(x)" in " ".join(capsys.readouterr().out.split())
    rows, test = list(csv.DictReader(out.read_text().splitlines())), load_dataset("digits").test
    assert rows[0].keys() == {"index", "label", "reconstruction_loss"}
    model = workshop.load(run)
    loss = -model.conditional_log_prob(test.x, model.encode(test.x)[0])
    np.testing.assert_allclose([float(r["reconstruction_loss"]) for r in rows], loss, rtol=1e-4)


def test_compare(run, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    content = json.loads((run / "evaluation.json").read_text())
    content["sections"]["likelihood"]["figures"]["elbo"]["value"] = 0.0
    (other / "evaluation.json").write_text(json.dumps(content))
    command("compare", run, other, "--out", tmp_path / "both.html")
    page = (tmp_path / "both.html").read_text()
    best = re.findall(r"<td[^>]*best[^>]*>([^<]*)", page)
    assert len(best) == 1, "all else is the same for both"
    figure = content["sections"]["likelihood"]["figures"]["elbo"]
    assert best[0] == str(Estimate(**figure))
    content["basis"]["likelihood"] = "Gaussian"
    (other / "evaluation.json").write_text(json.dumps(content))
    command("compare", run, other, "--out", tmp_path / "both.html")
    assert (
        "best" not in (tmp_path / "both.html").read_text().split("</style>")[1].split("</p>", 1)[1]
    )
    assert "under different likelihoods" in capsys.readouterr().out
    capsys.readouterr()
    assert "run workshop evaluate" in refused(capsys, "compare", run, tmp_path)
    assert "at least two" in refused(capsys, "compare", run)


@pytest.mark.slow
def test_score_gives_each_example_its_terms(run, tmp_path, capsys):
    out = tmp_path / "scores.csv"
    command("score", run, "--out", out, "--odd", 3, 8, "--bound", 8, "--samples", 2)
    printed = capsys.readouterr().out
    rows = list(csv.DictReader(out.read_text().splitlines()))
    test = load_dataset("digits").test
    assert [int(r["index"]) for r in rows] == list(range(len(test)))
    assert [int(r["label"]) for r in rows] == test.y.tolist()
    terms = bounds.elbo_terms(workshop.load(run), test, samples=2)
    for name in ("reconstruction_loss", "kl_loss"):
        np.testing.assert_allclose([float(r[name]) for r in rows], terms[name], rtol=1e-5)
    elbo = np.array([float(r["elbo"]) for r in rows])
    odd = np.isin(test.y, [3, 8])
    area = auroc(-elbo[~odd], -elbo[odd])
    assert str(area) in printed
    for name in ("x", "3,8"):
        said = refused(capsys, "score", run, "--out", out, "--odd", name)
        assert f"--odd='{name}'" in said
    assert "ends in .csv" in refused(capsys, "score", run, "--out", tmp_path / "a.txt")


@pytest.mark.slow
def test_score_reads_a_folder_of_images_by_its_classes(run, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in ("good", "odd"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 255, (8, 8), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{i}.png")
    out = tmp_path / "scores.csv"
    command("score", run, tmp_path / "data", "--out", out, "--odd", "odd")
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [r["name"] for r in rows] == [f"{c}/{i}.png" for c in ("good", "odd") for i in range(3)]
    assert [r["label"] for r in rows] == ["good"] * 3 + ["odd"] * 3
    assert "3 odd of 6 examples" in capsys.readouterr().out
    assert "names every class" in refused(
        capsys, "score", run, tmp_path / "data", "--out", out, "--odd", "odd", "good"
    )


def folder_of_digits(root, classes, count=12):
    digits = load_dataset("digits")
    for c in classes:
        (root / f"digit {c}").mkdir(parents=True)
        for i, x in enumerate(digits.train.x[digits.train.y == c][:count]):
            pixels = Image.fromarray((255 * x[..., 0]).astype(np.uint8))
            pixels.save(root / f"digit {c}" / f"{i}.png")
    return root


@pytest.mark.slow
def test_a_conditional_model_is_told_the_class_by_its_name(tmp_path, capsys):
    """A folder of the last classes alone numbers them from 0."""
    every = folder_of_digits(tmp_path / "every", range(4))
    some = folder_of_digits(tmp_path / "some", (2, 3))
    folder = tmp_path / "run"
    command("train", "--model", "conditional-vae", "--data", every, "--steps", 20,
            "--hidden-dims", 8, "--out", folder, "--no-progress")  # fmt: skip
    for name, data in (("a.csv", every), ("b.csv", some)):
        command("score", folder, data, "--out", tmp_path / name, "--samples", 2)
    first, second = (
        {row["name"]: row for row in csv.DictReader((tmp_path / f).read_text().splitlines())}
        for f in ("a.csv", "b.csv")
    )
    for name, row in second.items():
        assert row["label"] == first[name]["label"]
        assert row["kl_loss"] == first[name]["kl_loss"], "the KL depends on x and y alone"
    (some / "digit 2").rename(some / "digit 5")
    said = refused(capsys, "score", folder, some, "--out", tmp_path / "c.csv")
    assert "class='digit 5'" in said
    np.save(tmp_path / "x.npy", load_dataset("digits").test.x[:5])
    said = refused(capsys, "score", folder, tmp_path / "x.npy", "--out", tmp_path / "c.csv")
    assert "has no labels" in said


@pytest.mark.slow
def test_score_fixes_a_scale_that_batches_choose(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 5)))
    command("train", "--data", tmp_path / "x.npy", "--steps", 5, "--latent-dim", 2,
            "--scale", "optimal", "--out", tmp_path / "run", "--no-progress")  # fmt: skip
    command("score", tmp_path / "run", tmp_path / "x.npy", "--out", tmp_path / "s.csv")
    assert "scale is the best one for the run's training examples" in capsys.readouterr().out
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 61


class TestCutShort:
    @pytest.fixture(autouse=True)
    def _python_handles_interrupts(self):
        """As at a terminal: jobs in the background inherit that SIGINT is ignored."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    def test_what_was_done_is_kept_and_what_follows_is_not_begun(self, capsys):
        interrupts, done = Interrupts(console), []
        for item in interrupts.cuttable("counting")(range(10)):
            done.append(item)
            if item == 3:
                os.kill(os.getpid(), signal.SIGINT)
        assert done == [0, 1, 2, 3]
        assert "counting: cut short after 4 of 10 steps" in capsys.readouterr().out
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert list(interrupts.cuttable("more")(range(10))) == []
        assert interrupts.cut == "counting: cut short after 4 of 10 steps"

    def test_a_second_one_ends_the_step_itself(self):
        interrupts = Interrupts(console)
        counting = interrupts.cuttable("counting")(range(10))
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            for _ in counting:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
        del counting
        assert interrupts.cut == "counting: cut short"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_a_request_to_end_ends(self):
        counting = iter(Interrupts(console).cuttable("counting")(range(10)))
        next(counting)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(SystemExit) as stop:
            next(counting)
        assert stop.value.code == 128 + signal.SIGTERM

    @pytest.mark.sampled
    @pytest.mark.parametrize("where", ["inside an estimate", "between estimates"])
    def test_an_evaluation_is_written_as_far_as_it_came(
        self, run, tmp_path, monkeypatch, capsys, where
    ):
        """The signal comes at a chosen step of the bound, or while samples are measured."""
        taken = []

        def weigh(*args, **kwargs):
            taken.append(1)
            if len(taken) == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return add_samples(*args, **kwargs)

        add_samples = importance.add_samples
        if where == "inside an estimate":
            monkeypatch.setattr(importance, "add_samples", weigh)
        else:
            monkeypatch.setattr(
                samples, "sample_quality", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)
            )
        little = ("--samples", 10**7) if where == "inside an estimate" else LITTLE
        with pytest.raises(SystemExit) as stop:
            command("evaluate", run, *little, "--out", tmp_path)
        assert stop.value.code == 128 + signal.SIGINT
        content = json.loads((tmp_path / "evaluation.json").read_text())
        assert "cut short" in content["cut_short"]
        figures = content["sections"]["likelihood"]["figures"]
        assert figures["elbo"]["n"] == 180
        if where == "inside an estimate":
            assert len(taken) == 3
            assert list(content["sections"]) == ["likelihood"]
            assert "importance_weighted_bound" not in figures
            assert "importance-weighted bound: cut short" in content["cut_short"]
        else:
            assert list(content["sections"]) == ["likelihood", "latents", "reconstructions"]
            assert figures["importance_weighted_bound"]["n"] == 180
        assert "the sections after it are missing" in (tmp_path / "report.html").read_text()
        capsys.readouterr()
        command("compare", run, tmp_path)
        assert "cut short" in capsys.readouterr().out

    @pytest.mark.slow
    def test_ctrl_c_from_outside_ends_the_estimate(self, run, tmp_path):
        """A bound that would take days, interrupted once its progress is shown."""
        words = ["evaluate", str(run), "--samples", str(10**9), "--out", str(tmp_path)]
        script = "import sys; from workshop.cli import main; main(sys.argv[1:])"
        process = subprocess.Popen(
            [sys.executable, "-c", script, *words],
            env=os.environ | {"TTY_COMPATIBLE": "1"},  # shows progress in a pipe too
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        shown = b""
        try:
            assert process.stdout is not None
            while b"importance-weighted bound" not in shown:
                more = os.read(process.stdout.fileno(), 2**16)
                assert more, shown.decode(errors="replace")
                shown += more
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=300)
        finally:
            process.kill()
        assert process.returncode == 128 + signal.SIGINT
        assert b"Traceback" not in rest
        content = json.loads((tmp_path / "evaluation.json").read_text())
        assert "importance-weighted bound: cut short after" in content["cut_short"]
        assert list(content["sections"]) == ["likelihood"]
        assert "cut short" in (tmp_path / "report.html").read_text()

    @pytest.mark.slow
    def test_a_second_ctrl_c_ends_the_command(self, run, tmp_path, monkeypatch):
        """One that comes while the figures are drawn."""

        def strike(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(samples, "sample_quality", strike)
        monkeypatch.setattr(evaluate, "run_page", strike)
        with pytest.raises(SystemExit) as stop:
            command("evaluate", run, *LITTLE, "--out", tmp_path)
        assert stop.value.code == 128 + signal.SIGINT
        assert not (tmp_path / "report.html").exists()
        assert json.loads((tmp_path / "evaluation.json").read_text())["cut_short"]


def test_help_imports_no_jax():
    code = "import sys; from workshop.cli.app import main\ntry: main(['score', '--help'])\n"
    code += "except SystemExit: pass\nassert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
