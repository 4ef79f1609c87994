"""Validation topic ``costmodels``: our arithmetic against published, worked or measured figures.

Identities (cache sizes, byte counts) are held to the rounding of the source; measured latencies to the error that
the model states for a device it was not fitted on. The default dispatch cost of A100 and H100 comes from the same
publication as the host-bound rows (a figure per layer over all its degrees), so those rows check consistency; nothing
was tuned on the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from codesign.costmodels.api import estimate
from codesign.costmodels.deployment import MEMORY_SHARE, price
from codesign.costmodels.kv_cache import BLOCK_TOKENS, cache_blocks
from codesign.costmodels.serving import Service, continuous_service, prompts_in_turn, with_arrivals
from codesign.costmodels.structure import Load, Structure
from codesign.models import load_model
from codesign.quantity import Column
from codesign.targets import load_target
from codesign.validation import Check

GIB = 2.0**30

OPT_13B_TOKENS = {(1, 1): 66_144.0, (1, 2): 163_008.0, (2, 2): 356_752.0, (2, 4): 744_224.0}
"""(tp, pp) -> tokens whose cache fits, measured. They differ by 79.353e9 bytes a device and leave room for 25.17e9
bytes of weights: the layers of OPT-13B without its embeddings, to 0.01 %."""


def checks() -> Iterator[Check]:
    """Yield every check of the topic."""
    yield from _caches()
    yield from _memory_bound()
    yield from _host_bound()
    yield from _engines()
    yield from _queue()


def _caches() -> Iterator[Check]:
    long_context = "arXiv 2405.08944, worked examples of long-context serving"
    per_token = 2 * 60 * 8 * 128 * 2  # Yi-34B 200K: 60 layers, 8 key-value heads of 128, bf16
    for tokens, expected in ((50_000, 11.44), (100_000, 22.89)):
        yield Check(
            topic="costmodels", name=f"Yi-34B cache of {tokens:,} tokens", expected=expected * GIB,
            found=float(tokens * per_token), tolerance=5e-4, unit="B", source=long_context,
        )  # fmt: skip
    opt = load_model("opt-13b")
    embeddings = (50_272 + 2_050) * 5_120
    for (tp, pp), expected in OPT_13B_TOKENS.items():
        devices = tp * pp
        free = MEMORY_SHARE * 80 * GIB - (opt.parameters - embeddings) * 2 / devices
        found = float(cache_blocks(free, opt.kv_bytes_per_token() / devices)) * BLOCK_TOKENS
        yield Check(
            topic="costmodels", name=f"OPT-13B tokens on A100 80 GB, tp {tp} pp {pp}", expected=expected, found=found,
            tolerance=0.01, unit="token", source="DistServe, arXiv 2401.09670, artifact: measured max_kv_tokens",
        )  # fmt: skip
    for name, expected in (("llama-3.1-8b", 131_072.0), ("deepseek-v3", 61 * 576 * 2.0), ("mixtral-8x7b", 131_072.0)):
        model = load_model(name)
        yield Check(
            topic="costmodels", name=f"{name}: cache bytes a token", expected=expected,
            found=model.kv_bytes_per_token(16), tolerance=0.0, unit="B", source="architecture figures",
        )  # fmt: skip


def _memory_bound() -> Iterator[Check]:
    found = estimate("llama-3.1-8b", "h100-sxm", batch=8, prompt=512, generate=256).estimate
    yield Check(
        topic="costmodels", name="llama-3.1-8b on H100, batch 8: time per token", expected=7.316e-3,
        found=found.quantity("tpot").value, tolerance=0.15, unit="s", source="ml.energy leaderboard, measured",
    )  # fmt: skip
    yield Check(
        topic="costmodels", name="llama-3.1-8b on H100, batch 8: mean power", expected=486.4,
        found=found.quantity("power").value, tolerance=0.20, unit="W", source="ml.energy leaderboard, measured",
    )  # fmt: skip


def _host_bound() -> Iterator[Check]:
    source = "Splitwise, arXiv 2311.18677, artifact: decode of Llama-2-70B, batch 1, prompt 512"
    for target, tp, expected in (
        ("a100-80gb-sxm", 8, 44.9e-3),
        ("a100-80gb-sxm", 2, 54.9e-3),
        ("h100-sxm", 8, 29.8e-3),
    ):
        found = estimate("llama-2-70b", target, tp=tp, prompt=512, generate=128, execution="eager").estimate
        yield Check(
            topic="costmodels", name=f"70B decode step, {target} x {tp}, eager", expected=expected,
            found=found.quantity("tpot").value, tolerance=0.20, unit="s", source=source,
        )  # fmt: skip


def _engines() -> Iterator[Check]:
    # lengths are uniform between 0.8 and 1.0 of the stated 1,024; ten requests a client, all clients start at once
    recipe: dict[str, Any] = {
        "dtype": "fp8",
        "mode": "continuous",
        "chunk": 8192,
        "prompt": 922,
        "generate": 922,
        "rounds": 10,
    }
    source = "vLLM on H100, InferenceMAX recipe, public samples of AIConfigurator: measured"
    for tp, batch, ttft, tpot in ((2, 32, 0.2727, 23.54e-3), (4, 16, 0.1214, 13.19e-3), (8, 32, 0.1244, 12.64e-3)):
        found = estimate("llama-3.1-70b", "h100-sxm", tp=tp, batch=batch, **recipe).estimate
        for metric, expected, tolerance in (("ttft", ttft, 0.35), ("tpot", tpot, 0.20)):
            yield Check(
                topic="costmodels", name=f"70B on H100 x {tp}, {batch} requests in flight: {metric}", expected=expected,
                found=found.quantity(metric).value, tolerance=tolerance, unit="s", source=source,
            )  # fmt: skip
    full = estimate(
        "llama-3.1-8b", "rtx-pro-6000-server", mode="continuous", chunk=2048, batch=128, prompt=857, generate=653
    ).estimate
    yield Check(
        topic="costmodels", name="llama-3.1-8b on RTX PRO 6000, 128 full slots: tpot", expected=33.4e-3,
        found=full.quantity("tpot").value, tolerance=0.20, unit="s", source="vLLM runs of LLMServingSim 2.0, measured",
    )  # fmt: skip


def _queue() -> Iterator[Check]:
    # DistServe: TTFT = D + R D^2 / (2 (1 - R D)) with D the service time
    seconds = Column.exact(np.array([0.5]), 1)
    service = Service(seconds, seconds, seconds, seconds.reciprocal(), None)
    waited = with_arrivals(service, 1.0).ttft.value[0]
    yield Check(
        topic="costmodels", name="M/D/1 first token at half load", expected=0.5 + 0.25 / (2 * 0.5), found=float(waited),
        tolerance=1e-12, unit="s", source="DistServe, arXiv 2401.09670, section 3",
    )  # fmt: skip
    slots, tokens = np.array([64.0]), np.array([100.0])
    turn = prompts_in_turn(slots, np.array([1.0]), tokens, None, 1)
    full = continuous_service(seconds * 0.0, turn, seconds * 0.02, slots, tokens)
    yield Check(
        topic="costmodels", name="tokens per second of full slots", expected=64 / 0.01,
        found=float(full.requests_per_second.value[0] * 100), tolerance=1e-12, unit="token/s",
        source="steady state: slots over the step time",
    )  # fmt: skip
    cache = price(load_model("llama-3.1-8b"), load_target("h100-sxm"), Structure("bf16"), Load(1, 1000, 2)).memory["kv"]
    yield Check(
        topic="costmodels", name="llama-3.1-8b: cache of 1,001 tokens", expected=1001 * 131_072.0,
        found=float(np.max(cache)), tolerance=0.0, unit="B", source="closed form 2 L n_kv d_h b",
    )  # fmt: skip
