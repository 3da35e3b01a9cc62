"""Numbers of things in words."""


def things(number: object, one: str, several: str | None = None) -> str:
    """`image` or `images`, `class` or `classes`; several: where it is more than an ending (`images are`)."""
    return one if number == 1 else several or f"{one}{'es' if one.endswith('s') else 's'}"


def counted(number: int, one: str, several: str | None = None) -> str:
    """`1 image`, `2 images`, `1,000 classes`."""
    return f"{number:,} {things(number, one, several)}"
