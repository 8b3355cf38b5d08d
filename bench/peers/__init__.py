"""Scripts that run one peer each, in the peer's own environment.

They import the standard library, numpy, the peer and `bench.protocol` only.
The `.txt` beside each script pins the whole environment.
"""
