"""Deployments priced per second: distinct batch, prompt and generated tokens in each design.

python benchmarks/pricing.py                # through the cost model, then through a CSV of designs
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from codesign.costmodels.deployment import price
from codesign.costmodels.queries import price_file
from codesign.costmodels.structure import Load, Structure
from codesign.models import load_model
from codesign.targets import load_target


def main() -> None:
    """Print points per second of both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=400_000)
    parser.add_argument("--block", type=int, default=8_192)
    count, block = (asked := parser.parse_args()).points, asked.block
    generator = np.random.Generator(np.random.Philox(1))
    batch, prompt, generate = (generator.integers(1, top, count) for top in (257, 4096, 1024))
    model, target = load_model("llama-3.1-8b"), load_target("h100-sxm")
    structure = Structure("bf16", tp=2, mode="continuous")
    price(model, target, structure, Load(batch[:10], prompt[:10], generate[:10]))
    start = time.perf_counter()
    for at in range(0, count, block):
        part = slice(at, at + block)
        price(model, target, structure, Load(batch[part], prompt[part], generate[part]))
    print(f"costmodels.price: {count / (time.perf_counter() - start):,.0f} designs/s")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "designs.csv"
        rows = zip(batch.tolist(), prompt.tolist(), generate.tolist(), strict=True)
        lines = "\n".join(f"llama-3.1-8b,h100-sxm,2,{b},{p},{g}" for b, p, g in rows)
        file.write_text(f"model,target,tp,batch,prompt,generate\n{lines}\n")
        start = time.perf_counter()
        priced = sum(len(frame) for frame in price_file(str(file), {}))
        print(f"estimate --queries: {priced / (time.perf_counter() - start):,.0f} designs/s")


if __name__ == "__main__":
    main()
