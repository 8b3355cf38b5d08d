"""Every error that the platform raises on purpose.

The message says what was required and what it was, on one line; the facts
are fields too, so that a screen or a test need not parse the message. An
expected outcome (an order refused by a limit in a backtest, a condition that
is not true) is a value and not an error.
"""

from __future__ import annotations


class QuarterdeckError(Exception):
    """Base of all errors with a meaning for whoever called.

    Anything else that escapes is a defect and shows its traceback.
    """


class SpecError(QuarterdeckError):
    """A strategy document, an expression or an option is not valid.

    Parameters
    ----------
    message : str
        What is wrong, without place and hint: these are appended.
    path : str
        Place in the document, such as ``entry.long.when``; empty when the
        text is no part of a document.
    column : int or None
        Column in the expression, counted from 1.
    hint : str
        What to do about it, such as ``did you mean 'close'?``.

    Examples
    --------
    >>> str(SpecError("unknown name 'clsoe'", path="entry.when", column=5))
    "entry.when: unknown name 'clsoe' at column 5"
    """

    def __init__(
        self, message: str, *, path: str = "", column: int | None = None, hint: str = ""
    ) -> None:
        self.message = message
        self.path = path
        self.column = column
        self.hint = hint
        text = f"{path}: {message}" if path else message
        if column is not None:
            text += f" at column {column}"
        if hint:
            text += f"; {hint}"
        super().__init__(text)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with all fields, so that the error crosses processes whole."""
        return _restore_spec_error, (type(self), self.message, self.path, self.column, self.hint)


def _restore_spec_error(
    kind: type[SpecError], message: str, path: str, column: int | None, hint: str
) -> SpecError:
    return kind(message, path=path, column=column, hint=hint)


class DataError(QuarterdeckError):
    """Stored or imported data is missing, damaged or not what was promised."""


class SettingsError(QuarterdeckError):
    """A setting is missing or not valid; the message names its variable."""


class DatabaseError(QuarterdeckError):
    """The database can't be reached, is locked, or has another schema."""


class OrderRefused(QuarterdeckError):
    """An order can't be accepted as it stands.

    Parameters
    ----------
    message : str
        What was required and what it was.
    reason : str
        The reason code that journals and screens show, such as
        ``size_rounds_to_zero``.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        self.reason = reason
        super().__init__(message)


class RiskLimitExceeded(OrderRefused):
    """A limit of the risk settings forbids the order."""


class BrokerError(QuarterdeckError):
    """A broker or its connection failed; use one of the two kinds below."""


class Retryable(BrokerError):
    """Sending the same again, with the same id, may work."""


class Fatal(BrokerError):
    """Trying again can't help: a person has to act."""


class LedgerError(QuarterdeckError):
    """A posting or a balance breaks a rule of the books."""


class NotPermitted(QuarterdeckError):
    """The user may not do this."""
