"""How disentangled latents are: against known factors, and between models without any.

Codes are (examples, latents), such as means of q(z|x); factors are whole numbers (examples,
factors), such as `Split.factors`. Defaults are the settings of the comparison by Locatello et al.
(ICML 2019), whose sizes are 10,000 examples and 5,000 for tests. A single score is a float, several
are a dict. The best is 1, but for `udr` with the lasso, 0.9.

| metric             | says                                               | needs                 |
| ------------------ | -------------------------------------------------- | --------------------- |
| `mig`              | one latent, and no second, tells each factor       | 2 latents             |
| `sap`              | the same, by how well single latents predict it    | 2 latents, test set ¹ |
| `dci`              | few latents a factor, few factors a latent         | 2 of each, test set   |
| `modularity`       | each latent tells of one factor alone              | 2 factors             |
| `explicitness`     | factors can be read off linearly, by any latents   | test set              |
| `irs`              | other factors do not move a latent                 |                       |
| `beta_vae_score`   | differences of pairs tell linearly what they share | `Sampler`, 2 factors  |
| `factor_vae_score` | the latent that varies least tells what is shared  | `Sampler`, 2 factors  |
| `udr`              | models of other seeds found the same latents       | 2 models, their KL    |

¹ not with continuous factors.

| metric             | a constant latent             | a constant factor                |
| ------------------ | ----------------------------- | -------------------------------- |
| `mig`              | tells 0 nats                  | error: the gap would be 0 / 0    |
| `sap`              | predicts nothing              | error: nothing to predict        |
| `dci`              | no weight, 0 if all are       | error: nothing to predict        |
| `modularity`       | counts as 0                   | no latent tells it               |
| `explicitness`     | tells nothing, 0.5 if all are | error: nothing to predict        |
| `irs`              | left out, 0 if all are        | holds no latent still            |
| `beta_vae_score`   | tells nothing                 | told by no latent standing still |
| `factor_vae_score` | no vote, 0 if all are         | its votes are lost               |
| `udr`              | goes with nothing             |                                  |

The seed of a training run moves these scores as much as the method does: compare methods over
several seeds, and report the spread.

References:
    Locatello, Bauer, Lucic, Rätsch, Gelly, Schölkopf, Bachem. Challenging Common Assumptions in the
    Unsupervised Learning of Disentangled Representations. ICML 2019.
"""

from .agreement import UDRScores, udr
from .counting import irs, mig, modularity
from .interventions import beta_vae_score, factor_vae_score
from .learnt import DCIScores, ExplicitnessScores, dci, explicitness, sap
from .sampling import Sampler

__all__ = [
    "DCIScores",
    "ExplicitnessScores",
    "Sampler",
    "UDRScores",
    "beta_vae_score",
    "dci",
    "explicitness",
    "factor_vae_score",
    "irs",
    "mig",
    "modularity",
    "sap",
    "udr",
]
