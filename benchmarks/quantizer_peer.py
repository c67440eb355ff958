"""vector-quantize-pytorch's search for codes, started by quantizers.py.

    python quantizer_peer.py VECTORS CODES DIM

Needs torch and vector-quantize-pytorch, in an environment of its own. Prints "ready" and versions,
then reads lines "times N" and answers each with the seconds that N passes in eval mode took, or
"peak" with the most bytes held.
"""

import importlib.metadata
import json
import sys
import time

import torch
from vector_quantize_pytorch import VectorQuantize

from memory import peak_bytes
from torch_peer import keep_large_blocks


def main() -> None:
    vectors, codes, dim = map(int, sys.argv[1:4])
    keep_large_blocks()
    torch.manual_seed(0)
    quantizer = VectorQuantize(dim=dim, codebook_size=codes).eval()
    x = torch.randn(1, vectors, dim)

    def run() -> None:
        with torch.inference_mode():
            quantizer(x)

    run()
    version = importlib.metadata.version("vector-quantize-pytorch")
    print("ready", json.dumps({"vector-quantize-pytorch": version}), flush=True)
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "peak":
            print(peak_bytes(), flush=True)
            continue
        started = time.perf_counter()
        for _ in range(int(rest[0])):
            run()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
