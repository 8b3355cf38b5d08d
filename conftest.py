"""Point numba at the checked-out sources' kernel cache before any test imports it."""

from foundation.home import data_home
from foundation.kernel_cache import use_kernel_cache

use_kernel_cache(data_home())
