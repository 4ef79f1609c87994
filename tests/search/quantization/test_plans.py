"""Plans: applied to modules and workloads, written and read back, exported as recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from codesign.costmodels.impact import Site
from codesign.errors import DataError, UsageError
from codesign.models.capture import captured_module
from codesign.models.input_shapes import InputShape
from codesign.search.quantization.apply import apply_plan, cached_layers, quantizable_layers
from codesign.search.quantization.plan_file import load_plan, save_plan
from codesign.search.quantization.pricing import Pricer
from codesign.search.quantization.recipe import recipe, recipe_text, unmapped
from codesign.search.quantization.tiny_transformer import CONTEXT, TinyTransformer
from codesign.targets import load_target
from codesign.workload.einsum import Role
from codesign.workload.quantization import LayerScheme, QuantizationPlan, compute_of, quantize
from tests.search.quantization.toy import net, problem, task


def test_a_plan_of_32_bits_is_the_identity() -> None:
    module, x = net(), torch.randn(8, 12)
    applied = apply_plan(module, QuantizationPlan({"0": LayerScheme(), "2": LayerScheme()}))
    assert torch.equal(applied(x), module(x))


def test_a_plan_changes_a_copy_and_leaves_the_module() -> None:
    module, x = net(), torch.randn(8, 12)
    before = module(x)
    applied = apply_plan(module, QuantizationPlan({"0": LayerScheme(2, 4)}))
    assert len(set(applied.get_parameter("0.weight")[0].tolist())) <= 3
    assert not torch.equal(applied(x), before)
    assert torch.equal(module(x), before)


def test_layers_that_share_a_weight_count_once() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    module[1].weight = module[0].weight
    assert list(quantizable_layers(module)) == ["0"]
    applied = apply_plan(module, QuantizationPlan({"0": LayerScheme(2)}))
    assert torch.equal(applied.get_parameter("1.weight"), applied.get_parameter("0.weight"))
    assert not torch.equal(applied.get_parameter("1.weight"), module.get_parameter("1.weight"))


def test_unknown_layers_and_modules_without_layers_are_refused() -> None:
    with pytest.raises(UsageError, match="'1' that the model lacks"):
        apply_plan(net(), QuantizationPlan({"1": LayerScheme(4)}))
    with pytest.raises(UsageError, match="no quantizable layer"):
        apply_plan(torch.nn.Sequential(torch.nn.ReLU()), QuantizationPlan({}))
    work = captured_module(net, "toy", "toy", (InputShape((1, 12)),)).workload()
    with pytest.raises(UsageError, match="'1' that toy lacks"):
        quantize(work, QuantizationPlan({"1": LayerScheme(4)}))


def test_bytes_of_a_plan_are_those_counted_by_hand() -> None:
    plan = QuantizationPlan(
        {"0": LayerScheme(4, 8), "2": LayerScheme(3, 8, granularity="group", group_size=10, symmetric=False)}
    )
    work = quantize(captured_module(net, "toy", "toy", (InputShape((1, 12)),)).workload(), plan)
    # 24 x 12 weights of 4 bits and 24 scales; 4 x 24 of 3 bits and 3 groups a row of scale and zero point; biases
    first = 24 * 12 * 4 / 8 + 24 * 16 / 8
    second = 4 * 24 * 3 / 8 + 4 * 3 * (16 + 3) / 8
    assert float(work.footprint(Role.WEIGHT)) == pytest.approx(first + second + (24 + 4) * 4)
    widths = {t.name: float(t.bits) for _, g in work.phases[0].groups() for op in g.ops for t in op.inputs}  # type: ignore[union-attr]
    assert widths["0.weight"] == pytest.approx((first * 8) / (24 * 12))
    dtypes = {op.compute.dtype for _, g in work.phases[0].groups() for op in g.ops if op.compute.unit == "tensor"}  # type: ignore[union-attr]
    assert dtypes == {"int8"}


def test_prices_as_arrays_are_those_of_one_plan_at_a_time() -> None:
    plans = [
        QuantizationPlan({"0": LayerScheme(*widths), "2": LayerScheme(*widths, granularity="tensor")})
        for widths in ((32, 32), (8, 8), (4, 8), (4, 16), (2, 2))
    ]
    pricer = Pricer(task(), load_target("xeon-8480"), Site(), 16)
    together = pricer.costs(plans)
    for place, plan in enumerate(plans):
        alone = pricer.costs([plan])
        for name in ("memory", "latency", "energy", "carbon"):
            assert together.value[name][place] == pytest.approx(alone.value[name][0], rel=1e-12), name
        work = quantize(pricer.workload, plan, load_target("xeon-8480").dtypes)
        assert float(work.footprint(Role.WEIGHT)) == pytest.approx(pricer.priced(plan).memory["weight"].item())
    assert (together.value["memory"][1:] < together.value["memory"][0]).all()


def test_a_layer_computes_in_the_narrowest_type_that_holds_it() -> None:
    assert compute_of(4, 8, ("fp32", "bf16", "int8")) == "int8"
    assert compute_of(4, 4, ("fp32", "int8", "int4")) == "int4"
    assert compute_of(4, 16, ("fp32", "fp16", "int8")) == "fp16"
    assert compute_of(8, 8, ("fp32",)) == "fp32"
    with pytest.raises(UsageError, match="no compute dtype holds 32 bits"):
        compute_of(4, 32, ("bf16", "int8"))


def test_activations_are_stored_narrow_only_where_every_reader_takes_them_narrow() -> None:
    class Forked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(x)
            made: torch.Tensor = self.first(x) + self.second(x)
            return made

    work = captured_module(lambda: Forked().eval(), "forked", "forked", (InputShape((1, 8)),)).workload()
    written = {}
    for second in (8, 32):
        plan = QuantizationPlan({"first": LayerScheme(8, 8), "second": LayerScheme(8, second)})
        group = next(g for _, g in quantize(work, plan).phases[0].groups() if g.name.startswith("relu"))
        written[second] = float(group.ops[0].output.bits)  # type: ignore[union-attr]
    assert written == {8: 8.0, 32: 32.0}


def decode_step() -> TinyTransformer:
    return TinyTransformer(CONTEXT - 1).eval()


def test_cache_bits_reach_the_state_of_a_decode_step() -> None:
    layers = cached_layers(decode_step())
    assert layers == tuple(f"blocks.{b}.attention.{p}" for b in range(2) for p in ("k", "v"))
    work = captured_module(decode_step, "tiny", "tiny", (InputShape((1, 1), "int64"),)).workload()
    elements = 2 * 2 * (CONTEXT - 1) * 64
    assert float(work.footprint(Role.STATE)) == elements * 4
    narrow = quantize(work, QuantizationPlan({}, kv_bits=4, kv_layers=layers))
    # a token's row of 64 has a scale of 16 bits and a zero point of 4
    assert float(narrow.footprint(Role.STATE)) == pytest.approx(elements * (4 + 20 / 64) / 8)


def test_one_step_against_the_cache_is_the_last_row_of_the_whole_pass() -> None:
    torch.manual_seed(1)
    whole, step = TinyTransformer().eval(), TinyTransformer(CONTEXT - 1).eval()
    step.load_state_dict(whole.state_dict(), strict=False)
    tokens = torch.randint(0, 256, (1, CONTEXT))
    made: dict[str, torch.Tensor] = {}
    for name in cached_layers(whole):
        whole.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: made.__setitem__(name, out))
    with torch.inference_mode():
        expected = whole(tokens)[:, -1]
        for name, out in made.items():
            kind = "cached_keys" if name.endswith("k") else "cached_values"
            heads = out.view(1, CONTEXT, 4, 16).transpose(1, 2)[:, :, :-1]
            step.get_submodule(name.rpartition(".")[0]).get_buffer(kind).copy_(heads)
        assert torch.allclose(step(tokens[:, -1:])[:, 0], expected, atol=1e-4)


def test_a_plan_file_brings_the_searched_quality_back(tmp_path: Path) -> None:
    asked = problem()
    plan = asked.plan(asked.plans.box.encode(**asked.plans.values(3, 4)))
    found = asked.laboratory.qualities(plan)["report"]
    save_plan(plan, tmp_path / "plan.yaml")
    again = load_plan(tmp_path / "plan.yaml")
    assert again == plan
    split = task().splits["report"]
    with torch.inference_mode():
        answers = apply_plan(net(), again)(split.x)
    assert float((answers.argmax(dim=1) != split.y).double().mean()) == pytest.approx(found.value)
    assert found.value > 0.0, "so few bits cost something: the comparison is not one of the original with itself"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("layers: {a: {weight_bits: 5}}", "weight_bits"),
        ("layers: {a: {weigth_bits: 4}}", "weigth_bits"),
        ("layers: {a: {granularity: group}}", "group_size"),
        ("layers: {a: {activation_range: [1.0, 1.0]}}", "activation_range"),
        ("kv_bits: 4", "layers"),
    ],
)
def test_a_wrong_plan_file_names_its_field(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(DataError, match=told):
        load_plan(tmp_path / "plan.yaml")


def test_a_recipe_has_the_schemes_that_exist_and_names_the_rest() -> None:
    plan = QuantizationPlan(
        {
            "q": LayerScheme(4, 16, granularity="group", group_size=32),
            "k.proj": LayerScheme(8, 8, symmetric=False),
            "v": LayerScheme(8, 8, symmetric=False),
            "odd": LayerScheme(3, 16),
            "narrow": LayerScheme(4, 4),
            "head": LayerScheme(),
        },
        kv_bits=8,
        kv_layers=("k.proj", "v"),
    )
    assert set(unmapped(plan)) == {"odd", "narrow"}
    read = yaml.safe_load(recipe_text(plan))
    assert read == recipe(plan)
    modifier = read["quant_stage"]["quant_modifiers"]["QuantizationModifier"]
    assert modifier["ignore"] == ["odd", "narrow", "head"]
    first, second = modifier["config_groups"].values()
    assert first["targets"] == ["re:^q$"]
    assert first["weights"] == {
        "num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "dynamic": False, "group_size": 32,
    }  # fmt: skip
    assert "input_activations" not in first
    assert second["targets"] == ["re:^k\\.proj$", "re:^v$"]
    assert second["input_activations"]["num_bits"] == 8
    assert modifier["kv_cache_scheme"]["num_bits"] == 8
    assert "odd: weights of 3 bits" in recipe_text(plan)
    assert recipe(QuantizationPlan({"a": LayerScheme(2)})) is None
