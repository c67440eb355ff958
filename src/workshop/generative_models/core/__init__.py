"""The pieces every model is made of."""
