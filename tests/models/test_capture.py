"""User modules captured: FLOPs and bytes against hand counts and torch's counter, and every way it can go wrong."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codesign.errors import DataError, UsageError
from codesign.models import load_model
from codesign.models.input_shapes import parse_inputs
from codesign.workload import Einsum, Lookup, Role, Workload, peak_activations

SOURCE = """
    import torch
    from torch import nn
    from torch.nn import functional

    class Mlp(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = nn.Linear(64, 256), nn.Linear(256, 32, bias=False)
        def forward(self, x):
            return self.down(torch.relu(self.up(x)))

    class Convolutional(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 16, 3, stride=2, padding=1)
            self.norm = nn.BatchNorm2d(16)
            self.grouped = nn.Conv2d(16, 32, 3, padding=1, groups=4, bias=False)
            self.up = nn.ConvTranspose2d(32, 8, 4, stride=2, padding=1)
        def forward(self, x):
            return self.up(functional.relu_(self.grouped(self.norm(self.first(x)))))

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(1000, 64)
            self.layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
            self.head = nn.Linear(64, 1000, bias=False)
            self.head.weight = self.embedding.weight
        def forward(self, ids):
            return self.head(self.layer(self.embedding(ids)))

    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    class Shared(nn.Module):
        def forward(self, q, k, v):
            return functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.LSTM(32, 64, batch_first=True)
        def forward(self, x):
            return self.layer(x)[0]

    class Weighted(nn.Module):
        def forward(self, x, mask=None, weight=None, *, scale=None):
            y = x if mask is None else x * mask
            y = y if weight is None else y @ weight
            return y if scale is None else y * scale

    def needs(argument): return Mlp()
    def number(): return 3
    def raises(): raise RuntimeError("no such luck")
    def leaves(): raise SystemExit(3)
    constant = 7
"""


@pytest.fixture
def user_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "user_code_for_capture.py").write_text(textwrap.dedent(SOURCE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "py:user_code_for_capture"


def matrix_flops(work: Workload) -> float:
    found = 0.0
    for _, group in work.phases[0].groups():
        found += sum(float(op.flops()) for op in group.ops if isinstance(op, Einsum) and op.compute.unit == "tensor")
    return found


def counted(module: Any, *inputs: Any) -> int:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.get_total_flops())


ATTENTION = 2 * 2 * (2 * 4 * 16 * 16 * 16)
"""FLOP of ``Tied``'s attention (2 sequences, 4 heads, 16 x 16 x 16): torch's counter lacks the processor's kernel."""


@pytest.mark.parametrize(
    ("name", "shape", "uncounted"),
    [("Mlp", "5x64", 0), ("Convolutional", "2x3x32x32", 0), ("Tied", "2x16:int64", ATTENTION)],
)
def test_flops_and_parameters_equal_torch(user_code: str, name: str, shape: str, uncounted: int) -> None:
    model = load_model(f"{user_code}:{name}", inputs=[shape])
    module = model.module()
    assert matrix_flops(model.workload()) == counted(module, *model.example_inputs()) + uncounted
    assert model.parameters == sum(p.numel() for p in module.parameters())
    assert model.workload().elements(Role.WEIGHT) == model.parameters


def test_bytes_of_a_small_network_by_hand(user_code: str) -> None:
    work = load_model(f"{user_code}:Mlp", inputs=["5x64"]).workload()
    internal = work.phases[0].internal()
    moved = {g.name.split(".")[0]: float(g.traffic(internal)) for _, g in work.phases[0].groups()}
    assert moved == {
        "addmm": 4 * (5 * 64 + 64 * 256 + 256 + 5 * 256),
        "relu": 4 * (2 * 5 * 256),
        "mm": 4 * (5 * 256 + 256 * 32 + 5 * 32),
    }
    assert work.footprint(Role.WEIGHT) == 4 * (64 * 256 + 256 + 256 * 32)


def test_convolution_reads_each_tensor_once(user_code: str) -> None:
    work = load_model(f"{user_code}:Convolutional", inputs=["2x3x32x32"]).workload()
    first = next(g for _, g in work.phases[0].groups() if g.name.startswith("convolution"))
    assert float(first.traffic(work.phases[0].internal())) == 4 * (2 * 3 * 32**2 + 16 * 3 * 9 + 16 + 2 * 16 * 16**2)
    assert work.footprint(Role.STATE) > 0, "running statistics are state, not parameters"


def test_lookups_move_only_their_rows_and_edges_connect(user_code: str) -> None:
    work = load_model(f"{user_code}:Tied", inputs=["2x16:int64"]).workload()
    groups = [g for _, g in work.phases[0].groups()]
    assert isinstance(groups[0].ops[0], Lookup)
    assert float(groups[0].traffic()) == 2 * 4 * 2 * 16 * 64
    made = {name for g in groups for name in g.produced()}
    read = {
        t.name for g in groups for op in g.ops if isinstance(op, Einsum) for t in op.inputs if t.role is Role.ACTIVATION
    }
    assert read <= made, "every activation that is read was made"
    assert float(peak_activations(work.phases[0])) > 0


def test_batch_multiplies_the_leading_dimension(user_code: str) -> None:
    model = load_model(f"{user_code}:Mlp", inputs=["5x64"])
    assert matrix_flops(model.workload(batch=4)) == 4 * matrix_flops(model.workload())
    assert dict(model.workload(batch=4).units) == {"sample": 20}
    assert model.workload(dtype="bf16").footprint(Role.WEIGHT) * 2 == model.workload().footprint(Role.WEIGHT)


def test_captured_presets_agree_with_their_workloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "preset_for_capture.py").write_text(
        "from codesign.models import load_model\ndef net(): return load_model('resnet-18').module()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    captured = load_model("py:preset_for_capture:net", inputs=["1x3x224x224"])
    preset = load_model("resnet-18")
    assert captured.parameters == preset.parameters
    assert matrix_flops(captured.workload()) == pytest.approx(matrix_flops(preset.workload(batch=1)), rel=1e-3)


def test_exported_program(tmp_path: Path, user_code: str) -> None:
    import torch

    module = load_model(f"{user_code}:Mlp", inputs=["5x64"]).module()
    file = tmp_path / "mlp.pt2"
    torch.export.save(torch.export.export(module, (torch.randn(5, 64),)), file)
    model = load_model(f"pt2:{file}")
    assert model.parameters == sum(p.numel() for p in module.parameters())
    assert matrix_flops(model.workload()) == counted(module, torch.randn(5, 64))
    direct = load_model(f"{user_code}:Mlp", inputs=["5x64"]).workload()
    assert model.workload().footprint(Role.WEIGHT) == direct.footprint(Role.WEIGHT)
    moved = [
        sum(float(g.traffic(phase.internal())) for _, g in phase.groups())
        for phase in (model.workload().phases[0], direct.phases[0])
    ]
    assert moved[0] == moved[1], "a transposed weight is the weight, not a copy"


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("needs", "needs arguments"),
        ("number", "returned a int"),
        ("raises", "raised RuntimeError: no such luck"),
        ("leaves", "raised SystemExit: 3"),
        ("constant", "is a int"),
        ("Mpl", "has no 'Mpl'"),
        ("Branching", r"control flow depends on data: .*user_code_for_capture.py:\d+"),
    ],
)
def test_factories_that_do_not_work_say_why(user_code: str, attribute: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_model(f"{user_code}:{attribute}", inputs=["5x64"]).workload()


@pytest.mark.parametrize(("inputs", "message"), [(["5x63"], "forward pass raised"), (["5x64", "5x64"], "forward pass")])
def test_inputs_that_do_not_fit_say_why(user_code: str, inputs: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_model(f"{user_code}:Mlp", inputs=inputs).workload()


def test_named_inputs_reach_their_parameters(user_code: str) -> None:
    model = load_model(f"{user_code}:Weighted", inputs=["weight=8x2", "x=4x8"])
    x, mask, weight = model.example_inputs()
    assert (tuple(x.shape), mask, tuple(weight.shape)) == ((4, 8), None, (8, 2))
    assert model.module()(x, mask, weight).shape == (4, 2)
    assert matrix_flops(model.workload()) == 2 * 4 * 8 * 2
    mixed = load_model(f"{user_code}:Weighted", inputs=["4x8,weight=8x2"])
    assert [getattr(given, "shape", None) for given in mixed.example_inputs()] == [x.shape, None, weight.shape]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["nope=4x8", "foo=2x2"], r"forward\(\) has no parameter 'nope' \(it takes x, mask, weight, scale\)"),
        (["weight=8x2"], "missing a required argument: 'x'"),
        (["4x8", "x=4x8"], "multiple values for argument 'x'"),
    ],
)
def test_names_that_forward_does_not_know_are_refused(user_code: str, inputs: list[str], message: str) -> None:
    model = load_model(f"{user_code}:Weighted", inputs=inputs)
    for run in (model.workload, model.example_inputs):
        with pytest.raises(UsageError, match=message):
            run()


def test_an_input_by_keyword_only_can_be_priced_but_not_run(user_code: str) -> None:
    model = load_model(f"{user_code}:Weighted", inputs=["x=4x8", "scale=4x8"])
    assert float(model.workload().footprint(Role.ACTIVATION)) > 0
    with pytest.raises(UsageError, match="takes 'scale' by keyword only"):
        model.example_inputs()


@pytest.mark.parametrize(
    "text", ["x=4x8,x=4x8", "", "x", "-1x3", "0x3", "3x", "3x4:floot32", "99999x99999x9", "a b", "1x2=3"]
)
def test_shapes_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_inputs([text])


def _text(path: Path) -> None:
    path.write_text("not a zip")


def _empty_zip(path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "nothing here")


def _bomb(path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * 50_000_000)


@pytest.mark.parametrize("write", [None, _text, _empty_zip, _bomb])
def test_files_that_are_no_program_are_refused(tmp_path: Path, write: Callable[[Path], None] | None) -> None:
    file = tmp_path / "x.pt2"
    if write is not None:
        write(file)
    with pytest.raises(DataError):
        load_model(f"pt2:{file}")


def test_bad_sources_through_the_command(run_codesign: Any, user_code: str) -> None:
    for source, words in [
        ("py:no_such_package_here:x", "no module named"),
        ("py:user_code_for_capture", "names no factory"),
        ("py:nothing.py:x", "py:nothing.py: no such file"),
        ("py:./user_code_for_capture:Mlp", "py:FILE.py:factory"),
        ("py:./user_code_for_capture.py:Recurent", "did you mean Recurrent"),
        (f"{user_code}:Branching", "depends on data"),
    ]:
        done = run_codesign("estimate", source, "--input", "2x3", "--target", "h100-sxm")
        assert done.rc == 2, done.stderr
        assert words in done.stderr
        assert done.stdout == ""


def test_a_captured_module_is_shown_by_the_command(run_codesign: Any, user_code: str) -> None:
    done = run_codesign("models", "show", f"{user_code}:Mlp", "--input", "5x64", "--json")
    assert done.rc == 0, done.stderr
    assert "importing user_code_for_capture" in done.stderr
    assert json.loads(done.stdout)["results"]["parameters"] == 64 * 256 + 256 + 256 * 32


def test_a_factory_in_a_file(run_codesign: Any, tmp_path: Path) -> None:
    folder = tmp_path / "nets"
    folder.mkdir()
    (folder / "beside_for_capture.py").write_text("WIDTH = 8\n")
    (folder / "json.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom torch import nn\n"
        "from beside_for_capture import WIDTH\n@dataclass\nclass Sizes:\n    width: int = WIDTH\n"
        "def net(): return nn.Linear(Sizes().width, 4)\n"
    )
    for source in ("py:nets/json.py:net", "py:./nets/json.py:net", f"py:{folder}/json.py:net"):
        done = run_codesign("estimate", source, "--input", "2x8", "--target", "l4", "--json")
        assert done.rc == 0, done.stderr
        assert "json.py for net" in done.stderr
    done = run_codesign("profile", "py:nets/json.py:net", "--input", "2x8", "--repeats", "3", "--json")
    assert done.rc == 0, done.stderr


def test_shared_heads_read_their_keys_once(user_code: str) -> None:
    work = load_model(f"{user_code}:Shared", inputs=["1x8x16x32", "1x2x16x32", "1x2x16x32"]).workload()
    phase = work.phases[0]
    (attention,) = [g for _, g in phase.groups() if g.family.startswith("attention")]
    assert matrix_flops(work) == 2 * 2 * 8 * 16 * 16 * 32
    assert float(attention.traffic(phase.internal())) == 4 * 16 * 32 * (2 * 8 + 2 * 2)


def test_recurrent_layers_keep_their_products(user_code: str) -> None:
    work = load_model(f"{user_code}:Recurrent", inputs=["2x5x32"]).workload()
    assert matrix_flops(work) == 2 * 2 * 5 * 4 * 64 * (32 + 64)
