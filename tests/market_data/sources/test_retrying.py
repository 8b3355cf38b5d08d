"""When a vendor is asked again, and how long is waited before."""

from __future__ import annotations

import pytest

from market_data.sources.retrying import (
    Retrying,
    RetryPolicy,
    VendorRefused,
    VendorUnavailable,
    failure_of_status,
    retry_after_s,
)
from tests.market_data.sources.making import moment

NOW = moment("2024-03-20T12:00")


def failing(*errors):
    """Return a callable that raises each error in turn and then answers."""
    left = list(errors)

    def ask():
        if left:
            raise left.pop(0)
        return "answer"

    return ask


def test_waits_double_between_their_half_and_themselves():
    waits = []
    ask = failing(*[VendorUnavailable("busy")] * 5)
    assert Retrying(sleep=waits.append).call(ask) == "answer"
    assert len(waits) == 5
    for n, wait in enumerate(waits):
        assert 2**n / 2 <= wait <= 2**n


def test_the_same_seed_waits_the_same_and_another_does_not():
    def waits(seed):
        found = []
        policy = RetryPolicy(seed=seed)
        Retrying(policy, sleep=found.append).call(failing(*[VendorUnavailable("busy")] * 3))
        return found

    assert waits(1) == waits(1)
    assert waits(1) != waits(2)


def test_a_vendor_that_asks_for_patience_gets_it():
    waits = []
    ask = failing(VendorUnavailable("busy", retry_after_s=17.0))
    Retrying(sleep=waits.append).call(ask)
    assert waits == [17.0]


def test_more_patience_than_allowed_ends_without_waiting():
    waits = []
    with pytest.raises(VendorUnavailable, match="after 3600 s of waiting, more than 300 s"):
        Retrying(sleep=waits.append).call(failing(VendorUnavailable("busy", retry_after_s=3600)))
    assert waits == []


def test_the_last_try_says_how_often_it_was_tried():
    waits = []
    policy = RetryPolicy(tries_max=3)
    with pytest.raises(VendorUnavailable, match="busy, after 3 tries"):
        Retrying(policy, sleep=waits.append).call(failing(*[VendorUnavailable("busy")] * 9))
    assert len(waits) == 2


def test_a_refusal_is_not_tried_again():
    waits = []
    with pytest.raises(VendorRefused, match="no such symbol"):
        Retrying(sleep=waits.append).call(failing(VendorRefused("no such symbol")))
    assert waits == []


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "30"}, 30.0),
        ({"retry-after": "Wed, 20 Mar 2024 12:01:30 GMT"}, 90.0),
        ({"Retry-After": "Wed, 20 Mar 2024 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        # 2024-03-20 12:00:45 UTC as an epoch second.
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) + 45)}, 45.0),
        ({}, None),
    ],
)
def test_headers_say_how_long_to_wait(headers, expected):
    assert retry_after_s(headers, NOW) == expected


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, VendorUnavailable), (500, VendorUnavailable), (503, VendorUnavailable),
     (408, VendorUnavailable), (400, VendorRefused), (404, VendorRefused), (422, VendorRefused)],
)  # fmt: skip
def test_a_status_is_worth_another_try_or_not(status, kind):
    assert type(failure_of_status("v", status, "words", {}, NOW)) is kind


def test_an_answer_is_no_failure():
    assert failure_of_status("v", 200, "", {}, NOW) is None
