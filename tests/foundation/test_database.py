"""Transactions: nothing is paid twice, nothing half-done stays."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from foundation.database import make_engine, read_transaction, run_write, write_transaction
from foundation.errors import DatabaseError


def _pay_out(connection: Connection, name: str, amount: int) -> bool:
    balance = connection.scalar(text("SELECT balance FROM account WHERE id = 1"))
    if balance < amount:
        return False
    connection.execute(
        text("UPDATE account SET balance = :b WHERE id = 1"), {"b": balance - amount}
    )
    connection.execute(text("INSERT INTO payout VALUES (:n, :a)"), {"n": name, "a": amount})
    return True


def test_eight_writers_at_once_pay_out_no_more_than_the_balance(account: Engine) -> None:
    start = threading.Barrier(8)

    def pay(name: str) -> bool:
        return run_write(account, lambda connection: _pay_out(connection, name, 7))

    def pay_repeatedly(worker: int) -> int:
        start.wait()
        return sum(pay(f"{worker}-{i}") for i in range(5))

    with ThreadPoolExecutor(8) as pool:
        n_paid = sum(pool.map(pay_repeatedly, range(8)))
    with read_transaction(account) as connection:
        balance = connection.scalar(text("SELECT balance FROM account"))
        paid = connection.scalar(text("SELECT sum(amount) FROM payout"))
    # 100 is 14 times 7 and a rest of 2.
    assert (n_paid, balance, paid) == (14, 2, 98)


def test_two_processes_that_write_at_once_lose_no_update(account: Engine) -> None:
    program = (
        "import sys; from sqlalchemy import text; from foundation.database import *\n"
        "engine = make_engine(sys.argv[1])\n"
        "def add(c):\n"
        "    b = c.scalar(text('SELECT balance FROM account'))\n"
        "    c.execute(text('UPDATE account SET balance = :b'), {'b': b + 1})\n"
        "for _ in range(25): run_write(engine, add)\n"
    )
    url = account.url.render_as_string(hide_password=False)
    writers = [subprocess.Popen([sys.executable, "-c", program, url]) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with read_transaction(account) as connection:
        assert connection.scalar(text("SELECT balance FROM account")) == 150


def test_error_in_the_block_rolls_everything_back(account: Engine) -> None:
    def fail_after_paying(connection: Connection) -> None:
        assert _pay_out(connection, "a", 60)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_write(account, fail_after_paying)
    with read_transaction(account) as connection:
        assert connection.scalar(text("SELECT balance FROM account")) == 100
        assert connection.scalar(text("SELECT count(*) FROM payout")) == 0


def test_reader_sees_one_state_while_another_commits(account: Engine) -> None:
    with read_transaction(account) as reader:
        before = reader.scalar(text("SELECT balance FROM account"))
        with write_transaction(account) as writer:
            _pay_out(writer, "a", 60)
        assert reader.scalar(text("SELECT balance FROM account")) == before == 100
    with read_transaction(account) as reader:
        assert reader.scalar(text("SELECT balance FROM account")) == 40


def test_reading_transaction_can_not_write(account: Engine) -> None:
    with pytest.raises(Exception, match=r"readonly|read-only"), read_transaction(account) as reader:
        reader.execute(text("UPDATE account SET balance = 0"))
    # The connection goes back to the pool and must be able to write again.
    with write_transaction(account) as writer:
        assert writer.execute(text("UPDATE account SET balance = 1")).rowcount == 1


def test_violated_constraint_stays_an_integrity_error(account: Engine) -> None:
    with pytest.raises(IntegrityError), write_transaction(account) as connection:
        connection.execute(text("INSERT INTO account VALUES (1, 5)"))


def test_sqlite_is_set_up_to_survive_a_power_cut_and_to_check_references(
    sqlite_engine: Engine,
) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "recursive_triggers": 1}
    with read_transaction(sqlite_engine) as connection:
        seen = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}
    assert seen == wanted


def test_writer_killed_in_the_middle_leaves_the_database_as_it_was(account: Engine) -> None:
    program = (
        "import os, signal, sys; from sqlalchemy import text; from foundation.database import *\n"
        "with write_transaction(make_engine(sys.argv[1])) as c:\n"
        "    c.execute(text('UPDATE account SET balance = 0'))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    url = account.url.render_as_string(hide_password=False)
    killed = subprocess.run([sys.executable, "-c", program, url], check=False)
    assert killed.returncode == -signal.SIGKILL
    with write_transaction(account) as connection:
        assert connection.scalar(text("SELECT balance FROM account")) == 100


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("mysql://host/db", "sqlite or postgresql"),
        ("no url at all", "can't be read"),
    ],
)
def test_url_of_another_kind_is_refused(url: str, reason: str) -> None:
    with pytest.raises(DatabaseError, match=reason):
        make_engine(url)


def test_unreachable_server_is_named_without_its_password() -> None:
    # Port 1 is privileged and unused: the connection is refused at once.
    engine = make_engine("postgresql+psycopg://someone:hunter2@127.0.0.1:1/books")
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1:1/books can't be used") as caught:
        run_write(engine, lambda connection: None)
    assert "hunter2" not in str(caught.value)


def test_file_that_is_no_database_gets_one_line(tmp_path: Path) -> None:
    path = tmp_path / "quarterdeck.sqlite"
    path.write_bytes(b"symbol,close\nAAPL,1\n" * 400)
    with pytest.raises(DatabaseError, match="not a database") as caught:
        run_write(make_engine(f"sqlite:///{path}"), lambda connection: None)
    assert "\n" not in str(caught.value)


def test_database_in_a_folder_that_can_not_be_made_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file where the folder should be")
    with pytest.raises(DatabaseError, match="cannot make"):
        make_engine(f"sqlite:///{tmp_path}/a/b.sqlite")
