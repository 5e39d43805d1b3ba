"""Errors meant for the person at the screen: each message is one sentence that says what to do."""


class AtelierError(Exception):
    """Anything that a user can mend; the page and the command line show its message as it is."""


class BadInput(AtelierError, ValueError):
    """A picture or a setting that no effect can work with."""


class WeightsError(AtelierError):
    """A bundled weight file that is missing, cut off or altered."""


class Unreachable(AtelierError):
    """Something that must be downloaded first, and can't be from here."""
