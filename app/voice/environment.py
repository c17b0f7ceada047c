"""
What is set in an engine process's environment: libraries read these before Python starts.

`benchmarks/environment.py` measures each again; only those that pay stand here.
"""

WHISPER = {
    "lean": {
        "CT2_PACKED_GEMM": "0",
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "2",
        "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(4 << 20),
    },
    "fast": {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "2"},
}
