"""Torch modules: they run, decode as they prefill, and honour seeds; absorbed latent attention equals expanded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from codesign.errors import UsageError
from codesign.models import ArchitectureModel, preset_model
from codesign.models.figures import Experts, Latent
from codesign.models.presets import list_presets
from codesign.models.shorten import shortened

torch = pytest.importorskip("torch")

SMALL: dict[str, dict[str, Any]] = {
    "gpt2": {"heads": 4, "kv_heads": 4, "head_size": 16},
    "qwen3-8b": {"heads": 4, "kv_heads": 2, "head_size": 16},
    "mixtral-8x7b": {"heads": 4, "kv_heads": 2, "head_size": 16, "experts": Experts(count=8, per_token=2, width=32)},
    "deepseek-v3": {
        "heads": 4, "kv_heads": 4, "head_size": 24,
        "latent": Latent(query_rank=24, kv_rank=16, rope_size=8, plain_size=16, value_size=16),
        "experts": Experts(
            count=16, per_token=4, width=32, shared=1, dense_layers=1, scoring="sigmoid", groups=4, kept_groups=2
        ),
    },
}  # fmt: skip


def small(name: str) -> ArchitectureModel:
    """Return a tiny relative of a preset."""
    preset = preset_model(name).preset
    figures = msgspec.structs.replace(
        preset.figures, layers=3, width=64, mlp_width=96, vocabulary=101, context=64, **SMALL[name]
    )
    return ArchitectureModel(name=name, source=name, preset=msgspec.structs.replace(preset, figures=figures))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_cached_steps_equal_one_pass(name: str) -> None:
    model = small(name)
    module: Any = model.module(dtype="fp32", seed=3)
    (ids,) = model.example_inputs(batch=2, prompt=9)
    with torch.no_grad():
        whole = module(ids, every_position=True)
        cache = module.new_cache(12)
        for start, end in ((0, 5), (5, 7), (7, 8), (8, 9)):
            step = module(ids[:, start:end], cache)
            torch.testing.assert_close(step[:, -1], whole[:, end - 1], rtol=1e-4, atol=1e-5)
    assert cache.length == 9
    with pytest.raises(ValueError, match="cache holds 12"):
        module(ids, cache)


def test_whisper_decodes_as_it_prefills() -> None:
    model = preset_model("whisper-small")
    module: Any = model.module(layers=1, dtype="fp32")
    mel, ids = model.example_inputs(batch=1, prompt=6, dtype="fp32")
    with torch.no_grad():
        audio = module.encode(mel)
        whole, cache = module.decode(ids, audio), module.new_cache(8)
        module.decode(ids[:, :5], audio, cache)
        last = module.decode(ids[:, 5:], None, cache)
    torch.testing.assert_close(last, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet-18", "vit-b-16", "bert-base", "dlrm"])
def test_modules_run(name: str) -> None:
    model = preset_model(name)
    module = model.module(layers=1)
    inputs = model.example_inputs(batch=2, prompt=8, layers=1)
    with torch.no_grad():
        out = module(*inputs)
    assert out.shape[0] == 2
    assert bool(out.isfinite().all())
    assert float(out.float().std()) > 0.0


def test_seed_decides_the_weights() -> None:
    model = small("gpt2")
    first, same, other = (next(model.module(seed=seed).parameters()) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_tied_weights_stay_tied() -> None:
    module: Any = small("gpt2").module()
    assert module.head.weight is module.embedding.weight


@pytest.mark.parametrize("name", list_presets())
def test_modules_build_under_fake_tensors(name: str) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    model = preset_model(name)
    with FakeTensorMode(), torch.no_grad():
        out = model.module(layers=1)(*model.example_inputs(batch=1, prompt=8, layers=1))
    assert out.shape[0] == 1


def test_refusals() -> None:
    with pytest.raises(UsageError, match="layers"):
        preset_model("gpt2").module(layers=0)
    with pytest.raises(UsageError, match="nvfp4"):
        preset_model("gpt2").module(dtype="nvfp4")


@pytest.mark.parametrize(
    ("name", "most", "says"),
    [
        ("gpt2", 12, "gpt2 has 12 layers, --layers asks for 13"),
        ("mixtral-8x7b", 32, "32 layers"),
        ("bert-base", 12, "12 layers"),
        ("vit-b-16", 12, "12 layers"),
        ("resnet-18", 2, "resnet-18 has 2 units in its longest stage, --layers asks for 3"),
        ("resnet-50", 6, "6 units"),
        ("whisper-small", 12, "12 layers in encoder or decoder"),
        ("stable-diffusion-1.5", 2, "2 units in a level"),
        ("dlrm", 3_998, "3,998 times 10,000 rows in its largest table, --layers asks for 3,999"),
    ],
)
def test_no_more_layers_than_there_are(name: str, most: int, says: str) -> None:
    figures = preset_model(name).figures
    assert shortened(name, figures, most) == figures
    assert shortened(name, figures, 1) != figures
    with pytest.raises(UsageError, match=says):
        shortened(name, figures, most + 1)


def test_models_import_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, codesign.models as m; m.load_model('gpt2').workload(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
