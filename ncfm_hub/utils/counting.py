"""Format counts of things."""


def things(number: object, one: str, several: str | None = None) -> str:
    """Return the singular or plural of a noun, such as `image` or `classes`.

    several: the plural if it is not regular (`images are`)
    """
    return one if number == 1 else several or f"{one}{'es' if one.endswith('s') else 's'}"


def counted(number: int, one: str, several: str | None = None) -> str:
    """Format a count, such as `1 image`, `2 images`, `1,000 classes`."""
    return f"{number:,} {things(number, one, several)}"


def byte_count(number: int) -> str:
    """Format a number of bytes, such as `812 bytes`, `5.1 kB`, `1,234.5 MB`."""
    if number < 1000:
        return counted(number, "byte")
    return f"{number / 1e3:.1f} kB" if number < 999_950 else f"{number / 1e6:,.1f} MB"
