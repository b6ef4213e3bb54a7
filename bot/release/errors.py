"""Why a person's request is turned down."""


class Refused(Exception):
    """Its text is a sentence for the person who asked."""
