"""The one way in which this package compiles its kernels.

`kernel` is numba's njit with the cache on, the GIL released (so that sweeps
run on threads) and IEEE division, without any reordering of arithmetic: batch,
step and live must give the same bits. `inner_kernel` leaves out the wrapper
that Python would call it through, which takes longer to compile than most
kernels; it is for those that only kernels call.
"""

from numba import njit

kernel = njit(cache=True, nogil=True, error_model="numpy")
inner_kernel = njit(
    cache=True,
    nogil=True,
    error_model="numpy",
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)
