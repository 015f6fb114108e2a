"""Passwords in addresses: refused in parameters, which every run logs, and hidden in messages."""

import re
from urllib.parse import unquote

NAME = r"[\w-]*(?:password|passwd|pwd|secret|token|api_?key|client_key)"
"""Keys of a query or a connection string whose values are secret; `passfile` and `sslkey` are not,
as they name files."""
IN_QUERY = re.compile(rf"({NAME}\s*=\s*)(?!\*\*\*)[^&\s'\"]+", re.IGNORECASE)
IN_USER = re.compile(r"(//[^\s/?#@:]*:)(?!\*\*\*@)(?!\d+(?:[/?#\s]|$))\S+@")
"""`user:password@`; a port before an `@` in the path is none."""
TOKEN = re.compile(r"(https?://)(?!\*\*\*@)[^\s/?#@:]+@")
"""A name alone before an HTTP host, as in `https://TOKEN@host`."""


def holds_secret(text: str) -> bool:
    """Tell whether a text contains a password or token, also with escaped characters.

    >>> holds_secret("postgresql://me@host/name?passfile=~/.pgpass")
    False
    >>> holds_secret("postgresql://host/name?user=me&password=abc")
    True
    """
    return any(
        pattern.search(each)
        for each in (text, unquote(text))
        for pattern in (IN_QUERY, IN_USER, TOKEN)
    )


def hide_secrets(text: str) -> str:
    """Replace passwords and tokens by `***`.

    >>> hide_secrets("cannot reach postgresql://me:abc@host/name?sslpassword=abc")
    'cannot reach postgresql://me:***@host/name?sslpassword=***'
    """
    hidden = IN_USER.sub(r"\1***@", text)
    hidden = TOKEN.sub(r"\1***@", hidden)
    hidden = IN_QUERY.sub(r"\1***", hidden)
    return "***, an address with a password" if holds_secret(hidden) else hidden
