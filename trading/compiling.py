"""The one way in which this package compiles its kernels.

All release the GIL, so that sweeps run on threads, and divide as IEEE does,
without any reordering of arithmetic: batch, step and live must give the same
bits.

- `kernel` can be called from Python. It does not count references, which would
  cost more than the work: kernels allocate nothing and return no arrays.
- `allocating_kernel` counts them, for the few that make arrays.
- `inner_kernel` is for those that only kernels call: it leaves out the wrapper
  that Python would call it through, which takes longer to compile than most
  kernels.
- `inlined_kernel` is an inner kernel whose code LLVM puts into its caller.
- `spliced_kernel` is one that numba puts there before it compiles: that takes
  less time, but only suits steps that touch no array.

Only kernels that Python calls are kept in the cache, with all that they call in
them: numba tries out each function's cache folder when it is defined, which for
all of them took a tenth of a command's time.

Whether to inline is said for each, since numba hands the caller's flag down to
what it calls: one inlined kernel would inline all that is below it, and
compile for minutes.

State, plan, journal and bar are records: a kernel gets one pointer for each.
"""

from numba import njit

kernel = njit(cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=False)
allocating_kernel = njit(cache=True, nogil=True, error_model="numpy")
inner_kernel = njit(
    nogil=True,
    error_model="numpy",
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
    _nrt=False,
    forceinline=False,
)
inlined_kernel = njit(
    nogil=True,
    error_model="numpy",
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
    _nrt=False,
    forceinline=True,
)
spliced_kernel = njit(nogil=True, inline="always")
