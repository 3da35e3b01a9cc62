"""CPU properties as reported by the operating system; empty if unknown."""

import platform


def cpu_name() -> str:
    """Return the CPU's name."""
    return _said("model name") or platform.processor() or platform.machine()


def cpu_features() -> frozenset[str]:
    """Return the available instruction sets, in Linux's spelling."""
    return frozenset((_said("flags") or _said("Features")).split())


def _said(what: str) -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.split(":", 1)[0].strip() == what), "")
    except OSError:
        return ""
