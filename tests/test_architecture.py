"""The house: who may import whom, what `import rmt_vn` costs, and that every statement is documented and runs."""

import ast
import doctest
import importlib
import importlib.util
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rmt_vn
from rmt_vn import (
    adapters,
    baseline,
    ensembles,
    files,
    gaussian_averages,
    laws,
    mean_field,
    measures,
    mlp,
    optimizers,
    prediction,
    reports,
    residual_mean_field,
    residual_mlp,
    samplers,
    tasks,
    training,
)

ROOT = Path(__file__).parents[1]
PACKAGE = Path(rmt_vn.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, package: str) -> Iterator[str]:
    """Full names of all that a module imports, at its top or inside its functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_of(path: Path) -> list[str]:
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return list(imports(path.read_text(), package))


def top(name: str) -> str:
    return name.partition(".")[0]


def test_the_import_reader_reads_all_forms():
    source = "import a.b as c, d\nfrom e.f import g\nfrom . import h\nfrom ..i import j\ndef k():\n    import l\n"
    assert list(imports(source, "p.q")) == ["a.b", "d", "e.f.g", "p.q.h", "p.i.j", "l"]


# --- importing --------------------------------------------------------------------------------------------------------


def test_import_is_light():
    # From the root of the repository, where `theory` can be imported.
    heavy = ["matplotlib", "sympy", "theory", "pytest", "torch", "pandas", "sklearn"]
    code = f"import sys, rmt_vn; print(*(name for name in {heavy} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
    assert run.stderr == ""


def test_the_package_and_the_proofs_do_not_know_each_other():
    for path in SOURCES:
        assert not {"theory", "sympy", "tests"} & set(map(top, imports_of(path))), path
    for path in (ROOT / "theory").rglob("*.py"):
        assert "rmt_vn" not in map(top, imports(path.read_text(), "theory")), path


def test_matplotlib_lives_in_figures_alone():
    users = {path.relative_to(PACKAGE).parts[0] for path in SOURCES if "matplotlib" in map(top, imports_of(path))}
    assert users <= {"figures"}


# What each room may import of the others: the arrows of the design, which point one way. A new room needs a row.
ARGUMENTS = {"checks", "rng", "results"}
FOUNDATIONS = {"activations", "network", "gaussian_averages", "mean_field", "residual_mean_field"} | ARGUMENTS
MAY_IMPORT = {
    "checks": set(),
    "rng": set(),
    "results": set(),
    "interrupts": set(),
    "program": {"interrupts"},
    "progress": set(),
    "whole_files": set(),
    "activations": set(),
    "network": {"activations", "checks", "results"},
    "tables": set(),
    "gaussian_averages": {"activations"},
    "mean_field": {"gaussian_averages", "network", "tables"} | ARGUMENTS,
    "residual_mean_field": {"gaussian_averages", "mean_field", "network", "tables"} | ARGUMENTS,
    "ensembles": {"network"} | ARGUMENTS,
    "measures": ARGUMENTS,
    "laws": FOUNDATIONS,
    # Not the laws: samples are there to judge them, and must not share their mistakes.
    "samplers": FOUNDATIONS | {"ensembles", "measures", "progress"},
    "mlp": {"network", "activations", "ensembles", "measures", "rng"},
    "residual_mlp": {"network", "mlp"},
    "losses": set(),
    "optimizers": {"checks"},
    "tasks": {"losses"} | ARGUMENTS,
    "training": {"network", "mlp", "residual_mlp", "losses", "optimizers", "tasks", "progress"} | ARGUMENTS,
    "baseline": {"measures", "progress"} | ARGUMENTS,
    "prediction": FOUNDATIONS | {"measures", "laws", "samplers", "baseline", "progress"},
    "adapters": {"network", "activations", "gaussian_averages", "measures", "baseline", "progress"} | ARGUMENTS,
    "files": {"checks"},
    # The network alone: a point of a sweep may hold one. Sweeps are of any function.
    "experiments": {"network", "whole_files"} | ARGUMENTS,
    "figures": FOUNDATIONS
    | {"ensembles", "measures", "laws", "samplers", "baseline", "mlp", "tasks", "training", "experiments"}
    | {"whole_files"}
    | {"program", "interrupts"},
    # Figures only where one is asked for.
    "reports": {"network", "baseline", "measures", "prediction", "adapters", "figures", "program", "whole_files"}
    | ARGUMENTS,
    "command": {
        "network",
        "files",
        "measures",
        "baseline",
        "prediction",
        "reports",
        "figures",
        "reference",
        "progress",
        "results",
    }
    | {"program", "checks", "interrupts"},
    "reference": {"results"},  # It asks for all else by its name.
    "__main__": {"command", "interrupts"},
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def rooms_imported(path: Path) -> set[str]:
    rooms = set()
    for name in imports_of(path):
        if name.startswith("rmt_vn."):
            first = name.split(".")[1]
            # `from rmt_vn import Network` is an import of the room where Network is defined.
            home = getattr(getattr(rmt_vn, first, None), "__module__", None)
            rooms.add(home.split(".")[1] if home else first)
    return rooms - {room_of(path), "__version__"}


def test_the_order_of_rooms_has_no_cycle():
    built = set()
    while waiting := [room for room in MAY_IMPORT if room not in built]:
        ready = [room for room in waiting if MAY_IMPORT[room] <= built]
        assert ready, f"a cycle among {waiting}"
        built |= set(ready)


@pytest.mark.parametrize("room", sorted({room_of(path) for path in SOURCES} - {"__init__"}))
def test_imports_flow_one_way(room):
    assert room in MAY_IMPORT, f"draw the new room {room!r}: what may it import?"
    for path in SOURCES:
        if room_of(path) == room:
            assert rooms_imported(path) <= MAY_IMPORT[room], path.relative_to(PACKAGE)


def test_modules_load_when_they_are_touched():
    code = (
        "import sys, rmt_vn\n"
        "loaded = lambda: {name for name in sys.modules if name.startswith('rmt_vn.') or name == 'numpy'}\n"
        "assert loaded() == set(), loaded()\n"
        "rmt_vn.Network\n"
        "assert 'numpy' in loaded() and 'rmt_vn.laws' not in loaded()\n"
        "assert set(rmt_vn.__all__) < set(dir(rmt_vn))\n"
        "assert all(hasattr(rmt_vn, name) for name in rmt_vn.__all__) and not hasattr(rmt_vn, 'wacth')\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True)


# --- randomness -------------------------------------------------------------------------------------------------------

EXPLICIT = {"default_rng", "Generator", "SeedSequence", "BitGenerator", "PCG64", "PCG64DXSM", "Philox", "SFC64"}


def global_randomness(source: str) -> list[str]:
    """Uses of numpy's or Python's global random state."""
    attributes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    used = [ast.unparse(node) for node in attributes if ast.unparse(node.value) in ("np.random", "numpy.random")]
    used += [name for name in imports(source, "package") if name.startswith("numpy.random.") or top(name) == "random"]
    return [name for name in used if top(name) == "random" or name.split(".")[2] not in EXPLICIT]


def test_no_global_random_state():
    seen = global_randomness(
        "import random\nfrom numpy.random import rand\nnp.random.seed(0)\nnp.random.default_rng(0)"
    )
    assert sorted(seen) == ["np.random.seed", "numpy.random.rand", "random"]
    # A fingerprint must know such generators, to refuse them or to leave them out.
    known = {"fingerprint.py": ["np.random.RandomState", "np.random.RandomState", "random"]}
    for path in SOURCES:
        assert global_randomness(path.read_text()) == known.get(path.name, []), path


# --- documentation ----------------------------------------------------------------------------------------------------


def public(module) -> dict[str, object]:
    return {
        f"{module.__name__}.{name}": thing
        for name, thing in inspect.getmembers(module, lambda x: inspect.isfunction(x) or inspect.isclass(x))
        if not name.startswith("_") and thing.__module__.startswith(module.__name__)
    }


STATEMENTS = {
    f"{module.__name__}.{name}": getattr(module, name) for module in (laws, samplers) for name in module.__all__
}
DOCUMENTED = (
    STATEMENTS
    | public(measures)
    | public(gaussian_averages)
    | public(mean_field)
    | public(residual_mean_field)
    | public(residual_mlp)
    | public(ensembles)
    | public(mlp)
    | public(optimizers)
    | public(tasks)
    | public(training)
    | public(prediction)
    | public(adapters)
    | public(baseline)
    | public(reports)
    | public(files)
    | {"Network": rmt_vn.Network, "ResidualNetwork": rmt_vn.ResidualNetwork, "Activation": rmt_vn.Activation}
)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_public_is_documented(name):
    doc = inspect.getdoc(DOCUMENTED[name])
    assert doc
    # A dataclass without a docstring is given its signature for one.
    assert not doc.startswith(f"{DOCUMENTED[name].__name__}(")


@pytest.mark.parametrize("module", [laws, samplers], ids=lambda module: module.__name__)
def test_all_that_is_exported_exists_once(module):
    assert sorted(set(module.__all__)) == list(module.__all__)
    assert set(module.__all__) <= set(vars(module))


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_modules_say_what_they_are_and_their_examples_run(path):
    if path.name == "__main__.py":
        # Importing it would run the command line.
        assert ast.get_docstring(ast.parse(path.read_text()))
        return
    module = importlib.import_module(module_name(path))
    assert module.__doc__
    assert doctest.testmod(module).failed == 0


def test_the_examples_are_found():
    assert doctest.testmod(rmt_vn).attempted > 0


def test_types_are_published():
    assert (PACKAGE / "py.typed").is_file()
