"""Models of the literature, each a combination of components.

The defaults are those of the papers. Where these do not suit small images, the class says so.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from workshop.generative_models.core.configuration.base import Config
from workshop.generative_models.core.configuration.objectives import (
    AdversarialConfig,
    BetaTCConfig,
    CIWAEConfig,
    ControlVAEConfig,
    DIPIConfig,
    DIPIIConfig,
    DReGConfig,
    FactorConfig,
    InfoVAEConfig,
    IWAEConfig,
    MIWAEConfig,
    MSSSIMConfig,
    MuForcingConfig,
    PerceptualConfig,
    PIWAEConfig,
    ReconstructionConfig,
    RegularizedConfig,
    RenyiConfig,
    StickingTheLandingConfig,
    VAEGANConfig,
    WAEMMDConfig,
)
from workshop.generative_models.core.configuration.posteriors import (
    DeltaConfig,
    FullNormalConfig,
    HamiltonianConfig,
    HouseholderConfig,
    IAFConfig,
    LowRankNormalConfig,
    PlanarConfig,
    PointMassConfig,
    PowerSphericalConfig,
    RadialConfig,
    RiemannianHamiltonianConfig,
    SylvesterConfig,
    VonMisesFisherConfig,
    WrappedNormalConfig,
)
from workshop.generative_models.core.configuration.priors import (
    CouplingConfig,
    MAFConfig,
    MixtureConfig,
    ResampledConfig,
    SplineConfig,
    VampConfig,
)


class Preset(NamedTuple):
    """A model of the literature: what its configuration changes in that of another model."""

    summary: str
    """What it is, in one line."""
    paper: str
    """Authors, title and year."""
    components: Mapping[str, Config] = MappingProxyType({})
    """Its prior, posterior or objective, where it has one of its own."""
    model: str = "vae"
    """The model that it changes, a key of `MODEL_CONFIGS`."""


_POINT = PointMassConfig()

PRESETS: dict[str, Preset] = {
    # The models with a class of their own.
    "vae": Preset(
        "variational autoencoder",
        "Kingma & Welling, Auto-Encoding Variational Bayes, 2014",
    ),
    "beta-vae": Preset(
        "weight β of the KL",
        "Higgins et al., beta-VAE, 2017",
        model="beta-vae",
    ),
    "beta-vae-capacity": Preset(
        "KL that follows a growing capacity",
        "Burgess et al., Understanding disentangling in β-VAE, 2018",
        model="beta-vae-capacity",
    ),
    "conditional-vae": Preset(
        "encoder and decoder read the class",
        "Sohn et al., Learning Structured Output Representation, 2015",
        model="conditional-vae",
    ),
    "vq-vae": Preset(
        "latents are codes of a codebook",
        "van den Oord et al., Neural Discrete Representation Learning, 2017",
        model="vq-vae",
    ),
    # Autoencoders without a density.
    "ae": Preset(
        "autoencoder without noise",
        "Hinton & Salakhutdinov, Reducing the Dimensionality of Data, 2006",
        {"posterior": _POINT, "objective": ReconstructionConfig()},
    ),
    "rae-l2": Preset(
        "autoencoder with penalties on latents and decoder weights",
        "Ghosh et al., From Variational to Deterministic Autoencoders, 2020",
        {"posterior": _POINT, "objective": RegularizedConfig(regularizer="l2")},
    ),
    "rae-gp": Preset(
        "autoencoder with a penalty on the decoder's gradient",
        "Ghosh et al., From Variational to Deterministic Autoencoders, 2020",
        {"posterior": _POINT, "objective": RegularizedConfig(regularizer="gradient_penalty")},
    ),
    "rae-sn": Preset(
        "autoencoder with spectral normalisation of the decoder",
        "Ghosh et al., From Variational to Deterministic Autoencoders, 2020",
        {"posterior": _POINT, "objective": RegularizedConfig(regularizer="spectral")},
    ),
    "wae-mmd": Preset(
        "autoencoder whose latents match the prior by the MMD",
        "Tolstikhin et al., Wasserstein Auto-Encoders, 2018",
        {"posterior": _POINT, "objective": WAEMMDConfig()},
    ),
    "adversarial-ae": Preset(
        "autoencoder whose latents match the prior by a critic",
        "Makhzani et al., Adversarial Autoencoders, 2015",
        {"posterior": _POINT, "objective": AdversarialConfig()},
    ),
    # Disentanglement.
    "beta-tc-vae": Preset(
        "weight of the total correlation of the latents",
        "Chen et al., Isolating Sources of Disentanglement, 2018",
        {"objective": BetaTCConfig()},
    ),
    "factor-vae": Preset(
        "penalty on the total correlation, by a critic",
        "Kim & Mnih, Disentangling by Factorising, 2018",
        {"objective": FactorConfig()},
    ),
    "dip-vae-i": Preset(
        "penalty on the covariance of the means",
        "Kumar et al., Variational Inference of Disentangled Latent Concepts, 2018",
        {"objective": DIPIConfig()},
    ),
    "dip-vae-ii": Preset(
        "penalty on the covariance of the aggregate posterior",
        "Kumar et al., Variational Inference of Disentangled Latent Concepts, 2018",
        {"objective": DIPIIConfig()},
    ),
    "info-vae-mmd": Preset(
        "MMD of q(z) from the prior in place of the KL",
        "Zhao et al., InfoVAE, 2019",
        {"objective": InfoVAEConfig()},
    ),
    # Tighter bounds.
    "iwae": Preset(
        "importance-weighted bound",
        "Burda et al., Importance Weighted Autoencoders, 2016",
        {"objective": IWAEConfig()},
    ),
    "miwae": Preset(
        "mean of several importance-weighted bounds",
        "Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, 2018",
        {"objective": MIWAEConfig()},
    ),
    "piwae": Preset(
        "IWAE for the decoder, MIWAE for the encoder",
        "Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, 2018",
        {"objective": PIWAEConfig()},
    ),
    "ciwae": Preset(
        "mean of the ELBO and the importance-weighted bound",
        "Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, 2018",
        {"objective": CIWAEConfig()},
    ),
    "dreg": Preset(
        "importance-weighted bound with the doubly reparameterised gradient",
        "Tucker et al., Doubly Reparameterized Gradient Estimators, 2019",
        {"objective": DReGConfig()},
    ),
    "stl": Preset(
        "gradient without the score of q(z|x)",
        "Roeder et al., Sticking the Landing, 2017",
        {"objective": StickingTheLandingConfig()},
    ),
    "renyi-vae": Preset(
        "Rényi bound",
        "Li & Turner, Rényi Divergence Variational Inference, 2016",
        {"objective": RenyiConfig()},
    ),
    # Other distances of images.
    "ms-ssim-vae": Preset(
        "structural similarity in place of the likelihood",
        "Snell et al., Learning to Generate Images with Perceptual Similarity Metrics, 2017",
        {"objective": MSSSIMConfig()},
    ),
    "perceptual-vae": Preset(
        "distance of a network's features, whose file --objective.path names",
        "Johnson et al., Perceptual Losses for Real-Time Style Transfer, 2016",
        {"objective": PerceptualConfig()},
    ),
    "vae-gan": Preset(
        "distance of a critic's features",
        "Larsen et al., Autoencoding beyond pixels, 2016",
        {"objective": VAEGANConfig()},
    ),
    # Against posterior collapse.
    "control-vae": Preset(
        "weight of the KL set by a controller",
        "Shao et al., ControlVAE, 2020",
        {"objective": ControlVAEConfig()},
    ),
    "mu-forcing-vae": Preset(
        "least variance of the means",
        "Liu et al., μ-Forcing, 2019",
        {"objective": MuForcingConfig()},
    ),
    "delta-vae": Preset(
        "posterior whose KL has a least value",
        "Razavi et al., Preventing Posterior Collapse with delta-VAEs, 2019",
        {"posterior": DeltaConfig()},
    ),
    # Posteriors.
    "full-covariance-vae": Preset(
        "Gaussian posterior with a full covariance",
        "Kingma & Welling, An Introduction to Variational Autoencoders, 2019",
        {"posterior": FullNormalConfig()},
    ),
    "low-rank-vae": Preset(
        "Gaussian posterior with a covariance of low rank",
        "Rezende et al., Stochastic Backpropagation, 2014",
        {"posterior": LowRankNormalConfig()},
    ),
    "vae-lin-nf": Preset(
        "posterior of planar flows",
        "Rezende & Mohamed, Variational Inference with Normalizing Flows, 2015",
        {"posterior": PlanarConfig()},
    ),
    "vae-radial-nf": Preset(
        "posterior of radial flows",
        "Rezende & Mohamed, Variational Inference with Normalizing Flows, 2015",
        {"posterior": RadialConfig()},
    ),
    "sylvester-vae": Preset(
        "posterior of Sylvester flows",
        "van den Berg et al., Sylvester Normalizing Flows, 2018",
        {"posterior": SylvesterConfig()},
    ),
    "householder-vae": Preset(
        "posterior of Householder flows",
        "Tomczak & Welling, Improving VAEs using Householder Flow, 2016",
        {"posterior": HouseholderConfig()},
    ),
    "vae-iaf": Preset(
        "posterior of inverse autoregressive flows",
        "Kingma et al., Improved Variational Inference with Inverse Autoregressive Flow, 2016",
        {"posterior": IAFConfig()},
    ),
    "hvae": Preset(
        "posterior that follows Hamiltonian dynamics",
        "Caterini et al., Hamiltonian Variational Auto-Encoder, 2018",
        {"posterior": HamiltonianConfig()},
    ),
    "rhvae": Preset(
        "posterior that follows Hamiltonian dynamics in a learned metric",
        "Chadebec et al., Geometry-Aware Hamiltonian Variational Auto-Encoder, 2020",
        {"posterior": RiemannianHamiltonianConfig()},
    ),
    # Other spaces.
    "svae": Preset(
        "von Mises-Fisher posterior on the sphere",
        "Davidson et al., Hyperspherical Variational Auto-Encoders, 2018",
        {"posterior": VonMisesFisherConfig()},
    ),
    "power-spherical-vae": Preset(
        "power spherical posterior on the sphere",
        "De Cao & Aziz, The Power Spherical Distribution, 2020",
        {"posterior": PowerSphericalConfig()},
    ),
    "poincare-vae": Preset(
        "wrapped normal posterior on the Poincaré ball",
        "Mathieu et al., Continuous Hierarchical Representations with Poincaré VAEs, 2019",
        {"posterior": WrappedNormalConfig()},
    ),
    # Priors.
    "vamp": Preset(
        "mixture of the posteriors of learned pseudo-inputs as the prior",
        "Tomczak & Welling, VAE with a VampPrior, 2018",
        {"prior": VampConfig()},
    ),
    "lars-vae": Preset(
        "resampled prior",
        "Bauer & Mnih, Resampled Priors for Variational Autoencoders, 2019",
        {"prior": ResampledConfig()},
    ),
    "coupling-vae": Preset(
        "prior of coupling flows",
        "Dinh et al., Density Estimation using Real NVP, 2017",
        {"prior": CouplingConfig()},
    ),
    "maf-vae": Preset(
        "prior of masked autoregressive flows",
        "Papamakarios et al., Masked Autoregressive Flow, 2017",
        {"prior": MAFConfig()},
    ),
    "spline-vae": Preset(
        "prior of rational-quadratic splines",
        "Durkan et al., Neural Spline Flows, 2019",
        {"prior": SplineConfig()},
    ),
    "mixture-vae": Preset(
        "learned mixture of Gaussians as the prior",
        "Tomczak & Welling, VAE with a VampPrior, 2018",
        {"prior": MixtureConfig()},
    ),
}
"""The models that `workshop train --model` takes, by name."""
