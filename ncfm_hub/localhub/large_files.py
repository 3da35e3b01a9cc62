"""Which files are large: stored by SHA-256 and uploaded separately from the commit."""

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
    """Return whether a file is stored as a large file: by suffix, above 1 MiB, or binary.

    sample: its first bytes
    """
    return path.lower().endswith(_SUFFIXES) or size > _MOST_REGULAR or b"\0" in sample
