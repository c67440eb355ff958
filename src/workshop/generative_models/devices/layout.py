"""How arrays lie on several devices: examples split among them, parameters whole or split too."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "data"


class Layout(NamedTuple):
    """Where each array of a training state and of a batch lies.

    Attributes:
        mesh: all devices of all processes, in one row.
        full: split parameters and the optimizer's state as well, each array along its largest axis
            that the number of devices divides.
    """

    mesh: Mesh
    full: bool

    def of(self, shape: tuple[int, ...]) -> NamedSharding:
        """Return the sharding of an array of the state."""
        axes = [i for i, size in enumerate(shape) if size % self.mesh.size == 0 and size]
        if not (self.full and axes):
            return self.whole
        longest = max(axes, key=lambda i: shape[i])
        return NamedSharding(self.mesh, PartitionSpec(*[None] * longest, AXIS))

    @property
    def whole(self) -> NamedSharding:
        """The sharding of an array that every device holds a copy of."""
        return NamedSharding(self.mesh, PartitionSpec())

    def place(self, tree: Any) -> Any:
        """Put the state's arrays, equal in all processes, where they belong."""
        return jax.tree.map(lambda a: self.put(a, self.of(np.shape(a))), tree)

    def put(self, array: Any, sharding: NamedSharding) -> jax.Array:
        """Put an array that every process has whole onto the devices."""
        if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            data = self.put(jax.random.key_data(array), self.whole)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
        host = np.asarray(array)
        # Copied, so that a donated array never shares memory with the caller's.
        return jax.make_array_from_callback(host.shape, sharding, lambda i: host[i].copy())

    def gather(self, tree: Any) -> Any:
        """Return the arrays whole on this process's first device."""
        whole = jax.jit(lambda t: t, out_shardings=self.whole)(tree)
        return jax.tree.map(lambda a: a.addressable_data(0), whole)

    def constrain(self, tree: Any) -> Any:
        """Say to the compiler, inside a program, where the state's arrays lie."""
        return jax.tree.map(lambda a: jax.lax.with_sharding_constraint(a, self.of(a.shape)), tree)

    def split(self, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Say to the compiler that the examples of a batch are split, if they can be evenly."""
        return {
            name: a
            if len(a) % self.mesh.size
            else jax.lax.with_sharding_constraint(a, NamedSharding(self.mesh, PartitionSpec(AXIS)))
            for name, a in batch.items()
        }


def choose(devices: str, batch_size: int) -> Layout | None:
    """Return the layout over all devices of all processes; None for devices="one".

    "data" splits examples over all devices; "full" splits parameters and the optimizer's state too.

    Raises:
        ValueError: if a batch cannot be split evenly.
    """
    if devices == "one":
        if jax.process_count() > 1:
            raise ValueError(
                f"devices='one' with {jax.process_count()} processes: choose 'data' or 'full'"
            )
        return None
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    if batch_size % mesh.size:
        raise ValueError(
            f"batch_size={batch_size}: expected a multiple of the {mesh.size} devices "
            f"(devices={devices!r})"
        )
    return Layout(mesh, devices == "full")
