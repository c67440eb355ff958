"""Workshop: variational autoencoders on JAX and Flax NNX."""

__version__ = "0.1.0"
