"""What the collector costs on a dispatch-bound model: profiled over unprofiled time of a pass, at the minima.

A stack of four transformer layers of width 256 on one token runs 392 operators a pass, each of a microsecond or two, on
one thread: the worst case for a profiler that pays for each operator.

python benchmarks/collector_overhead.py              # fails above 1.3x without shapes, 1.6x with them
python benchmarks/collector_overhead.py --passes 30
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from codesign.profilers.iterations import annotated
from codesign.profilers.overhead import ROUNDS, profiler_overhead
from codesign.profilers.torch_cpu import import_torch, record

LAYERS, WIDTH, HEADS = 4, 256, 4
LIMITS = {"plain": 1.3, "shapes": 1.6}


def decoder(torch: Any) -> Any:
    """Return a pass of the stack on one token, fp32, without a cache."""
    from torch import nn
    from torch.nn import functional

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.query_key_value = nn.Linear(WIDTH, 3 * WIDTH)
            self.out, self.up, self.down = (
                nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
            )  # fmt: skip

        def forward(self, x: Any) -> Any:
            """Return ``x`` (batch, tokens, width) after the layer."""
            heads = self.query_key_value(self.first(x)).view(*x.shape[:2], 3 * HEADS, -1).transpose(1, 2)
            q, k, v = heads.split(HEADS, dim=1)
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
            return x + self.down(functional.gelu(self.up(self.second(x))))

    torch.manual_seed(0)
    stack = nn.Sequential(*(Layer() for _ in range(LAYERS))).eval()
    x = torch.randn(1, 1, WIDTH)
    return lambda: stack(x)


def main() -> int:
    """Print the operators of a pass, its time, and the ratio of each mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=100, help="of each kind in each round")
    passes = parser.parse_args().passes
    torch = import_torch()
    torch.set_num_threads(1)
    with torch.inference_mode():
        run = decoder(torch)
        for _ in range(20):
            run()
        trace = record(run, 5)
        count = len(annotated(trace).operators) // 5
        times = []
        for _ in range(passes):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        found = profiler_overhead(run, passes)
    print(f"{count} operators a pass, {min(times) * 1e6:.0f} us unprofiled, minima of {ROUNDS * passes} passes")
    for mode, ratio in found.items():
        print(f"{mode}: {ratio:.2f}x (limit {LIMITS[mode]:g}x)")
    return int(any(ratio > LIMITS[mode] for mode, ratio in found.items()))


if __name__ == "__main__":
    sys.exit(main())
