"""Format counts of things."""


def things(number: object, one: str, several: str | None = None) -> str:
    """Return the singular or plural of a noun, such as `image` or `classes`.

    several: the plural if it is not regular (`images are`)
    """
    return one if number == 1 else several or f"{one}{'es' if one.endswith('s') else 's'}"


def counted(number: int, one: str, several: str | None = None) -> str:
    """Format a count, such as `1 image`, `2 images`, `1,000 classes`."""
    return f"{number:,} {things(number, one, several)}"
