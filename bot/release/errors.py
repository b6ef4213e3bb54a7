"""Why a person's request is turned down."""


class Refused(Exception):  # noqa: N818 - it reads as what happened to the person, and is no fault of the program
    """Its text is a sentence for the person who asked."""
