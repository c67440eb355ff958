"""Nothing that measures, exports or shows changes a model, whatever mode it is in."""

import importlib
import inspect
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.cli.explore.session import Session
from workshop.generative_models import evaluation, export, visualization
from workshop.generative_models.core.modules import in_evaluation_mode
from workshop.generative_models.data import Dataset, Split
from workshop.generative_models.evaluation import bounds, outputs, passes
from workshop.generative_models.evaluation.bounds import weighing
from workshop.generative_models.evaluation.samples import dependence
from workshop.generative_models.evaluation.study import Settings, Study
from workshop.generative_models.evaluation.summary import evaluate
from workshop.generative_models.export import export_model
from workshop.generative_models.export.offered import functions_of
from workshop.generative_models.models.saving import save_weights
from workshop.generative_models.models.vae import VAE, VQVAE
from workshop.generative_models.training import Trainer
from workshop.generative_models.visualization import report

EVENT, LATENTS = (4, 4, 1), 2
RNG = np.random.default_rng(0)
IMAGES = RNG.random((12, *EVENT), np.float32)
LABELS = np.arange(12, dtype=np.int32) % 2
SPLIT = Split(IMAGES, LABELS)
FAR = Split(IMAGES + 100)


class Network(nnx.Module):
    """A layer between a batch norm and a dropout, which differ between the two modes."""

    def __init__(self, size, *shape, rngs, **about):
        for name, value in about.items():
            setattr(self, name, value)
        self.shape = shape
        self.norm = nnx.BatchNorm(size, rngs=rngs)
        self.layer = nnx.Linear(size, int(np.prod(shape)), rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        x = self.dropout(self.layer(self.norm(x.reshape(len(x), -1))))
        return x.reshape(len(x), *self.shape)


class Encoder(Network):
    def __call__(self, x):
        mean, log_var = jnp.split(super().__call__(x), 2, -1)
        return mean, log_var


def networks(rngs):
    size = int(np.prod(EVENT))
    return (
        Encoder(size, 2 * LATENTS, rngs=rngs, latent_dim=LATENTS, input_dim=EVENT),
        Network(LATENTS, *EVENT, rngs=rngs, latent_dim=LATENTS, output_shape=EVENT),
    )


def vae():
    rngs = nnx.Rngs(0)
    return VAE(*networks(rngs), LATENTS, rngs=rngs, likelihood="gaussian")


def vq_vae():
    rngs = nnx.Rngs(0)
    return VQVAE(*networks(rngs), LATENTS, 3, 2, rngs=rngs, likelihood="gaussian")


def sections(model, **_):
    settings = Settings(samples=2, examples=2, elbo_samples=1, generated=12)
    return dict(evaluate(Study(model, SPLIT, SPLIT, settings), quick=True))


def session(model, **_):
    held = Session(model, Dataset("made", SPLIT, SPLIT, SPLIT))
    held.warm_up()
    held.traverse(held.means[0], [0, 1], 1.0, 2)
    held.random(0)


def decode(model, z):
    return model.decode(z)


MEASURES = {
    bounds.annealed_importance_sampling: lambda m: bounds.annealed_importance_sampling(
        m, SPLIT.x, chains=1, steps=2
    ),
    bounds.annealed_log_weights: lambda m: bounds.annealed_log_weights(
        m, SPLIT.x, chains=1, steps=2
    ),
    bounds.importance_weighted_bound: lambda m: bounds.importance_weighted_bound(
        m, SPLIT.x, samples=2
    ),
    bounds.importance_sampling: lambda m: bounds.importance_sampling(m, SPLIT.x, samples=2),
    bounds.elbo: lambda m: bounds.elbo(m, SPLIT.x),
    bounds.elbo_terms: lambda m: bounds.elbo_terms(m, SPLIT.x),
    bounds.fix_scale: lambda m: bounds.fix_scale(m, SPLIT.x),
    outputs.activity: lambda m: outputs.activity(m, SPLIT),
    outputs.divergences: lambda m: outputs.divergences(m, SPLIT),
    outputs.posteriors: lambda m: outputs.posteriors(m, SPLIT),
    outputs.representations: lambda m: outputs.representations(m, SPLIT),
    outputs.reconstructions: lambda m: outputs.reconstructions(m, SPLIT),
    outputs.code_indices: lambda m: outputs.code_indices(m, SPLIT),
    passes.run_over: lambda m: passes.run_over(
        m, decode, Split(np.zeros((3, LATENTS), np.float32))
    ),
    in_evaluation_mode: in_evaluation_mode,
    weighing.rows_of: lambda m: weighing.rows_of(m, SPLIT),
    dependence.dependence_of: lambda m: dependence.dependence_of(m, SPLIT),
    evaluate: sections,
    functions_of: functions_of,
    report.draw_reconstructions: lambda m: report.draw_reconstructions(m, SPLIT, 2),
    report.drawn_reconstructions: lambda m: report.drawn_reconstructions(m, SPLIT),
    report.draw_samples: lambda m: report.draw_samples(m, 2),
    report.draw_interpolations: lambda m: report.draw_interpolations(m, SPLIT, [(0, 1)], 2),
    report.draw_traversals: lambda m: report.draw_traversals(m, SPLIT, steps=2),
    "Trainer.evaluate": lambda m: Trainer(m, progress=False).evaluate(SPLIT.x),
    "Session": session,
}
WITH_CODES = {outputs.code_indices, outputs.representations, evaluate, "Session"}
WITHOUT_CODES = MEASURES.keys() - {outputs.code_indices}
CASES = [(vae, measure) for measure in MEASURES if measure in WITHOUT_CODES]
CASES += [(vq_vae, measure) for measure in MEASURES if measure in WITH_CODES]
PARTS = {
    "batch_of", "condition_of", "coordinates", "dependence_verdict", "drawn", "encoded",
    "examples_of",
    "features_of", "has_moving_scale", "log_given", "log_joint", "own_conditions",
    "examples_to_bound", "representation_of", "run_steps", "samples_of",
    "settled_examples", "settled_noise",
}  # fmt: skip
"""Functions that take no more than a look at the model, or a copy made by those above."""


def state_of(model):
    """Return every variable of a model, random streams and statistics too, and its modes."""
    leaves = jax.tree.leaves(nnx.state(model))
    keys = [jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key) for a in leaves]
    arrays = [
        np.array(jax.random.key_data(a) if key else a) for a, key in zip(leaves, keys, strict=True)
    ]
    modes = [
        getattr(module, name)
        for _, module in nnx.iter_modules(model)
        for name in ("deterministic", "use_running_average")
        if hasattr(module, name)
    ]
    return arrays, modes


def name_of(case):
    build, measure = case
    return f"{build.__name__}-{getattr(measure, '__name__', measure)}"


@pytest.mark.sampled
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_no_variable_and_no_mode_changes(case):
    build, measure = case
    model = build()
    before, modes = state_of(model)
    assert len(modes) >= 4  # the norms and dropouts of both networks
    assert not any(modes)  # training mode, as a new model is
    MEASURES[measure](model)
    after, modes_after = state_of(model)
    assert modes_after == modes
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_function_of_a_model_is_among_them():
    found = set()
    for package in (evaluation, export, visualization):
        for part in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, function in vars(importlib.import_module(part.name)).items():
                if not callable(function) or getattr(function, "__module__", None) != part.name:
                    continue
                own = not name.startswith("_") and not inspect.isclass(function)
                if own and "model" in inspect.signature(function).parameters:
                    found.add(name)
    tested = {getattr(measure, "__name__", None) for measure in MEASURES}
    # The figures of a run are made by functions of the above; exports have a test of their own.
    assert found - tested - PARTS == {"export_model", "run_figures"}


def test_measures_are_of_evaluation_mode_whatever_the_mode():
    model, settled = vae(), vae()
    settled.eval()
    far = bounds.elbo(model, IMAGES)
    np.testing.assert_array_equal(far, bounds.elbo(settled, IMAGES))
    outputs.posteriors(model, FAR)
    np.testing.assert_array_equal(bounds.elbo(model, IMAGES), far)
    for measure in (outputs.posteriors, outputs.reconstructions):
        jax.tree.map(np.testing.assert_array_equal, measure(model, SPLIT), measure(settled, SPLIT))
    # The posterior by hand, with the norm's initial mean 0 and variance 1, and nothing dropped.
    flat = IMAGES.reshape(12, -1) / np.sqrt(1 + 1e-5)
    layer = model.encoder.layer
    expected = flat @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])
    found = outputs.posteriors(model, SPLIT)["mean"]
    np.testing.assert_allclose(found, expected[:, :LATENTS], rtol=1e-4, atol=1e-5)


def test_export_and_saving_leave_the_model_as_it_is(tmp_path):
    model = vae()
    before, modes = state_of(model)
    save_weights(model, tmp_path)
    export_model(model, tmp_path / "out", "stablehlo")
    after, modes_after = state_of(model)
    assert modes_after == modes
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
