"""Quantizers: vectors to integers and back.

All share one interface, `Quantizer`: `quantize(z_e) -> (z_q, indices, terms)`, `lookup(indices)`
and `update(statistics)`.
"""

from workshop.generative_models.core.quantizers.base import Assignment as Assignment
from workshop.generative_models.core.quantizers.base import CodeState as CodeState
from workshop.generative_models.core.quantizers.base import Quantizer as Quantizer
from workshop.generative_models.core.quantizers.base import rotate_to as rotate_to
from workshop.generative_models.core.quantizers.base import straight_through as straight_through
from workshop.generative_models.core.quantizers.binary import BSQ as BSQ
from workshop.generative_models.core.quantizers.binary import LFQ as LFQ
from workshop.generative_models.core.quantizers.codebook import VectorQuantizer as VectorQuantizer
from workshop.generative_models.core.quantizers.create import create_quantizer as create_quantizer
from workshop.generative_models.core.quantizers.residual import (
    ResidualQuantizer as ResidualQuantizer,
)
from workshop.generative_models.core.quantizers.scalar import FSQ as FSQ
from workshop.generative_models.core.quantizers.scalar import levels_for as levels_for
from workshop.generative_models.core.quantizers.search import code_counts as code_counts
from workshop.generative_models.core.quantizers.search import nearest_code as nearest_code
from workshop.generative_models.core.quantizers.search import perplexity as perplexity
from workshop.generative_models.core.quantizers.simvq import SimVQ as SimVQ
