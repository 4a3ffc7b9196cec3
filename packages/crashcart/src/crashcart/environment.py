"""The session's environment: the container's own, less what would steer the tools, plus what they need. Pure."""

from __future__ import annotations

from crashcart.image import ROOT

BINARIES = ("bin", "sbin", "profile/bin", "profile/sbin", "usr/bin", "usr/sbin")
_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A container's environment is the container's word. These would have the tools load or run its files: loaders,
# interpreters, shells, pagers, terminal descriptions, locales, resolvers, configuration in a home directory.
_REFUSED_PREFIXES = (
    b"LD_", b"BASH", b"PYTHON", b"PERL", b"RUBY", b"NODE_", b"JAVA_", b"GCONV", b"GLIBC_", b"MALLOC_", b"LC_", b"LESS",
    b"TERM", b"XDG_", b"OPENSSL_", b"SSL_", b"CURL_", b"GDB", b"MAN", b"VIM", b"HIST", b"RES_", b"PROMPT", b"GIT_",
    b"SYSTEMD_", b"NLSPATH", b"DEBUGINFOD", b"STRACE", b"TCPDUMP", b"GNUTLS_", b"GPG", b"P11_", b"KRB5",
)  # fmt: skip
_REFUSED = frozenset((
    b"ENV", b"IFS", b"PS0", b"PS1", b"PS2", b"PS4", b"SHELLOPTS", b"CDPATH", b"GLOBIGNORE", b"INPUTRC", b"LOCPATH",
    b"LANG", b"LANGUAGE", b"HOSTALIASES", b"LOCALDOMAIN", b"TZDIR", b"TZ", b"PAGER", b"EDITOR", b"VISUAL", b"EXINIT",
    b"WGETRC", b"SYSTEM_WGETRC", b"NETRC", b"HOME", b"SHELL", b"USER", b"LOGNAME", b"PWD", b"OLDPWD", b"TMPDIR",
    b"TMP", b"TEMP", b"MAIL", b"_",
    b"LDAPCONF", b"LDAPRC", b"SHLVL", b"COLUMNS", b"LINES", b"GETCONF_DIR", b"NIS_PATH", b"RESOLV_HOST_CONF",
    b"POSIXLY_CORRECT", b"MAGIC", b"SUDO_ASKPASS", b"SSH_ASKPASS", b"BROWSER", b"TAR_OPTIONS", b"GZIP", b"TAPE",
))  # fmt: skip


def is_refused(name: bytes) -> bool:
    """Whether a variable of the container stays out of the session."""
    return name in _REFUSED or name.startswith(_REFUSED_PREFIXES)


def build(container: dict[bytes, bytes], term: str) -> dict[bytes, bytes]:
    """The environment of the session; ``term`` is the one thing that comes from the user's side (may be empty)."""
    made = {name: value for name, value in container.items() if name and not is_refused(name)}
    root = ROOT.encode()
    made[b"PATH"] = b":".join([*(root + b"/" + name.encode() for name in BINARIES), made.get(b"PATH") or _PATH])
    made[b"HOME"] = root
    made[b"SHELL"] = root + b"/bin/bash"
    made[b"LANG"] = b"C.UTF-8"
    made[b"TERMINFO"] = root + b"/share/terminfo"
    made[b"MANPATH"] = root + b"/share/man"
    made[b"INPUTRC"] = root + b"/etc/inputrc"
    made[b"HISTFILE"] = b""
    made[b"GDBHISTFILE"] = b""
    made[b"LDAPNOINIT"] = b"1"
    made[b"CRASHCART"] = root
    if term and all(char.isascii() and (char.isalnum() or char in "-+._") for char in term):
        made[b"TERM"] = term.encode("ascii")
    return made
