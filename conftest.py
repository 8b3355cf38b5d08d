"""Point numba at the checked-out sources' kernel cache before any test imports it.

And let an interrupt interrupt: a shell starts background jobs with it ignored,
which every process that a test starts would inherit.
"""

import signal

from foundation.home import data_home
from foundation.kernel_cache import use_kernel_cache

use_kernel_cache(data_home())
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
