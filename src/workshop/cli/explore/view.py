"""Where one person is: the example that they chose, the point they look at, and the class."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int, UInt8

from workshop.cli.explore.examples import Example
from workshop.cli.explore.pictures import paint
from workshop.cli.explore.session import Session

_Listener = Callable[[], object]


class View:
    """The state of one page, with callbacks for when it changes.

    Attributes:
        example: the chosen one.
        z: (d,) the point in the latent space.
        codes: the codes of that point, if the model has codes.
        y: the class that the model decodes with, if it reads classes.
        on_point: called when z, codes or y change.
        on_example: called when another example is chosen.
    """

    def __init__(self, session: Session):
        self.session = session
        self.on_point: list[_Listener] = []
        self.on_example: list[_Listener] = []
        self.y: int | None = None
        self.codes: np.ndarray | None = None
        self.choose(session.example(0))

    # The example.

    def choose(self, example: Example) -> None:
        """Choose an example, and go to its point."""
        self.example = example
        self.to_example()
        _tell(self.on_example)

    # The point.

    def to_example(self) -> None:
        """Go to the point of the chosen example, and to its class."""
        if self.session.conditional:
            self.y = self.example.label
        self.move(self.session.encode(self.example))

    def move(self, z: Float[np.ndarray, " d"]) -> None:
        """Go to a point; a model with codes goes to the nearest one that has some."""
        if self.session.discrete:
            self.set_codes(self.session.codes_of(z))
            return
        self.z = np.asarray(z, np.float32)
        _tell(self.on_point)

    def set_codes(self, codes: Int[np.ndarray, "..."]) -> None:
        """Go to where codes are."""
        self.codes, self.z = codes, self.session.encoding_of(codes)
        _tell(self.on_point)

    def with_code(self, place: int, code: int) -> Int[np.ndarray, "..."]:
        """Return the codes with another one at a place, an index into the flattened codes."""
        size = self.session.num_codes
        if self.codes is None or not 0 <= code < size:
            raise ValueError(f"code {code}: expected 0 <= code < {size}")
        codes = self.codes.copy()
        codes.reshape(-1)[place] = code
        return codes

    def set_latent(self, dim: int, value: float) -> None:
        """Set one latent."""
        z = self.z.copy()
        z[dim] = value
        self.move(z)

    def set_class(self, y: int | None) -> None:
        """Ask for another class at the same point."""
        self.y = y
        _tell(self.on_point)

    def to_random(self, seed: int) -> None:
        """Go to a point of the prior."""
        if self.session.discrete:
            self.set_codes(self.session.random_codes(seed, self.y))
        else:
            self.move(self.session.random(seed))

    # What is to be seen.

    def picture(self) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture of the point."""
        if self.codes is not None:
            made = self.session.decode_codes(self.codes[None])
        else:
            made = self.session.decode(self.z[None], self.y)
        return paint(made, self.session.scale)[0]

    def example_picture(self) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture of the chosen example."""
        return paint(self.example.x[None], self.session.scale)[0]


def _tell(listeners: list[_Listener]) -> None:
    for listener in listeners:
        listener()
