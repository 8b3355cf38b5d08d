"""The platform makes the bare loop's trades, one by one: an oracle written apart from it."""

from __future__ import annotations

import numpy as np
import pytest

from bench import rules
from bench.bare_loop import BareLoop
from bench.bars import minute_bars
from bench.own_sweep import SweepJob


@pytest.fixture(scope="module")
def specification(tmp_path_factory):
    path = tmp_path_factory.mktemp("bars") / "bars.npy"
    np.save(path, minute_bars(12_000))
    return rules.specification(str(path), rules.parameter_sets()[::40])


def test_sweep_makes_the_same_trades_as_the_bare_loop(specification):
    bare, platform = BareLoop(specification), SweepJob(specification)
    expected = bare.arrays(bare.run())
    result = platform.run()
    found = platform.arrays(result)
    assert len(expected["set"]) > 100
    assert rules.share_identical(found, expected) == 1.0
    # The loop marks an open position to the last close, as rule 13 does.
    np.testing.assert_allclose(result.headers["last_equity"], expected["final_cash"], rtol=1e-9)
