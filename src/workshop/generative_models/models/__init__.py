"""Models; importing this package makes them known by name."""

from workshop.generative_models.models import vae as vae
