"""Reference values of quantizers from vector-quantize-pytorch, for `test_against_peer.py`.

Run by hand where the peer is installed, never by the test suite:

    pip install torch==2.13.0 vector-quantize-pytorch==1.32.0
    python peer_values.py

It writes `peer_values.json` beside itself: inputs and outputs both, so that no random numbers need
to be common. Floats have nine significant digits, which name a float32 exactly.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd import grad
from vector_quantize_pytorch import FSQ, LFQ, ResidualVQ, SimVQ, VectorQuantize
from vector_quantize_pytorch.vector_quantize_pytorch import rotate_to

RNG = np.random.default_rng(20)
BATCH, POSITIONS, DIM, CODES = 3, 5, 6, 10
FSQ_LEVELS = [
    *([8, 6, 5], [8, 5, 5, 5], [7, 5, 5, 5, 5], [8, 8, 8, 6, 5], [8, 8, 8, 5, 5, 5]),
    *([3, 5], [4, 4], [6, 3, 4]),
]  # the paper's tables for 2^8, 2^10, 2^12, 2^14, 2^16, then odd, even and mixed ones
AVERAGED = {"learnable_codebook": False, "ema_update": True, "decay": 0.8, "eps": 1e-5}


def draw(*shape, scale=1.0):
    return torch.tensor(scale * RNG.normal(size=shape), dtype=torch.float32)


def vectors():
    return draw(BATCH, POSITIONS, DIM)


def make_vq(codebook, **options):
    """Return the peer's quantizer with `codebook`, nothing random in it."""
    options = {"learnable_codebook": True, "ema_update": False, **options}
    vq = VectorQuantize(DIM, codebook_size=codebook.shape[-2], rotation_trick=False, **options)
    vq._codebook.embed.data.copy_(codebook)
    vq._codebook.embed_avg.copy_(codebook)
    return vq


def pull(quantized, cotangent, x):
    return grad((quantized * cotangent).sum(), x)[0]


def by_loss():
    codebook, x, cotangent = draw(CODES, DIM), vectors().requires_grad_(), vectors()
    vq = make_vq(codebook)
    quantized, indices, loss = vq(x)
    to_x, to_codes = grad(loss, [x, vq._codebook.embed], retain_graph=True)
    return (
        {"x": x, "codebook": codebook, "cotangent": cotangent}
        | {"indices": indices, "quantized": quantized, "loss": loss}
        | {"loss_to_x": to_x, "loss_to_codebook": to_codes[0]}
        | {"quantized_to_x": pull(quantized, cotangent, x)}
    )


def moving_average(cosine, batches):
    codebook = draw(CODES, DIM)
    codebook = F.normalize(codebook, dim=-1) if cosine else codebook
    vq = make_vq(codebook, use_cosine_sim=cosine, threshold_ema_dead_code=0, **AVERAGED)
    states = []
    for x in batches:
        _, indices, _ = vq(x)
        # The buffers change in place: they are written down now.
        states.append(plain({"indices": indices} | averages(vq)))
    return {"codebook": codebook, "states": states}


def averages(vq):
    state = vq._codebook
    return {"updated": state.embed, "size": state.cluster_size, "average": state.embed_avg}


def cosine():
    codebook, x, cotangent = F.normalize(draw(CODES, DIM), dim=-1), vectors(), vectors()
    x.requires_grad_()
    vq = make_vq(codebook, use_cosine_sim=True, learnable_codebook=False)
    quantized, indices, loss = vq(x)
    return (
        {"x": x, "codebook": codebook, "cotangent": cotangent}
        | {"indices": indices, "quantized": quantized, "loss": loss}
        | {"loss_to_x": grad(loss, x, retain_graph=True)[0]}
        | {"quantized_to_x": pull(quantized, cotangent, x)}
    )


def residual(shared):
    codebooks = draw(3, CODES, DIM) * torch.tensor([1.0, 0.5, 0.25])[:, None, None]
    codebooks = codebooks[:1] if shared else codebooks
    x, cotangent = vectors().requires_grad_(), vectors()
    options = {"learnable_codebook": True, "ema_update": False, "rotation_trick": False}
    options |= {"shared_codebook": shared, "codebook_size": CODES}
    rvq = ResidualVQ(dim=DIM, num_quantizers=3, **options)
    for layer, codebook in zip(rvq.layers, codebooks, strict=False):
        layer._codebook.embed.data.copy_(codebook)
    quantized, indices, losses = rvq(x)
    first_two = indices.clone()
    first_two[..., 2] = -1
    return (
        {"x": x, "codebooks": codebooks, "cotangent": cotangent}
        | {"indices": indices, "quantized": quantized, "losses": losses}
        | {"loss_to_x": grad(losses.sum(), x, retain_graph=True)[0]}
        | {"quantized_to_x": pull(quantized, cotangent, x)}
        | {"decoded": rvq.get_output_from_indices(indices)}
        | {"decoded_first_two": rvq.get_output_from_indices(first_two)}
    )


def finite_scalar(levels):
    fsq = FSQ(levels=levels)
    z, cotangent = draw(1, 10, len(levels), scale=1.5).requires_grad_(), draw(1, 10, len(levels))
    codes, indices = fsq(z)
    size = int(np.prod(levels))
    asked = torch.tensor(np.unique([0, size - 1, *RNG.integers(0, size, 10)]))
    return (
        {"levels": levels, "x": z[0], "cotangent": cotangent[0], "codes": codes[0]}
        | {"indices": indices[0], "z_gradient": pull(codes, cotangent, z)[0]}
        | {"asked": asked, "asked_codes": fsq.indices_to_codes(asked[None])[0]}
    )


def unclamped(z, codebook, inverse):
    """Return both entropies in float64 without the peer's lower bound of 1e-5 inside the log."""
    logits = 2 * inverse * z.double().reshape(-1, z.shape[-1]) @ codebook.double().T
    p = logits.softmax(-1)
    mean = p.mean(0)
    return torch.special.entr(p).sum(-1).mean(), torch.special.entr(mean).sum()


def lookup_free(bits, inverse, gamma, spherical):
    # Off the sphere, numbers so near to 0 that no probability falls below the peer's bound.
    z = draw(2, POSITIONS, bits, scale=1.0 if spherical else 0.3 / inverse)
    weights = {"commitment_loss_weight": 0.25, "entropy_loss_weight": 0.1}
    lfq = LFQ(dim=bits, spherical=spherical, diversity_gamma=gamma, **weights)
    z.requires_grad_()
    out, parts = lfq(z, inv_temperature=inverse, return_loss_breakdown=True)
    with torch.no_grad():
        seen, codes = lfq.maybe_l2norm(z), lfq.maybe_l2norm(lfq.codebook)
        per_sample, batch = unclamped(seen, codes, inverse)
        off = max(abs(per_sample - parts.per_sample_entropy), abs(batch - parts.batch_entropy))
    return (
        {"bits": bits, "inverse_temperature": inverse, "gamma": gamma, "spherical": spherical}
        | {"x": z, "quantized": out.quantized, "indices": out.indices}
        | {"per_sample_entropy": parts.per_sample_entropy, "batch_entropy": parts.batch_entropy}
        | {"commitment": parts.commitment, "loss": out.entropy_aux_loss}
        | {"loss_to_x": grad(out.entropy_aux_loss, z)[0]}
        | {"exact_per_sample_entropy": per_sample, "exact_batch_entropy": batch}
        | {"log_is_clamped": bool(off > 2e-6)}
    )


def rotation():
    """Float64: next to opposite vectors float32 loses the digits that are to be compared."""
    e, q, cotangent = (torch.tensor(RNG.normal(size=(16, DIM))) for _ in range(3))
    q[6:9] = 1.5 * e[6:9] + 1e-3 * q[6:9]  # nearly parallel
    q[9] = e[9]
    q[10:14] = -0.7 * e[10:14] + 0.2 * q[10:14]  # nearly opposite
    e[14] *= 1e-3
    q[15] *= 1e-3
    e.requires_grad_()
    out = rotate_to(e, q)
    given = {"e": e, "q": q, "cotangent": cotangent}
    return given | {"out": out, "e_gradient": pull(out, cotangent, e)}


def simple(rotation_trick):
    x, cotangent, frozen = vectors().requires_grad_(), vectors(), draw(CODES, DIM)
    vq = SimVQ(DIM, CODES, rotation_trick=rotation_trick)
    vq.frozen_codebook.copy_(frozen)
    quantized, indices, loss = vq(x)
    to_x, to_weight = grad(loss, [x, vq.code_transform.weight], retain_graph=True)
    return (
        {"rotation": rotation_trick, "x": x, "frozen": frozen, "cotangent": cotangent}
        | {"weight": vq.code_transform.weight, "indices": indices, "quantized": quantized}
        | {"loss": loss, "loss_to_x": to_x, "loss_to_weight": to_weight}
        | {"quantized_to_x": pull(quantized, cotangent, x)}
    )


def orthogonal():
    codebook, x = draw(CODES, DIM), vectors()
    vq = make_vq(codebook, orthogonal_reg_weight=1.0, commitment_weight=0.0)
    loss = vq(x)[2]
    to_codes = grad(loss, vq._codebook.embed)[0][0]
    return {"x": x, "codebook": codebook, "loss": loss, "codebook_gradient": to_codes}


def diversity(cosine, temperature):
    """The peer's logits: temperature × (-‖x - e‖, or the cosine), the temperature multiplied.

    It averages over the batch only and has an entropy for each position: here is one position.
    """
    codebook, x = draw(CODES, DIM), draw(BATCH * POSITIONS, 1, DIM).requires_grad_()
    codebook = F.normalize(codebook, dim=-1) if cosine else codebook
    vq = make_vq(
        codebook,
        use_cosine_sim=cosine,
        learnable_codebook=not cosine,
        commitment_weight=0.0,
        codebook_diversity_loss_weight=1.0,
        codebook_diversity_temperature=temperature,
    )
    loss = vq(x)[2]
    given = {"cosine": cosine, "temperature": temperature, "x": x, "codebook": codebook}
    return given | {"loss": loss, "x_gradient": grad(loss, x)[0]}


def masked():
    codebook, x = draw(CODES, DIM), vectors()
    mask = torch.tensor(RNG.random((BATCH, POSITIONS)) < 0.6)
    mask[0] = True
    quantized, indices, loss = make_vq(codebook)(x, mask=mask)
    averaged = make_vq(codebook, **AVERAGED)
    averaged(x, mask=mask)
    given = {"x": x, "codebook": codebook, "mask": mask, "quantized": quantized}
    return given | {"indices": indices, "loss": loss} | averages(averaged)


def heads(separate):
    codebook = draw(2, CODES, DIM // 2) if separate else draw(1, CODES, DIM // 2)
    x = vectors()
    options = {"heads": 2, "codebook_dim": DIM // 2, "separate_codebook_per_head": separate}
    quantized, indices, loss = make_vq(codebook, **options)(x)
    averaged = make_vq(codebook, **options, **AVERAGED)
    averaged(x)
    given = {"separate": separate, "x": x, "codebook": codebook, "quantized": quantized}
    return given | {"indices": indices, "loss": loss} | averages(averaged)


def plain(value):
    """Return `value` as what JSON has, floats with nine significant digits."""
    if isinstance(value, torch.Tensor):
        return plain(value.detach().tolist())
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def main():
    torch.manual_seed(0)
    batches = [vectors() for _ in range(5)]
    settings = [(bits, inverse, gamma) for bits in (4, 6) for inverse, gamma in ((100, 1), (1, 2))]
    settings += [(4, 100, 2)]
    found = {
        "source": {name: version(name) for name in ("torch", "vector-quantize-pytorch")},
        "by_loss": by_loss(),
        "batches": batches,
        "euclidean_average": moving_average(False, batches),
        "cosine_average": moving_average(True, batches),
        "cosine": cosine(),
        "residual": residual(shared=False),
        "residual_shared": residual(shared=True),
        "fsq": [finite_scalar(levels) for levels in FSQ_LEVELS],
        "lfq": [lookup_free(*each, spherical) for spherical in (False, True) for each in settings],
        "rotation": rotation(),
        "simvq": [simple(False), simple(True)],
        "orthogonal": orthogonal(),
        "diversity": [diversity(kind, t) for kind in (False, True) for t in (1.0, 10.0)],
        "masked": masked(),
        "heads": [heads(separate=False), heads(separate=True)],
    }
    compact = json.JSONEncoder(separators=(",", ":")).encode
    path = Path(__file__).with_suffix(".json")
    rows = ",\n".join(f'"{key}": {compact(plain(part))}' for key, part in found.items())
    path.write_text("{\n" + rows + "\n}\n")
    print(path.stat().st_size, "bytes; clamped:", [case["log_is_clamped"] for case in found["lfq"]])


if __name__ == "__main__":
    main()
