"""What rounding explains is no life: networks in 32- and 16-bit numbers against the same in float64."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from rmt_vn.measures import VNIAccumulator, correlation, vni
from rmt_vn.measures.rounding import range_by_rounding, unit_roundoff

PHI = {"relu": lambda h: np.maximum(h, 0), "tanh": np.tanh}


def to_bfloat16(x):
    """The nearest of the numbers with eight bits, as float32: half of what is cut off is added first."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


AS = {"float64": lambda x: x, "float32": lambda x: x.astype(np.float32), "bfloat16": to_bfloat16}


def layers(activation, precision, width=96, depth=36, inputs=None):
    """Pre-activations and activations of a network that is initialized as PyTorch's linear modules are by default."""
    rng, rounded = np.random.default_rng(1), AS[precision]
    x = rounded(load_digits().data[:300] / 16 if inputs is None else inputs)
    for _ in range(depth):
        bound = x.shape[1] ** -0.5
        w, b = rng.uniform(-bound, bound, (x.shape[1], width)), rng.uniform(-bound, bound, width)
        h = rounded(rounded(x) @ rounded(w) + rounded(b))
        x = PHI[activation](h)
        yield h
        yield x


def measured(x, precision):
    """The result, or None where all nodes are constant."""
    try:
        return vni(x, precision=precision)
    except ValueError as error:
        assert "constant over the samples" in str(error)
        return None


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("activation", list(PHI))
def test_what_is_shown_without_a_caveat_is_true(activation, precision):
    """92% at least hold the value of float64; with what these numbers themselves would be told to be, far fewer do."""
    held, unaware, sure, gone = [], [], 0, 0
    for exact, x in zip(layers(activation, "float64"), layers(activation, precision), strict=True):
        truth, result = measured(exact, None), measured(x, precision)
        if truth is None or np.ptp(x, axis=0).max() == 0:
            continue
        low, high = vni(x.astype(np.float64)).confidence_interval()
        unaware.append(low <= truth.value <= high)
        if result is None or result.caveats:
            gone += 1
            continue
        sure += 1
        low, high = result.confidence_interval()
        held.append(low <= truth.value <= high)
    assert np.mean(held) >= 0.92 and sure >= 5 and gone >= 10
    # The negative control: as if all digits were true.
    assert np.mean(unaware) < 0.8


def test_a_deep_relu_network_in_float32():
    """Float64 has five effective nodes where the numbers of float32, taken at their word, have a hundred."""
    exact, single = (list(layers("relu", each, width=256, depth=25))[-2] for each in ("float64", "float32"))
    assert vni(exact).effective_nodes < 8
    assert vni(single.astype(np.float64)).effective_nodes > 60
    assert measured(single, None) is None or measured(single, None).caveats


def test_the_unit_of_a_precision():
    assert unit_roundoff(None, np.dtype("float32")) == unit_roundoff("float32", np.dtype("float64")) == 2.0**-24
    assert (
        unit_roundoff(np.float16, np.dtype("float64")) == 2.0**-11
        and unit_roundoff("bfloat16", np.dtype("f4")) == 2.0**-9
    )
    assert unit_roundoff(None, np.dtype("int64")) == unit_roundoff(None, np.dtype(bool)) == 0
    assert unit_roundoff(2.0**-4, np.dtype("f8")) == 2.0**-4
    for wrong in ("float8", "int32", 32, 2.0, -0.1, float("nan"), object()):
        with pytest.raises(ValueError, match="precision must be 'float64', 'float32'"):
            unit_roundoff(wrong, np.dtype("f8"))


def test_what_stands_beside_larger_numbers_is_not_rounded_with_them():
    # A table of lengths in kilometres and masses in micrograms is no layer.
    limits = range_by_rounding(np.array([1e9, 1e-3, 5e8]), 2.0**-53)
    assert limits[1] == pytest.approx(16 * 2.0**-53 * 1e-3) and limits[0] == limits[2] > 1e-8
    x = np.random.default_rng(2).standard_normal((40, 3)) * [1e12, 1e-6, 1.0]
    assert vni(x).constant_nodes == 0
    assert np.all(range_by_rounding(np.array([1e300, 1e-300]), 2.0**-24) < np.inf)


def test_streaming_knows_the_precision_too():
    rng = np.random.default_rng(3)
    x = 5 + 1e-7 * rng.standard_normal((400, 6))
    x[:, :2] += rng.standard_normal((400, 2))
    for batch, precision in ((x.astype(np.float32), None), (x, "float32")):
        layer = VNIAccumulator()
        for part in np.array_split(batch, 5):
            layer.update(part, precision=precision)
        expected = vni(batch, precision=precision)
        few = VNIAccumulator()
        few.update(batch[:60], precision=precision)
        assert few.vni() == vni(batch[:60], precision=precision) and few.vni().constant_nodes == 4
        assert layer.vni().constant_nodes == expected.constant_nodes == 4
        assert layer.vni().caveats == expected.caveats and "4 nodes vary by no more" in expected.caveats[0]
        assert layer.correlation().shape == (2, 2)
    assert correlation(x).shape == (6, 6) and vni(x).caveats == ()
