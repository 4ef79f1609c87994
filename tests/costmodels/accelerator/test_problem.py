"""Problems: builders, lines, files, operators of a workload, and what is refused."""

from __future__ import annotations

import pytest

from codesign.costmodels.accelerator import conv2d, from_einsum, gemm, parse_problem
from codesign.costmodels.accelerator.files import parse_problem_file
from codesign.costmodels.accelerator.problem import Problem, attention_scores, attention_values, checked
from codesign.errors import CodesignError, DataError, UsageError
from codesign.models import load_model
from codesign.workload import MULTIPLY_ADD, Axis, Einsum, Tensor, axes, tensor

FILE = """
schema: 1
name: window
ranks: {P: 8, R: 3, K: 4}
inputs: {I: ["2*P + R"], W: [K, R]}
output: {O: [K, P]}
bits: {O: 16}
"""


def test_a_strided_convolution_reads_its_bounding_box() -> None:
    conv = conv2d(k=32, c=3, p=112, q=112, r=3, s=3, stride=2)
    inputs, weights, outputs = conv.tensors
    assert conv.operations == 32 * 3 * 112 * 112 * 9 == 10_838_016
    assert conv.words(inputs) == 3 * 225 * 225
    assert conv.words(weights) == 864
    assert conv.words(outputs) == 401_408
    assert [conv.operand(one) for one in conv.tensors] == ["input", "weight", "output"]


def test_dilation_and_groups() -> None:
    conv = conv2d(k=8, c=8, p=5, q=5, r=3, s=3, dilation=2, groups=4)
    assert conv.operations == 8 * 2 * 25 * 9
    assert conv.words(conv.inputs[0]) == 8 * 9 * 9
    assert conv.words(conv.inputs[1]) == 8 * 2 * 9


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        ("gemm:8x16x32", 4096),
        ("gemm:M8N16K32", 4096),
        ("bmm:2x8x16x32", 8192),
        ("conv:K64C64P56Q56R3S3", 115_605_504),
        ("conv:K32C3P112Q112R3S3,stride=2", 10_838_016),
        ("qk:H12P1024M1024E64", 805_306_368),
        ("av:12x8x8x4", 3072),
    ],
)
def test_a_line_gives_the_problem(text: str, operations: int) -> None:
    assert parse_problem(text).operations == operations


def test_bits_of_a_line_are_those_of_the_tensors() -> None:
    assert [one.bits for one in parse_problem("gemm:8x8x8,bits=16").tensors] == [16, 16, 16]
    assert [one.bits for one in parse_problem("gemm:8x8x8,bits=8/4/32").tensors] == [8, 4, 32]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gem:8x8x8", "did you mean gemm"),
        ("gemm:8x8", "found 2 sizes"),
        ("gemm:8x8x8x8", "found 4 sizes"),
        ("gemm:8x0x8", "expected a positive integer"),
        ("gemm:8x-1x8", "cannot be read"),
        ("gemm:M8M9K8", "given twice"),
        ("conv:K8C8P7Q7R3", "rank S has no extent"),
        ("conv:K8C8P7Q7R3S3,strid=2", "did you mean stride"),
        ("conv:K8C8P7Q7R3S3,groups=3", "do not divide"),
        ("conv:K8C8P7Q7R3S3Z9", "unknown rank Z"),
        ("gemm:8x8x8,bits=8/8", "inputs/weights/outputs"),
        ("gemm:99999999999x99999999999x99999999999", "count exactly"),
        ("gemm:" + "9" * 5000, "expected"),
    ],
)
def test_a_line_that_cannot_be_read_says_why(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_problem(text)
    assert said in str(refused.value)


def test_a_file_gives_the_problem() -> None:
    problem = parse_problem_file(FILE, "window.yaml")
    assert problem.operations == 96
    assert [problem.words(one) for one in problem.tensors] == [17, 12, 32]
    assert problem.output.bits == 16


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("R: 3, ", "", "rank 'R' has no extent"),
        ("P: 8", "P: 0", "expected a positive integer"),
        ('"2*P + R"', '"P - R"', "cannot be read"),
        ("output: {O: [K, P]}", "output: {O: [K, P], Z: [K]}", "expected one"),
        ("bits: {O: 16}", "bits: {Q: 16}", "no tensor 'Q'"),
        ("schema: 1", "schema: 2", "expected 1"),
        ("name: window", "nam: window", "unknown key 'nam'"),
        ("inputs: {I:", "inputs: {O:", "two tensors"),
        ("2*P", "0*P", "coefficient 0"),
    ],
)
def test_a_file_that_is_wrong_says_where(old: str, new: str, said: str) -> None:
    assert old in FILE
    with pytest.raises(DataError) as refused:
        parse_problem_file(FILE.replace(old, new), "window.yaml")
    assert said in str(refused.value)
    assert "window.yaml" in str(refused.value)


def test_an_operator_of_a_workload_is_a_problem() -> None:
    einsum = Einsum(
        "layer", {"m": 4, "k": 8, "n": 2}, (tensor("a", "m k"), tensor("w", "k n")), tensor("z", "m n"), MULTIPLY_ADD
    )
    problem = from_einsum(einsum)
    assert problem.operations == 64
    assert problem.operation == "mac"
    half = Einsum("sparse", einsum.ranks, einsum.inputs, einsum.output, MULTIPLY_ADD, density=0.5)
    with pytest.raises(UsageError, match="density"):
        from_einsum(half)
    with pytest.raises(UsageError, match="expected an integer"):
        from_einsum(Einsum("part", {**einsum.ranks, "m": 4.5}, einsum.inputs, einsum.output))


@pytest.mark.parametrize("name", ["resnet-18", "bert-base"])
def test_every_operator_of_a_model_is_a_problem(name: str) -> None:
    groups = [group for phase in load_model(name).workload().phases for block in phase.blocks for group in block.groups]
    einsums = [op for group in groups for op in group.ops if isinstance(op, Einsum)]
    assert len(einsums) > 20
    assert sum(from_einsum(op).operations for op in einsums) == sum(int(op.points()) for op in einsums)


def test_attention_is_two_batched_products() -> None:
    scores = attention_scores(b=1, h=2, p=4, m=8, e=16)
    values = attention_values(b=1, h=2, p=4, m=8, f=16)
    assert scores.operations == values.operations == gemm(4, 8, 16, batch=2).operations
    assert [scores.operand(one) for one in scores.tensors] == ["input", "weight", "output"]


def test_a_problem_without_an_input_is_refused() -> None:
    with pytest.raises(CodesignError, match="no input"):
        checked(Problem(name="empty", ranks={"M": 2}, inputs=(), output=Tensor("Z", axes("M"))))
    bad = Tensor("Z", (Axis((("Q", 1),)),))
    with pytest.raises(CodesignError, match="no extent"):
        checked(Problem(name="lost", ranks={"M": 2}, inputs=(Tensor("A", axes("M")),), output=bad))
