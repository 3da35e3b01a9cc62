"""Which files count as large: kept by SHA-256 and uploaded apart from the commit."""

_SUFFIXES = (
    *(".7z", ".arrow", ".avif", ".bin", ".bz2", ".ckpt", ".flac", ".ftz", ".gif", ".gz", ".h5", ".jpeg", ".jpg"),
    *(
        ".joblib",
        ".lz4",
        ".mp3",
        ".mp4",
        ".msgpack",
        ".npy",
        ".npz",
        ".onnx",
        ".ot",
        ".parquet",
        ".pb",
        ".pdf",
        ".pickle",
    ),
    *(".pkl", ".png", ".pt", ".pth", ".rar", ".safetensors", ".tar", ".tflite", ".tgz", ".wav", ".webp", ".xz", ".zip"),
    *(".zst",),
)
_MOST_REGULAR = 1 << 20

GIT_ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in _SUFFIXES).encode()


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether a file goes by the large-file way: by its ending, over 1 MiB, or not text (`sample`: its first bytes)."""
    return path.lower().endswith(_SUFFIXES) or size > _MOST_REGULAR or b"\0" in sample
