"""What the operating system says of the processor; empty where it does not say."""

import platform


def cpu_name() -> str:
    """The processor's name."""
    return _said("model name") or platform.processor() or platform.machine()


def cpu_features() -> frozenset[str]:
    """Names of the instruction sets that programs may use, in Linux's spelling."""
    return frozenset((_said("flags") or _said("Features")).split())


def _said(what: str) -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.split(":", 1)[0].strip() == what), "")
    except OSError:
        return ""
