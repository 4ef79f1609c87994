"""What the host pays to run a model eagerly: a decoder so small that its kernels take no time.

A figure of one empty operator would be too low, because operators of a model also go through modules and views. The
decoder has as many operators as a large one and next to nothing to compute in them.
"""

from __future__ import annotations

import time
from typing import Any

from codesign.profilers.operators.small_models import decoder_like_gpt2

PASSES, WARM_UPS = 30, 3
CONTEXT = 8


def tiny_decoder() -> Any:
    """Return a decoder of GPT-2's layout, of width 32."""
    return decoder_like_gpt2(
        "tiny-decoder", width=32, heads=2, kv_heads=2, head_size=16, mlp_width=64, vocabulary=64, context=64
    )


def host_seconds(torch: Any, device: str) -> float:
    """Return host seconds of one decode step of ``tiny_decoder``, the median of passes that follow each other.

    One thread: waiting for others to join is a cost of parallel kernels, not of launching them.
    """
    from codesign.profilers.passes import Shape, make_pass

    model = tiny_decoder()
    found: list[float] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        module = model.module(device=device, dtype="fp32")
        run = make_pass(model, module, Shape(phase="decode", context=CONTEXT, dtype="fp32", device=device))
        for _ in range(WARM_UPS):
            run()
        for _ in range(PASSES):
            if device == "cuda":
                torch.cuda.synchronize()
            begin = time.perf_counter()
            run()
            found.append(time.perf_counter() - begin)
    torch.set_num_threads(threads)
    return sorted(found)[len(found) // 2]
