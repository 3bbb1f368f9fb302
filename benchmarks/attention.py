"""Attention in training on a processor, forward and backward: torch's fused kernel against products and a softmax.

    python benchmarks/attention.py [--threads 2] [--repeats 5]

The shapes are those of the heads: STC's cells of the actors to 6 x 18 places and to 16 frames, MRSN's patches, five
actors to places, and the same at full size. Interleaved, least of the repeats. `relact.nn.attention.attend` takes the
products in bf16 where gradients are wanted; this is why.
"""

import argparse
import time

import torch

from relact.nn import attention
from relact.nn.attention import attend

SHAPES = {
    "STC on Stage, places": (16, 245, 108, 128, 4),
    "STC on Stage, frames": (16, 245, 16, 128, 4),
    "MRSN on Stage, patches": (16, 64, 64, 128, 4),
    "5 actors to 108 places": (16, 5, 108, 128, 4),
    "STC, places of 16 x 29": (4, 245, 464, 512, 8),
    "5 actors to 16 x 29": (4, 5, 464, 512, 8),
    "5 actors to each other": (4, 5, 5, 512, 8),
}
"""clips, queries, keys, channels, heads"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--repeats", type=int, default=7)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    print("| what | fused fp32, ms | fused bf16 | products bf16 | fused / products, bf16 |\n|---|---|---|---|---|")
    for name, (clips, queries, keys, channels, heads) in SHAPES.items():
        times: dict[tuple[torch.dtype, int], list[float]] = {}
        for _ in range(given.repeats):
            for dtype, scores in ((torch.float32, -1), (torch.bfloat16, -1), (torch.bfloat16, 2**40)):
                attention.SCORES_TO_KEEP = scores  # -1: always the fused kernel
                rows = [torch.randn(clips, n, channels, dtype=dtype, requires_grad=True) for n in (queries, keys, keys)]
                times.setdefault((dtype, scores), []).append(seconds(rows, heads))
        fp32, fused, products = (min(found) * 1e3 for found in times.values())
        print(f"| {name} | {fp32:.2f} | {fused:.2f} | {products:.2f} | {fused / products:.1f} |")


def seconds(rows: list[torch.Tensor], heads: int) -> float:
    start = time.perf_counter()
    attend(*rows, heads=heads).sum().backward()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
