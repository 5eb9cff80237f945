"""`login_name`: who is at the keyboard, as the operating system knows them."""

import os
import pwd


def login_name() -> str:
    """The login name; behind sudo also whose rights are used: `ada (as root)`."""
    own = _name_of(os.getuid())
    asked = os.environ.get("SUDO_UID", "")
    if os.getuid() == 0 and asked.isascii() and asked.isdigit() and int(asked) != 0:
        return f"{_name_of(int(asked))} (as {own})"
    return own


def _name_of(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
