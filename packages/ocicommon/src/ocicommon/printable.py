"""Text of others on our terminal: names, messages and what programs said may be a container's own."""


def printable(text: str) -> str:
    """Without what would steer a terminal, but for line ends and tabs. Bytes that are no UTF-8 stay as they are."""
    if text.isprintable():
        return text
    return "".join(
        char if char in "\n\t" or char.isprintable() or "\udc80" <= char <= "\udcff" else "?" for char in text
    )
