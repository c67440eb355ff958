"""Signatures and defaults of the VAE API reference, from its class definitions, typed in.

The page shows some things twice, from two versions of the system: both spellings must work.
"""

import inspect
from inspect import Parameter

import pytest
from flax import nnx

from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.models import vae as package
from workshop.generative_models.models.vae import (
    base,
    beta_vae,
    conditional,
    decoders,
    encoders,
    vq_vae,
)


class Page:
    """The page's definitions: explicit constructors, and methods with rngs."""

    class VAE:
        def __init__(
            self, encoder, decoder, latent_dim, *, rngs, kl_weight=1.0, precision=None
        ): ...
        def encode(self, x, *, rngs=None): ...
        def decode(self, z, *, rngs=None): ...
        def reparameterize(self, mean, log_var, *, rngs=None): ...
        def __call__(self, x, *, rngs=None): ...
        def loss_fn(
            self,
            params=None,
            batch=None,
            rng=None,
            x=None,
            outputs=None,
            beta=None,
            reconstruction_loss_fn=None,
            **kwargs,
        ): ...
        def sample(self, n_samples=1, *, temperature=1.0, rngs=None): ...
        def generate(self, n_samples=1, *, temperature=1.0, rngs=None, **kwargs): ...
        def reconstruct(self, x, *, deterministic=False, rngs=None): ...
        def interpolate(self, x1, x2, steps=10, *, rngs=None): ...
        def latent_traversal(self, x, dim, range_vals=(-3.0, 3.0), steps=10, *, rngs=None): ...

    class BetaVAE:
        def __init__(
            self,
            encoder,
            decoder,
            latent_dim,
            beta_default=1.0,
            beta_warmup_steps=0,
            reconstruction_loss_type="mse",
            *,
            rngs,
        ): ...
        def loss_fn(
            self,
            params=None,
            batch=None,
            rng=None,
            x=None,
            outputs=None,
            beta=None,
            **kwargs,
        ): ...

    class BetaVAEWithCapacity:
        def __init__(
            self,
            encoder,
            decoder,
            latent_dim,
            beta_default=1.0,
            beta_warmup_steps=0,
            reconstruction_loss_type="mse",
            use_capacity_control=False,
            capacity_max=25.0,
            capacity_num_iter=25000,
            gamma=1000.0,
            *,
            rngs,
        ): ...
        def loss_fn(
            self,
            params=None,
            batch=None,
            rng=None,
            x=None,
            outputs=None,
            beta=None,
            step=0,
            **kwargs,
        ): ...

    class ConditionalVAE:
        def __init__(
            self,
            encoder,
            decoder,
            latent_dim,
            condition_dim=10,
            condition_type="concat",
            *,
            rngs=None,
            precision=None,
        ): ...
        def encode(self, x, y=None, *, rngs=None): ...
        def decode(self, z, y=None, *, rngs=None): ...
        def __call__(self, x, y=None, *, rngs=None): ...
        def sample(self, n_samples=1, *, temperature=1.0, y=None, rngs=None, **kwargs): ...
        def generate(self, n_samples=1, *, temperature=1.0, y=None, **kwargs): ...
        def reconstruct(self, x, *, y=None, deterministic=False): ...

    class VQVAE:
        def __init__(
            self,
            encoder,
            decoder,
            latent_dim,
            num_embeddings=512,
            embedding_dim=64,
            commitment_cost=0.25,
            *,
            rngs,
        ): ...
        def quantize(self, encoding, *, rngs=None): ...
        def encode(self, x): ...
        def decode(self, z): ...
        def sample(self, n_samples=1, temperature=1.0, **kwargs): ...
        def generate(self, n_samples=1, *, temperature=1.0, **kwargs): ...

    class MLPEncoder:
        def __init__(self, hidden_dims, latent_dim, activation="relu", input_dim=None, *, rngs): ...
        def __call__(self, x, *, rngs=None): ...

    class MLPDecoder:
        def __init__(
            self, hidden_dims, output_dim, latent_dim, activation="relu", *, rngs=None
        ): ...

    class ConditionalEncoder:
        def __init__(self, encoder, num_classes, embed_dim, *, rngs): ...
        def __call__(self, x, condition, *, rngs=None): ...

    class ConditionalDecoder:
        def __init__(self, decoder, num_classes, embed_dim, *, rngs): ...
        def __call__(self, z, condition, *, rngs=None): ...

    CNNEncoder, ResNetEncoder = MLPEncoder, MLPEncoder
    CNNDecoder, ResNetDecoder = MLPDecoder, MLPDecoder


METHODS = [
    pytest.param(getattr(package, name), page, method, id=f"{name}.{method}")
    for name, page in vars(Page).items()
    if inspect.isclass(page)
    for method in vars(page)
    if inspect.isfunction(getattr(page, method))
]

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def assert_agrees(ours: inspect.Signature, page: inspect.Signature) -> None:
    mine, theirs = ours.parameters, page.parameters
    order = [name for name, p in theirs.items() if p.kind in POSITIONAL]
    assert [name for name, p in mine.items() if p.kind in POSITIONAL][: len(order)] == order
    takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in mine.values())
    for name, parameter in theirs.items():
        if parameter.kind is Parameter.VAR_KEYWORD:
            assert takes_any
        elif name not in mine:
            assert takes_any, name
        elif parameter.default is not Parameter.empty:
            assert mine[name].default == parameter.default, name
    extra = [p for name, p in mine.items() if name not in theirs]
    for parameter in extra:  # what the page does not know must be optional
        variable = parameter.kind in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
        assert variable or parameter.default is not Parameter.empty, parameter


@pytest.mark.parametrize(("ours", "page", "method"), METHODS)
def test_signature_is_the_pages(ours, page, method):
    assert_agrees(
        inspect.signature(getattr(ours, method)), inspect.signature(getattr(page, method))
    )


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_factories_signatures(kind):
    module = {"encoder": encoders, "decoder": decoders}[kind]

    def create(network, encoder_type, conditional=False, num_classes=None, *, rngs): ...

    def unified(
        *, config, kind_type, conditional=False, num_classes=None, embed_dim=None, rngs
    ): ...

    parameters = inspect.signature(getattr(module, f"create_{kind}")).parameters
    for name, parameter in list(inspect.signature(create).parameters.items())[2:]:
        assert parameters[name].default == parameter.default
    found = inspect.signature(getattr(module, f"create_{kind}_unified"))
    names = [n.replace("kind_type", f"{kind}_type") for n in inspect.signature(unified).parameters]
    assert list(found.parameters) == names
    assert all(p.kind is Parameter.KEYWORD_ONLY for p in found.parameters.values())
    assert [p.default for p in found.parameters.values()] == [
        p.default for p in inspect.signature(unified).parameters.values()
    ]


def test_bases_and_modules():
    assert issubclass(package.VAE, GenerativeModel)
    assert issubclass(GenerativeModel, nnx.Module)
    for name, parent in {
        "BetaVAE": "VAE",
        "BetaVAEWithCapacity": "BetaVAE",
        "ConditionalVAE": "VAE",
        "VQVAE": "VAE",
    }.items():
        assert getattr(package, name).__bases__ == (getattr(package, parent),)
    assert package.VAE.__module__ == base.__name__
    assert package.BetaVAE.__module__ == package.BetaVAEWithCapacity.__module__ == beta_vae.__name__
    assert package.ConditionalVAE.__module__ == conditional.__name__
    assert package.VQVAE.__module__ == vq_vae.__name__
    for name in ("MLP", "CNN", "ResNet", "Conditional"):
        assert getattr(package, f"{name}Encoder").__module__ == encoders.__name__
        assert getattr(package, f"{name}Decoder").__module__ == decoders.__name__
