"""What can go wrong before and around the tests themselves."""


class MachineError(Exception):
    """The machine was to be had, and failed: the message says at what."""


class Unavailable(Exception):
    """This machine cannot have such a guest: the message is the end of a sentence that says why."""
