"""Vendor kernel time: real lines of the libraries, hand-made streams, rubbish, and one real child process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import UsageError
from codesign.profilers import api
from codesign.profilers.api import profile
from codesign.profilers.passes import Shape
from codesign.profilers.split import Interval
from codesign.profilers.vendor_child import VendorRequest, vendor_times
from codesign.profilers.vendor_verbose import Vendor, beside_self_time, parse_line, parse_output

SGEMM = (
    "MKL_VERBOSE SGEMM(T,N,512,4,512,0x7ffd71d25700,0x7f6a65913040,512,0x55a61e77fe00,512,0x7ffd71d25720,"
    "0x55a61e808580,512) 3.27ms CNR:OFF Dyn:0 FastMM:1 TID:0  NThr:2"
)
SGEMM_BATCH = "MKL_VERBOSE SGEMM_BATCH(N,N,0x7ffd71d26938,0x7ffd71d26934) 21.15us CNR:OFF Dyn:0 FastMM:1 TID:3  NThr:1"
MATMUL = (
    "onednn_verbose,v1,primitive,exec,cpu,matmul,brg_matmul:avx512_core_bf16,undef,src:bf16::blocked:ab::f0 "
    "wei:bf16::blocked:ba::f0 dst:bf16::blocked:ab::f0,attr-scratchpad:user attr-post-ops:sum,,4x512:512x512,0.106934"
)
OLD = "dnnl_verbose,exec,cpu,eltwise,jit:avx2,forward_training,data:f32::blocked:ab:f0,,alg:gelu,4x512,0.5"


@pytest.mark.parametrize(
    ("line", "named", "nanoseconds", "thread"),
    [
        (SGEMM, ("MKL", "SGEMM", "", "T,N,512,4,512"), 3.27e6, 0),
        (SGEMM_BATCH, ("MKL", "SGEMM_BATCH", "", "N,N"), 21150.0, 3),
        (MATMUL, ("oneDNN", "matmul", "brg_matmul:avx512_core_bf16", "4x512:512x512"), 106934.0, 0),
        (OLD, ("oneDNN", "eltwise", "jit:avx2", "4x512"), 5e5, 0),
    ],
)
def test_lines_as_the_libraries_write_them(
    line: str, named: tuple[str, str, str, str], nanoseconds: float, thread: int
) -> None:
    found = parse_line(line)
    assert found is not None
    assert found[:4] == named
    assert found.nanoseconds == pytest.approx(nanoseconds)
    assert found.thread == thread


@pytest.mark.parametrize(
    "line",
    [
        "MKL_VERBOSE oneMKL 2024.0 Update 2 Product build 20240605 for Intel(R) 64 architecture Lnx 2.60GHz",
        "onednn_verbose,v1,info,cpu,isa:Intel AVX-512",
        "onednn_verbose,v1,primitive,info,template:operation,engine,primitive,implementation,problem_desc,exec_time",
        "onednn_verbose,v1,primitive,create:cache_miss,cpu,matmul,jit,undef,,,,4x512:512x512,0.1",
        "onednn_verbose,v1,graph,exec,cpu,100,1,matmul,,,0.5",
        SGEMM.replace("3.27ms", "NaNms"), SGEMM.replace("3.27ms", "-3ms"), SGEMM.replace("3.27ms", "3.27"),
        MATMUL.replace("0.106934", "inf"), MATMUL.replace("0.106934", "-1"), MATMUL[:60], "", "hello",
        " " + SGEMM,
    ],
)  # fmt: skip
def test_other_lines_are_none(line: str) -> None:
    assert parse_line(line) is None


@given(
    st.one_of(st.text(max_size=80), st.text("01,.eE-+x()ABEKLMOSV_ us", max_size=80).map(lambda t: "MKL_VERBOSE " + t))
)
def test_rubbish_is_none_or_a_call_of_finite_time(line: str) -> None:
    found = parse_line(line)
    assert found is None or 0 <= found.nanoseconds < float("inf")


def _stream(*lines: str) -> dict[int, Vendor]:
    return parse_output(line if not line.startswith("@") else f"codesign_vendor,{line[1:]}" for line in lines)


def _call(microseconds: float, thread: int = 0) -> str:
    return f"MKL_VERBOSE SGEMM(N,N,2,2,2,0x1) {microseconds}us CNR:OFF TID:{thread}  NThr:1"


def test_calls_belong_to_the_operator_announced_before_them() -> None:
    found = _stream(
        _call(999), "@batch 4", _call(999), "a print of the model",
        "@pass 0", "@op aten::mm", _call(50), "@op aten::add", "@op aten::mm", _call(20), "@end", _call(999),
        "@pass 1", "@op aten::mm", _call(8), "noise", "@op aten::add", "@op aten::mm", _call(4), "@end",
        "@pass 2", "@op aten::mm", _call(7), "@op aten::add", "@op aten::mm", _call(3), "@end",
        "@batch 8", "@pass 0", "@op aten::add", "@end",
    )  # fmt: skip
    assert found[4].passes == 3
    assert found[4].nanoseconds == pytest.approx(12000.0)  # the median of 70, 12 and 10 us
    assert found[4].by_operator == {"aten::mm": pytest.approx(12000.0)}
    assert [(k.primitive, k.shape, k.calls, round(k.nanoseconds)) for k in found[4].kernels] == [
        ("SGEMM", "N,N,2,2,2", 2, 12000)
    ]
    assert found[8].nanoseconds is None
    assert "neither oneDNN nor MKL" in found[8].reason


def test_calls_side_by_side_count_for_the_longest_thread() -> None:
    lines = ("@op aten::sdpa", _call(5, 0), _call(9, 1), _call(5, 0), "@op aten::mm", _call(2), "@end")
    found = _stream("@batch 1", "@pass 0", *lines)[1]
    assert found.by_operator == {"aten::sdpa": pytest.approx(10000.0), "aten::mm": pytest.approx(2000.0)}
    assert found.nanoseconds == pytest.approx(12000.0)
    assert sum(k.nanoseconds for k in found.kernels) == pytest.approx(21000.0)


def test_dispatch_is_self_time_less_vendor_time_of_the_operator_that_holds_it() -> None:
    one = [
        Interval("aten::convolution", 0, 100), Interval("aten::_convolution", 5, 95),
        Interval("aten::mkldnn_convolution", 10, 90), Interval("aten::empty", 11, 13), Interval("aten::mm", 120, 150),
    ]  # fmt: skip
    two = [Interval(i.name, i.start + 200, i.end + 200) for i in one]
    vendor = Vendor(nanoseconds=75.0, by_operator={"aten::convolution": 70.0, "aten::mm": 5.0, "aten::gone": 1.0})
    found = beside_self_time(vendor, 2, [*one, *two])
    rows = [(o.name, o.self_nanoseconds, o.vendor, o.dispatch) for o in found.operators]
    assert rows == [("aten::mkldnn_convolution", 78.0, 70.0, 8.0), ("aten::mm", 30.0, 5.0, 25.0)]
    absent = Vendor(reason="because")
    assert beside_self_time(absent, 2, one) is absent


def test_a_real_child_states_every_product_of_a_layer() -> None:
    import torch

    if not torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
        pytest.skip("this torch has no MKL")
    batch = profile("gpt2", layers=1, prompt=16, dtype="fp32", repeats=3, threads=1, vendor=True).batches[0]
    assert batch.vendor is not None
    assert batch.vendor.reason == ""
    shapes = {k.shape: k.calls for k in batch.vendor.kernels if k.library == "MKL"}
    for rows, columns, tokens in ((2304, 768, 16), (768, 768, 16), (3072, 768, 16), (768, 3072, 16), (50257, 768, 1)):
        assert shapes[f"T,N,{rows},{tokens},{columns}"] == 1
    held = {o.name: o for o in batch.vendor.operators}
    assert {"aten::addmm", "aten::mm"} <= set(held)
    for row in held.values():
        assert row.vendor > 0
        assert row.self_nanoseconds - row.vendor == pytest.approx(row.dispatch)


def test_a_child_that_fails_or_hangs_gives_a_reason_and_no_number() -> None:
    shape = Shape(batch=3, layers=1)
    unknown = vendor_times(VendorRequest(model="gpt3", shapes=(shape,)))[3]
    assert "failed: model 'gpt3' is unknown" in unknown.reason
    slow = vendor_times(VendorRequest(model="gpt2", shapes=(shape,)), timeout=0.01)[3]
    assert "took over 0.01 s" in slow.reason
    assert unknown.nanoseconds is slow.nanoseconds is None


def test_vendor_time_is_not_asked_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "check_device", lambda _: None)
    with pytest.raises(UsageError, match="kernels on the processor"):
        profile("gpt2", device="cuda", vendor=True)


def test_generated_kernels_have_no_vendor_time_by_operator() -> None:
    from codesign.profilers.sweep import Sweep

    sweep = Sweep(
        model=None, device="cpu", shapes=(Shape(batch=2),), seconds=1.0, repeats=1, execution="compiled",
        with_shapes=False, inputs=None, vendor=True, meter=None, on_trace=None,
    )  # fmt: skip
    assert "profile eager execution" in sweep._vendors(None)[2].reason
