"""The files of an image that no package brings: the shell's start, names of users, where to look for what. Data."""

from __future__ import annotations

from smith.tree import Tree

from crashcart.build.select import Entry, Image, whole

_RC = """\
# Read by the image's bash, and nothing else is.
PS1='\\[\\e[1m\\]crashcart\\[\\e[0m\\] \\u@\\h:\\w\\$ '
unset HISTFILE
shopt -s checkwinsize
alias ls='ls --color=auto' ll='ls -l' grep='grep --color=auto'
"""
_INPUTRC = """\
set bell-style none
"\\e[A": history-search-backward
"\\e[B": history-search-forward
"\\e[1~": beginning-of-line
"\\e[4~": end-of-line
"\\e[3~": delete-char
"""
_PASSWD = """\
root:x:0:0:root:/dev/crashcart:/dev/crashcart/bin/bash
man:x:6:12:man:/dev/crashcart:/dev/crashcart/bin/sh
nobody:x:65534:65534:nobody:/dev/crashcart:/dev/crashcart/bin/sh
tcpdump:x:65532:65532:tcpdump:/dev/crashcart:/dev/crashcart/bin/sh
"""
_GROUP = "root:x:0:\nman:x:12:\ntty:x:5:\nnogroup:x:65534:\ntcpdump:x:65532:\n"
_NSS = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n"
_MANPATH = "MANDATORY_MANPATH /dev/crashcart/share/man\nSECTION 1 n l 8 3 2 5 4 9 6 7\nNOCACHE\n"
# What people type, where the package has only another name for it.
_USUAL_NAMES = {"vim": "vim.tiny", "vi": "vim.tiny", "awk": "mawk", "netcat": "nc.openbsd", "nc": "nc.openbsd"}
_GDB = """\
#!/dev/crashcart/bin/sh
# The Python in gdb takes its modules from the image: with another home it would run the container's.
unset PYTHONPATH PYTHONSTARTUP
PYTHONHOME=/dev/crashcart PYTHONNOUSERSITE=1 exec /dev/crashcart/libexec/gdb \\
    -iex 'unset environment PYTHONHOME' -iex 'unset environment PYTHONNOUSERSITE' "$@"
"""
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
_OPENSSL = "etc/ssl/openssl.cnf"


def add(image: Image, tree: Tree) -> None:
    """Add them; links only where they lead to something."""
    for path, text in (
        (".crashcartrc", _RC),
        ("etc/inputrc", _INPUTRC),
        ("etc/passwd", _PASSWD),
        ("etc/group", _GROUP),
        ("nss", _NSS),
        ("mpc", _MANPATH),
    ):
        image[path] = Entry(data=lambda text=text: text.encode())  # type: ignore[misc]
    for there, path in (("etc/ca.crt", _CERTIFICATES), ("ssl/openssl.cnf", _OPENSSL)):
        real = tree.resolve(path)
        content = tree[real].content if real is not None else None
        if content is not None:
            image[there] = Entry(data=lambda content=content: whole(content))  # type: ignore[misc]
    # The short names that strings in programs have room for, and the directory that older documents speak of.
    image["ssl/cert.pem"] = Entry(target="../etc/ca.crt")
    image["irc"] = Entry(target="etc/inputrc")
    image["s"] = Entry(target="share")
    image["locale"] = Entry(target="lib/locale")
    image["ti"] = Entry(target="share/terminfo")
    image["lx"] = Entry(target="libexec")
    for name, program in _USUAL_NAMES.items():
        image.setdefault(f"bin/{name}", Entry(target=program))
    if any(path.startswith("lib/libpython3.") for path in image) and "bin/gdb" in image:
        image["libexec/gdb"] = image["bin/gdb"]
        image["bin/gdb"] = Entry(mode=0o755, data=_GDB.encode)
    image["profile/bin"] = Entry(target="../bin")
    image["profile/sbin"] = Entry(target="../sbin")
