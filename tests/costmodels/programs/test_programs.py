"""Learned cost of programs: encodings by hand, what each kind of model can and cannot learn, honest splits, files."""

import math
from pathlib import Path

import numpy as np
import pytest

from codesign.costmodels.array_archive import read_arrays, write_arrays
from codesign.costmodels.programs import (
    Column,
    ProgramModel,
    ProgramTable,
    Token,
    fit_program_model,
    load_program_model,
    write_program_model,
)
from codesign.costmodels.programs.convolution import fit_convolution
from codesign.costmodels.programs.tokens import Program, bag, encode, vocabulary_of, work_and_bytes
from codesign.errors import DataError, UsageError
from codesign.quantity import Array


def _product(m: int, k: int, n: int) -> Token:
    return Token("stablehlo.dot_general", "f32", (m, n), ((m, k), (k, n)))


def _unary(name: str, *shape: int) -> Token:
    return Token(f"stablehlo.{name}", "f32", shape, (shape,))


def test_sizes_of_a_product_are_exact() -> None:
    encoded = encode([(_product(8, 32, 16), _unary("tanh", 8, 16))], ("stablehlo.dot_general", "stablehlo.tanh"))
    work, moved = work_and_bytes(encoded)
    assert work[0] == pytest.approx(8 * 32 * 16 + 8 * 16, rel=1e-5)
    assert moved[0] == pytest.approx(4 * (8 * 16 + 8 * 32 + 32 * 16) + 4 * 2 * 8 * 16, rel=1e-5)


def test_a_bag_counts_by_name() -> None:
    programs = [(_unary("tanh", 4), _unary("tanh", 4), _unary("sine", 2)), (_unary("new", 3),)]
    features = bag(encode(programs, ("stablehlo.sine", "stablehlo.tanh")), 2)
    assert features[:, :3].tolist() == [[0, 1, 2], [1, 0, 0]]  # unknown, sine, tanh
    assert features[:, 3:6] == pytest.approx(np.log1p([[0, 2, 8], [3, 0, 0]]), rel=1e-6)
    assert features[:, 6] == pytest.approx(np.log1p([3, 1]), rel=1e-6)


def test_a_bag_does_not_know_the_order_but_a_sequence_does() -> None:
    one = (_unary("tanh", 4), _product(4, 4, 4), _unary("sine", 4))
    other = one[::-1]
    encoded = encode([one, other], vocabulary_of([one]))
    features = bag(encoded, 3)
    assert (features[0] == features[1]).all()
    assert (encoded.name[0] != encoded.name[1]).any()


def _random_program(generator: np.random.Generator, kind: int) -> Program:
    width = 2 ** int(generator.integers(4, 8)) * (kind + 1)
    names = ["tanh", "sine", "exponential"]
    found: list[Token] = []
    for _ in range(int(generator.integers(6, 24))):
        if generator.random() < 0.3:
            found.append(_product(32, width, width))
        else:
            found.append(_unary(names[int(generator.integers(3))], 32, width))
    return tuple(found)


def _fused_cost(program: Program) -> float:
    """A compiler that fuses every unary operation into whatever stands before it, unless that is a product."""
    total, before = 1e-6, "product"
    for token in program:
        if "dot" in token.name:
            total += 2e-10 * token.shape[0] * token.shape[1] * token.operands[0][1]
            before = "product"
        else:
            total += 3e-8 * math.prod(token.shape) if before == "product" else 0.0
            before = "unary"
    return total


def _table(count: int, origins: int, seed: int = 0) -> ProgramTable:
    generator = np.random.default_rng(seed)
    kinds = np.arange(count) % origins
    programs = list(_random_program(generator, int(kind)) for kind in kinds)
    for row in range(origins, count):
        programs[row] = _mutant(generator, programs[int(kinds[row])])
    runtime = np.array([_fused_cost(program) for program in programs])
    flops = np.array([sum(2.0 * math.prod(t.shape) for t in program) for program in programs])
    names = tuple(f"program-{k}" for k in kinds)
    first = {f"program-{k}": k for k in range(origins)}
    return ProgramTable(tuple(programs), names, first, (Column("runtime", "s", runtime), Column("flops", "", flops)))


def _mutant(generator: np.random.Generator, program: Program) -> Program:
    """A program with a few operations removed, doubled or moved."""
    found = list(program)
    for _ in range(int(generator.integers(2, 7))):
        one = found.pop(int(generator.integers(len(found))))
        for _ in range(int(generator.integers(3))):
            found.insert(int(generator.integers(len(found) + 1)), one)
    return tuple(found)


@pytest.fixture(scope="module")
def model() -> ProgramModel:
    return fit_program_model(_table(400, 3), seed=1)


def test_order_matters_and_the_convolution_sees_it(model: ProgramModel) -> None:
    runtime = model.card.targets[0]
    assert runtime.new_mutants["plane + convolution"].mape < 0.8 * runtime.new_mutants["plane"].mape
    assert runtime.new_mutants["plane"].mape < runtime.new_mutants["constant"].mape
    best = runtime.new_programs[runtime.model]
    assert best.mape == min(score.mape for kind, score in runtime.new_programs.items() if kind != "constant")
    assert best.mape < runtime.new_programs["constant"].mape
    assert best.rank is not None
    assert best.rank > 0.6


def test_predictions_of_what_was_never_seen(model: ProgramModel, tmp_path: Path) -> None:
    unseen = _table(200, 1, seed=9)
    truth, start = unseen.columns[0].values, unseen.programs[0]
    found = model.predict(unseen.programs, start, {"runtime": float(truth[0])})
    runtime = found["runtime"]
    assert runtime.value[0] == pytest.approx(truth[0], rel=1e-5)  # the original is what it was measured to be
    assert np.mean((runtime.low <= truth) & (truth <= runtime.high)) > 0.75
    assert (runtime.low < runtime.value).all()
    assert (runtime.value < runtime.high).all()
    assert np.mean(np.abs(runtime.value / truth - 1.0)) < 0.25
    alone = model.predict(unseen.programs[1:2], start, {"runtime": float(truth[0])})["runtime"].value
    assert alone == pytest.approx(runtime.value[1:2], rel=1e-4)  # padding changes nothing but the order of sums
    free = model.predict(unseen.programs, start)["runtime"]
    assert (free.high / free.low > runtime.high / runtime.low).all()  # not having measured costs certainty

    write_program_model(tmp_path / "m.npz", model)
    again = load_program_model(tmp_path / "m.npz")
    assert again.card == model.card
    for name, prediction in again.predict(unseen.programs, start, {"runtime": float(truth[0])}).items():
        assert (prediction.value == found[name].value).all()


def test_equal_fits_are_equal_files(tmp_path: Path) -> None:
    table = _table(64, 1)
    for name in ("a", "b"):
        write_program_model(tmp_path / name, fit_program_model(table, seed=3))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_two_programs_say_nothing_of_a_third() -> None:
    model = fit_program_model(_table(64, 2))
    card = model.card
    assert card.programs == {"program-0": 32, "program-1": 32}
    assert all(target.new_programs == {} and target.new_mutants for target in card.targets)
    program = _table(1, 1).programs[0]
    with pytest.raises(UsageError, match="2 programs only"):
        model.predict([program], program)


def test_unknown_values_are_left_out() -> None:
    table = _table(96, 1)
    holes = table.columns[0].values.copy()
    holes[1::3] = np.nan
    model = fit_program_model(table._replace(columns=(table.columns[0]._replace(values=holes),)))
    found = model.predict(table.programs, table.programs[0], {"runtime": 1e-3})["runtime"]
    assert np.isfinite(found.value).all()


def test_numpy_says_what_torch_learned() -> None:
    """The network fitted for one target says it back: forward passes in torch and NumPy are the same function."""
    table = _table(120, 1)
    vocabulary = vocabulary_of(table.programs)
    encoded = encode(table.programs, vocabulary)
    wanted = np.log(table.columns[0].values / table.columns[0].values[0])[:, None]
    wanted /= wanted.std()
    network = fit_convolution(encoded, np.zeros(120, np.intp), len(vocabulary), wanted, seed=0)
    said = network.predict(encoded)
    error: Array = said - said[0] - wanted
    assert np.sqrt(np.mean(error**2)) < 0.4  # of a standard deviation; a wrong forward pass would be at 1


def _refused(table: ProgramTable) -> str:
    with pytest.raises((UsageError, DataError)) as caught:
        fit_program_model(table)
    return caught.value.message


def test_what_cannot_be_learned_is_refused() -> None:
    table = _table(80, 2)
    column = table.columns[0]
    unknown = column._replace(values=np.where(np.arange(80) > 0, column.values, np.nan))
    assert "of the original of 'program-0'" in _refused(table._replace(columns=(unknown,)))
    assert "the original of 'program-1' is not" in _refused(table._replace(original={"program-0": 0}))
    few = column._replace(values=np.where(np.arange(80) < 10, column.values, np.nan))
    assert "10 programs only" in _refused(table._replace(columns=(few,)))
    level = column._replace(values=np.ones(80))
    assert "for every program" in _refused(table._replace(columns=(level,)))
    negative = column._replace(values=-column.values)
    assert "above 0" in _refused(table._replace(columns=(negative,)))
    short = column._replace(values=column.values[:-1])
    assert "79 values for 80" in _refused(table._replace(columns=(short,)))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    write_program_model(path, fit_program_model(_table(64, 1)))
    whole = read_arrays(path, "model", "")
    broken = {
        "no card": {k: v for k, v in whole.items() if k != "card"},
        "missing": {k: v for k, v in whole.items() if k != "0/weights"},
        "nan": whole | {"0/weights": np.full_like(whole["0/weights"], np.nan)},
        "shape": whole | {"1/weights": whole["1/weights"][:-1]},
        "version": whole | {"card": np.frombuffer(
            bytes(whole["card"]).replace(b'program_model":1', b'program_model":9'), np.uint8)},
    }  # fmt: skip
    for what, arrays in broken.items():
        write_arrays(path, arrays)
        with pytest.raises(DataError) as caught:
            load_program_model(path)
        assert path.name in caught.value.message, what
    path.write_bytes(b"PK nothing")
    with pytest.raises(DataError):
        load_program_model(path)
