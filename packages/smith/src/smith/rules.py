"""What a program reads that no ELF header tells: a table of languages' and libraries' habits.

Each row is data: when a chosen path matches, these globs come along, and those below them do not.
"""

import re
from dataclasses import dataclass

from smith.globs import Excludes, match
from smith.selection import Reason, Selection


@dataclass(frozen=True, slots=True)
class Rule:
    """`when` is matched on chosen paths; `take` are globs, in which {0}, {1} are its groups; `leave` is kept out.

    With `shallow` a symlink to a folder brings the link alone.
    """

    name: str
    when: re.Pattern[str]
    take: tuple[str, ...]
    leave: tuple[str, ...] = ()
    shallow: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """What is left out but often wanted: said in the report when the tree has it."""

    when: re.Pattern[str]
    path: str
    text: str


PYTHON_CLUTTER = (
    "**/__pycache__",
    "**/test",
    "**/tests",
    "**/idlelib",
    "**/tkinter",
    "**/turtledemo",
    "**/lib2to3",
    "**/ensurepip",
    "**/config-3*",
    "**/_tkinter*",
    "**/site-packages/pip",
    "**/site-packages/setuptools",
    "**/site-packages/wheel",
)

RULES = (
    Rule(
        "python",
        re.compile(r"(usr|usr/local)/bin/python(3\.\d+)"),
        ("{0}/lib/python{1}", "etc/python{1}/sitecustomize.py"),
        PYTHON_CLUTTER,
    ),
    Rule(
        "perl",
        re.compile(r"usr/bin/perl(?:5[\d.]*)?"),
        ("usr/lib/*/perl-base", "usr/share/perl/5.*", "usr/lib/*/perl/5.*"),
        ("**/*.pod", "**/*.ph", "**/CORE", "**/unicore/**/*.txt"),
    ),
    Rule(
        "node",
        re.compile(r"usr/bin/node(?:js)?"),
        ("usr/share/nodejs",),
        ("usr/share/nodejs/npm", "usr/share/nodejs/node-gyp", "usr/share/nodejs/corepack", "**/*.map"),
    ),
    Rule(
        "java",
        re.compile(r"(usr/lib/jvm/[^/]+|opt/java/[^/]+|usr/java/[^/]+)/(?:jre/)?bin/java"),
        ("{0}/lib", "{0}/conf", "{0}/release"),
        ("**/src.zip", "**/ct.sym", "**/*.diz", "**/lib/*.jar.pack"),
    ),
    Rule(
        "tls",
        re.compile(r"(?:.*/)?lib(?:ssl|gnutls|nss3|curl|curl-gnutls)\.so(?:\..*)?"),
        (
            "etc/ssl/openssl.cnf",
            "etc/ssl/certs/ca-certificates.crt",
            "etc/ssl/cert.pem",
            "usr/lib/ssl/openssl.cnf",
            "usr/lib/ssl/certs",
            "etc/pki/tls/openssl.cnf",
            "etc/pki/tls/cert.pem",
            "etc/pki/tls/certs/ca-bundle.crt",
            "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        ),
        shallow=True,
    ),
    Rule(
        "terminfo",
        re.compile(r"(?:.*/)?lib(?:tinfo|ncursesw?)\.so(?:\..*)?"),
        tuple(
            f"{folder}/terminfo/{name}"
            for folder in ("lib", "usr/lib", "usr/share", "etc")
            for name in ("x/xterm", "x/xterm-256color", "l/linux", "v/vt100", "d/dumb", "s/screen")
        ),
    ),
    Rule("p11", re.compile(r"(?:.*/)?libsofthsm2\.so"), ("etc/softhsm",)),
    Rule("ruby", re.compile(r"usr/bin/ruby(\d+\.\d+)"), ("usr/lib/ruby/{0}.*", "usr/lib/*/ruby/{0}.*"), ("**/ri",)),
    Rule("php", re.compile(r"usr/(?:s?bin)/php(?:-fpm)?(\d+\.\d+)"), ("usr/lib/php/*/*.so", "etc/php/{0}")),
)

OFFERS = (
    Offer(re.compile(r".*/libc\.so\.6"), "usr/lib/locale/C.utf8", "the C.UTF-8 locale, for programs that set a locale"),
    Offer(re.compile(r"(?:.*/python3\.\d+|.*/postgres|.*/java|.*/node)"), "usr/share/zoneinfo", "time zones"),
    Offer(re.compile(r".*/libc\.so\.6"), "usr/lib/x86_64-linux-gnu/gconv", "iconv's character sets"),
    Offer(re.compile(r"usr/bin/python3\.\d+"), "usr/lib/python3/dist-packages", "Python packages of the distribution"),
)


def apply(selection: Selection) -> None:
    """Take what the rules say of the files chosen so far; each rule fires once for each thing that it matches."""
    for path in list(selection.chosen):
        if path in selection.ruled:
            continue
        selection.ruled.add(path)
        for rule in RULES:
            found = rule.when.fullmatch(path)
            if found is not None:
                _fire(selection, rule, path, found.groups())


def offers(selection: Selection) -> list[tuple[str, str]]:
    """(path, what it is) of the things that the tree has, that are often wanted, and that were not taken."""
    said = []
    for offer in OFFERS:
        if selection.tree.resolve(offer.path) is None or offer.path in selection.chosen:
            continue
        if any(offer.when.fullmatch(path) for path in selection.chosen):
            said.append((offer.path, offer.text))
    return said


def _fire(selection: Selection, rule: Rule, path: str, groups: tuple[str, ...]) -> None:
    before = selection.clutter
    selection.clutter = Excludes(rule.leave)
    try:
        for glob in rule.take:
            for found in match(selection.tree, glob.format(*groups)):
                if found not in selection.clutter:
                    selection.take(found, Reason("rule", path, rule.name), recursive=not rule.shallow)
    finally:
        selection.clutter = before
