"""The errors that a user can mend, each with a sentence that says what was found and what to do next."""

from collections.abc import Iterator

from face_assets.core.outside_text import shown_lines


class UserError(Exception):
    """Something outside the code is wrong: a file, a setting, a service. Its message is shown without a traceback.

    Each argument is a line; characters in it that could forge another are escaped, for it may quote names from outside.
    """

    def __str__(self) -> str:
        return shown_lines(self.args)


class RefusedError(UserError):
    """The platform judged a candidate, its photos or what was asked for, and said no: what is live stays live."""


class UnreachableError(UserError):
    """A service that does not answer now and may by itself answer later: trying again is worth it."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that it came of, to the first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
