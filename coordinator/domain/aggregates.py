"""What an aggregate is."""


class Aggregate:
    """A thing with an identity that the vault keeps: frozen, replaced as a whole, stored by its `id`."""

    __slots__ = ()

    id: str
