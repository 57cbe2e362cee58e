"""Models of PyTorch and scikit-learn: their activations, measured, and their architecture, as a `Network`.

`watch` measures the layers of a PyTorch model as it runs, `reinitialized` does so for copies with fresh weights, and
`network_of` reads the `Network` that theory needs. `mlp_activations` gives the hidden layers of scikit-learn's MLPs,
`reinitialized_mlp` their null. Neither library is imported until it is used. JAX and Keras need no adapter, since their
activations are arrays: give these to `rmt_vn.measures.vni`, and a function of a seed to `rmt_vn.baseline.baseline`:

    hidden = jax.nn.tanh(x @ w)                                                      # JAX
    hidden = keras.Model(model.inputs, model.get_layer("dense_3").output).predict(x)  # Keras
    measures.vni(hidden)
"""

from rmt_vn.adapters.sklearn_models import mlp_activations, reinitialized_mlp
from rmt_vn.adapters.torch_networks import network_of
from rmt_vn.adapters.torch_reinitialized import reinitialized
from rmt_vn.adapters.torch_watched import Watch
from rmt_vn.adapters.torch_watching import watch

__all__ = ["Watch", "mlp_activations", "network_of", "reinitialized", "reinitialized_mlp", "watch"]
