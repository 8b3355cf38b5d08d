"""The one way in which this package compiles its kernels.

`kernel` is numba's njit with the cache on, the GIL released (so that sweeps
run on threads) and IEEE division, without any reordering of arithmetic: batch,
step and live must give the same bits.
"""

from numba import njit

kernel = njit(cache=True, nogil=True, error_model="numpy")
