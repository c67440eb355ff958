"""Numbers about trained models: arrays or callables in, numbers out."""
