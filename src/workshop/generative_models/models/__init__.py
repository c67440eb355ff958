"""Families of models: encoders, decoders, the VAE and its variants, and how one is saved."""
