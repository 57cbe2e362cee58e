"""A result's key: it changes with all that the result depends on, and with nothing else."""

import copy
import random
import subprocess
import sys
import threading
import types
from functools import partial

import numpy as np
import pytest
from scipy import stats

from rmt_vn import Activation, Network, figures
from rmt_vn.experiments.fingerprint import fingerprint
from rmt_vn.samplers import sample_vni

STUDY = '''
"""A study."""
import math
import numpy as np
from dataclasses import dataclass
from functools import cached_property, partial

SCALE = 2.0
TABLE = {"a": lambda x: x + 1, "b": lambda x: x - 1}

@dataclass(frozen=True)
class Model:
    size: int = 3

    @property
    def area(self):
        return self.size**2

    @cached_property
    def volume(self):
        return self.size**3

    @staticmethod
    def zero():
        return 0.5

def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(n - 1)

def helper(x, power=2):
    return x**power * SCALE

def chosen(x):
    return x in {"one", "two", "three", "four"}

def below(x):
    return x * 1.75

@np.errstate(over="ignore")
def quiet(x):
    return below(x) - 0.125

def sample(x, *, rng):
    """What it does."""
    inner = lambda y: helper(y) + 1.5
    return [inner(z) + math.pi + np.sum(z) for z in x] + [Model(4).area, TABLE["a"](1), even(3), chosen(x), quiet(3)]

def unrelated(x):
    return 7
'''


def study(*changes):
    source = STUDY
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    module = types.ModuleType("study")
    # A dataclass looks its module up by name.
    sys.modules["study"] = module
    try:
        exec(source, vars(module))
    finally:
        del sys.modules["study"]
    return module


ORIGINAL = fingerprint(study().sample)


@pytest.mark.parametrize(
    "change",
    [
        ("+ 1.5", "+ 1.25"),  # a constant of the function inside
        ("np.sum(z)", "np.prod(z)"),
        ("x**power * SCALE", "x**power / SCALE"),  # a function that it calls
        ("power=2", "power=3"),  # its default
        ("SCALE = 2.0", "SCALE = 2.5"),  # a constant two calls away
        ("self.size**2", "self.size**4"),  # a property of a class
        ("self.size**3", "self.size**5"),
        ("return 0.5", "return 0.25"),
        ("size: int = 3", "size: int = 4"),
        ("x + 1,", "x + 2,"),  # a function in a table
        ("n != 0 and", "n != 1 and"),  # one of two that call each other
        ('"four"', '"five"'),  # an element of a constant set
        ("- 0.125", "- 0.25"),  # a function that a decorator of numpy wraps
        ("1.75", "1.25"),  # one that it calls
        ('over="ignore"', 'over="raise"'),  # what the decorator was given
    ],
)
def test_a_change_of_what_may_run_is_seen(change):
    assert fingerprint(study(change).sample) != ORIGINAL


@pytest.mark.parametrize(
    "change",
    [
        ("return 7", "return 8"),
        ("What it does.", "What it really does."),
        ("SCALE = 2.0", "# a comment\n\n\nSCALE = 2.0"),
        ('"""A study."""', '"""Another title."""'),
    ],
)
def test_a_change_of_words_is_not(change):
    assert fingerprint(study(change).sample) == ORIGINAL


def test_both_of_two_functions_that_call_each_other_count_whoever_was_asked_first():
    changed = ("n == 0 or", "n == 1 or")
    for first in ("even", "odd"):
        memo, changed_memo = {}, {}
        one, other = study(), study(changed)
        fingerprint(getattr(one, first), memo), fingerprint(getattr(other, first), changed_memo)
        for name in ("even", "odd"):
            assert fingerprint(getattr(one, name), memo) == fingerprint(getattr(study(), name))
            assert fingerprint(getattr(one, name), memo) != fingerprint(getattr(other, name), changed_memo)


def test_functions_of_modules_that_are_reached_through_a_name(monkeypatch):
    from rmt_vn import measures
    from rmt_vn.figures.claims import scaling_collapse

    before = fingerprint(scaling_collapse.mean_square_correlation)
    monkeypatch.setattr(measures, "jacobian_vni", lambda rows: rows.sum())
    assert fingerprint(scaling_collapse.mean_square_correlation) != before


def test_drawing_does_not_count(monkeypatch):
    from rmt_vn.figures.claims import scaling_collapse

    before = fingerprint(scaling_collapse.mean_square_correlation)
    monkeypatch.setattr(scaling_collapse, "draw", lambda tables: None)
    assert fingerprint(scaling_collapse.mean_square_correlation) == before


def _closure(value):
    def inner():
        return value

    return inner


def _of(phi):
    return Network((3, 3), activation=Activation(phi, np.ones_like, name="mine"))


DIFFERENT = [
    0, 1, 1.0, True, -0.0, "1", b"1", None, (1,), [1], {"a": 1}, {"a": 2}, {1}, float("nan"), np.float32(1),
    np.array([1.0, 2.0]), np.array([1.0, 3.0]), np.array([[1.0, 2.0]]), np.array([1, 2]),
    np.random.SeedSequence(1), np.random.SeedSequence(2), np.random.SeedSequence(1, spawn_key=(1,)),
    np.sin, np.cos, np.sum, np.mean, max, min,
    partial(max, 1), partial(max, 2), partial(max, key=abs), _closure(1), _closure(2), "text".upper, "other".upper,
    Network((3, 3)), Network((3, 4)), Network((3, 3), sigma_w=2.0), Network((3, 3), activation="relu"),
    _of(np.tanh), _of(np.sin), _of(lambda x: x**3), _of(lambda x: x**5),
    ("a", ("b", "c")), ("a", "b", "c"), (("a", "b"), "c"), ("a\0b",), ("a", "b"),
]  # fmt: skip


def test_different_things_have_different_fingerprints():
    prints = [fingerprint(thing) for thing in DIFFERENT]
    assert len(set(prints)) == len(prints)


def test_equal_things_have_equal_fingerprints():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(np.arange(6).reshape(2, 3)) == fingerprint(np.arange(6).reshape(2, 3).copy(order="F").copy("C"))
    network = Network((3, 3))
    before = fingerprint(network)
    network.activation.is_odd  # noqa: B018  (a cached property, which leaves a trace in the object)
    assert fingerprint(network) == before


def _p_value(score):
    return stats.norm.sf(score)


def _fingerprints():
    drawing = [figures.load(name).draw for name in figures.NAMES]
    return [fingerprint(thing) for thing in (sample_vni, DIFFERENT[:20], _p_value, stats.norm(1, 2), *drawing)]


@pytest.mark.slow
def test_the_same_in_every_process():
    code = (
        "import sys; sys.path.insert(0, 'tests'); import test_fingerprint as t; print(t.ORIGINAL, *t._fingerprints())"
    )
    here = f"{ORIGINAL} {' '.join(_fingerprints())}"
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == here.split()


def test_of_what_pickle_cannot_take_apart_the_class_counts(tmp_path):
    with (tmp_path / "file").open("w") as file, (tmp_path / "other").open("w") as other:
        assert fingerprint({"file": file}) == fingerprint({"file": other}) != fingerprint({"file": threading.Lock()})


def test_the_equations_of_two_functions_are_told_apart():
    # What is the same but for what a closure holds, and what is the same but for its place.
    one, other = _closure(1), _closure(2)
    lists = [[one, one], [one, other], [other, one], [one, other, one], [one, other, other], [[one], other]]
    assert len({fingerprint(each) for each in lists}) == len(lists)
    swapped = ('{"a": lambda x: x + 1, "b": lambda x: x - 1}', '{"b": lambda x: x + 1, "a": lambda x: x - 1}')
    assert fingerprint(study(swapped).sample) != ORIGINAL


class Node:
    """One of several that point at each other."""

    def __init__(self, *others):
        self.others = list(others)


def test_what_points_at_itself_is_described():
    def ring(chord):
        first, second, third = nodes = Node(), Node(), Node()
        first.others += [second, third]
        second.others += [third, nodes[chord]]
        third.others += [first]
        return first

    assert fingerprint(ring(0)) == fingerprint(ring(0))
    assert len({fingerprint(ring(chord)) for chord in range(3)}) == 3
    # Each of 40 nodes points at all: to follow every way through them would never end.
    nodes = [Node() for _ in range(40)]
    for node in nodes:
        node.others += nodes
    before = fingerprint(nodes)
    nodes[-1].others.pop()
    assert fingerprint(nodes) != before
    itself = []
    itself.append(itself)
    assert fingerprint(itself) != fingerprint([itself])


def test_equal_objects_need_not_be_the_same_object():
    one, other = [1, 2], [1, 2]
    assert fingerprint([one, one]) == fingerprint([one, other])


def test_a_map_of_a_file_is_the_array_that_it_holds(tmp_path):
    # joblib sends an array of more than a megabyte to its workers as such a map.
    np.save(tmp_path / "array.npy", np.arange(3.0))
    assert fingerprint(np.load(tmp_path / "array.npy", mmap_mode="r")) == fingerprint(np.arange(3.0))


def test_of_a_tensor_its_numbers_count():
    torch = pytest.importorskip("torch")
    things = [torch.arange(3.0), torch.arange(3), torch.arange(4.0), torch.ones(2, 2), torch.ones(4), torch.tensor(1.0)]
    things += [torch.ones(2, dtype=torch.bfloat16), torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), torch.ones(2) + 1j]
    prints = [fingerprint(thing) for thing in things]
    assert len(set(prints)) == len(prints)
    assert [fingerprint(thing) for thing in copy.deepcopy(things)] == prints
    assert fingerprint(torch.ones(4, 2).T) == fingerprint(torch.ones(2, 4))


class Seeded:
    def __init__(self, random_state):
        self._random_state = random_state


def test_of_random_states_the_seed_counts_and_a_generator_is_refused():
    assert fingerprint(Seeded(1)) != fingerprint(Seeded(2))
    law = stats.norm(1, 2)
    law.random_state = np.random.default_rng(0)
    with pytest.raises(TypeError, match="random generator"):
        fingerprint(law)


def _deep():
    inner = []
    for _ in range(100_000):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (np.random.default_rng(0), "random generator .*Generator; draw from the argument rng"),
        (np.random.RandomState(0), "random generator .*RandomState; draw from the argument rng"),
        (random.Random(0), "random generator .*Random; draw from the argument rng"),
        (random.gauss, "random generator .*Random; draw from the argument rng"),
        (np.random.default_rng(0).normal, "random generator .*Generator; draw from the argument rng"),
        (np.frompyfunc(_closure, 1, 1), "_closure.* by numpy.frompyfunc cannot be seen; take numpy.vectorize"),
        (_deep(), "nested so deeply"),
    ],
    ids=["Generator", "RandomState", "Random", "of random", "method", "frompyfunc", "deep"],
)
def test_what_no_digest_could_stand_for_is_refused_in_one_line(thing, message):
    with pytest.raises(TypeError, match=message) as error:
        fingerprint([thing])
    assert "\n" not in str(error.value)
