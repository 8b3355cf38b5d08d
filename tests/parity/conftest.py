from __future__ import annotations

from pathlib import Path

import pytest

from market_data.sample_set import load_sample
from market_data.store import Store


@pytest.fixture(scope="session")
def sample_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    home: Path = tmp_path_factory.mktemp("parity")
    store = Store(home)
    load_sample(store)
    return store
