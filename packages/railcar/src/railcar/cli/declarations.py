"""Every command and option, as data: `parse` reads argv by it, help and completion are drawn from it."""


class Option:
    """One option. `kind`: "flag", "text", "number", "list" (may be repeated).

    `short` is its one-letter form, or "". A hidden option is accepted for the sake of callers, and not shown.
    """

    __slots__ = ("default", "help", "hidden", "kind", "metavar", "name", "short")

    def __init__(
        self,
        name: str,
        kind: str,
        help: str = "",
        short: str = "",
        metavar: str = "",
        default: str = "",
        hidden: bool = False,
    ) -> None:
        self.name, self.kind, self.help, self.short = name, kind, help, short
        self.metavar, self.default, self.hidden = metavar or name.upper(), default, hidden


class Command:
    """One command. `positional` names its arguments ("ID", "[SIGNAL]", "[COMMAND...]").

    `rest`: after the id, everything belongs to the program and is not read as an option.
    `failure`: the exit code when it fails (runc's exec uses 255, so that it is told from the program's own).
    `module` is the file in `railcar.cli` that has its `run`.
    """

    __slots__ = ("failure", "help", "hidden", "maximum", "minimum", "module", "name", "options", "positional", "rest")

    def __init__(
        self,
        name: str,
        help: str,
        positional: tuple[str, ...],
        options: tuple[Option, ...],
        rest: bool = False,
        failure: int = 1,
        hidden: bool = False,
    ) -> None:
        self.name, self.help, self.positional, self.options = name, help, positional, options
        self.rest, self.failure, self.hidden = rest, failure, hidden
        self.module = name
        self.minimum = len([word for word in positional if not word.startswith("[")])
        self.maximum = -1 if positional and positional[-1].endswith("...]") else len(positional)


GLOBAL = (
    Option("root", "text", "Directory that holds the state of containers", "r", "DIR", "/run/railcar"),
    Option("log", "text", "File that gets the log (standard error otherwise)", "", "FILE"),
    Option("log-format", "text", "Format of the log: text or json", "", "FORMAT", "text"),
    Option("debug", "flag", "Log every step"),
    Option("verbose", "flag", "Log every step", "v", hidden=True),
    Option("systemd-cgroup", "flag", "Have systemd make the cgroups; cgroupsPath is then SLICE:PREFIX:NAME"),
    Option("cgroup-manager", "text", "Who makes the cgroups: cgroupfs, systemd or disabled", "", "MANAGER", "cgroupfs"),
    Option("rootless", "text", "Ignore cgroups that cannot be had: true, false or auto", "", "WHEN", "auto"),
    Option("criu", "text", "The criu program", "", "PATH", hidden=True),
    Option("trace", "text", "File that gets a span per step, as JSON lines (also RAILCAR_TRACE)", "", "FILE"),
    Option("version", "flag", "Print the version and exit", "v"),
    Option("help", "flag", "Show this and exit", "h"),
)

_ID = ("ID",)
_BUNDLE = Option("bundle", "text", "The bundle's directory", "b", "DIR", ".")
_PID_FILE = Option("pid-file", "text", "File that gets the pid of the process", "p", "FILE")
_CONSOLE = Option("console-socket", "text", "Unix socket that gets the terminal's descriptor", "", "PATH")
_PIDFD = Option("pidfd-socket", "text", "Unix socket that gets a pidfd of the process", "", "PATH")
_PRESERVE = Option("preserve-fds", "number", "Pass on descriptors 3 to 2+N", "", "N", "0")
_CREATE = (
    _BUNDLE,
    Option("config", "text", "File to read instead of the bundle's config.json", "f", "FILE", "config.json"),
    _PID_FILE,
    _CONSOLE,
    Option("console", "text", "Path of an existing terminal to use", "c", "PATH", hidden=True),
    _PIDFD,
    Option("no-pivot", "flag", "Move the root instead of pivot_root (for a root on a ramdisk)"),
    Option("no-new-keyring", "flag", "Keep the caller's session keyring"),
    _PRESERVE,
    Option("init", "flag", "Put a small init before the program: it reaps orphans and passes signals on"),
    Option("no-init", "flag", "Accepted: a separate init is not the default", "n", hidden=True),
    Option("no-trigger", "flag", "Accepted: create never waits", "t", hidden=True),
)
_CRIU = (
    Option("image-path", "text", "Directory of the image", "", "DIR", "checkpoint"),
    Option("work-path", "text", "Directory for criu's logs; that of the image otherwise", "", "DIR"),
    Option("tcp-established", "flag", "Open TCP connections are kept"),
    Option("ext-unix-sk", "flag", "Unix sockets to the outside are kept"),
    Option("shell-job", "flag", "The container's terminal is that of the caller"),
    Option("file-locks", "flag", "File locks are kept"),
    Option(
        "manage-cgroups-mode", "text", "What criu does about cgroups: soft, full, strict, ignore", "", "MODE", "soft"
    ),
    Option("empty-ns", "list", "Leave this namespace's properties out (network)", "", "TYPE"),
    Option("auto-dedup", "flag", "Drop pages of earlier images that are outdated"),
    Option("lazy-pages", "flag", "Memory is served when it is asked for, by criu's page server"),
)
COMMANDS = (
    Command("create", "Create a container, ready to be started", _ID, _CREATE),
    Command(
        "run",
        "Create a container and start it",
        _ID,
        (
            *_CREATE,
            Option("detach", "flag", "Leave the container running in the background", "d"),
            Option("daemonize", "flag", "Leave the container running in the background", hidden=True),
            Option("keep", "flag", "Do not delete the container when it ends"),
            Option("no-subreaper", "flag", "Do not adopt the container's orphans", hidden=True),
        ),
    ),
    Command("start", "Start the program of a created container", _ID, ()),
    Command("state", "Print the state of a container, as JSON", _ID, ()),
    Command(
        "kill",
        "Send a signal to a container",
        ("ID", "[SIGNAL]"),
        (Option("all", "flag", "Signal every process of it", "a"),),
    ),
    Command(
        "delete",
        "Remove what a container holds",
        _ID,
        (Option("force", "flag", "Kill it first; succeed when there is none", "f"),),
    ),
    Command(
        "exec",
        "Run a program in a running container",
        ("ID", "[COMMAND...]"),
        (
            Option("process", "text", "File with the process, as in config.json (then no command)", "p", "FILE"),
            Option("detach", "flag", "Do not wait for it", "d"),
            Option("tty", "flag", "Give it a terminal", "t"),
            Option("user", "text", "Run as UID[:GID]", "u", "UID[:GID]"),
            Option("additional-gids", "list", "Further group ids", "g", "GID"),
            Option("cwd", "text", "Directory to run in", "", "DIR"),
            Option("env", "list", "Set a variable", "e", "NAME=VALUE"),
            Option("cap", "list", "Add a capability", "c", "NAME"),
            Option("no-new-privs", "flag", "Set no_new_privs"),
            Option("pid-file", "text", "File that gets the pid of the process", "", "FILE"),
            _CONSOLE,
            _PIDFD,
            _PRESERVE,
            Option("cgroup", "list", "Run in this sub-cgroup", "", "[CONTROLLER:]PATH"),
            Option("ignore-paused", "flag", "Go on when the container is paused (the program waits)"),
            Option("process-label", "text", "SELinux label", "", "LABEL"),
            Option("apparmor", "text", "AppArmor profile", "", "PROFILE"),
            Option("no-subreaper", "flag", "Accepted", hidden=True),
        ),
        rest=True,
        failure=255,
    ),
    Command(
        "ps",
        "List the processes of a container",
        ("ID", "[PS-OPTIONS...]"),
        (Option("format", "text", "table or json", "f", "FORMAT", "table"),),
        rest=True,
    ),
    Command(
        "list",
        "List containers",
        (),
        (
            Option("format", "text", "table or json", "f", "FORMAT", "table"),
            Option("quiet", "flag", "Print ids only", "q"),
        ),
    ),
    Command(
        "checkpoint",
        "Write a running container to an image, by criu, and remove it",
        _ID,
        (
            *_CRIU,
            Option("parent-path", "text", "Image of an earlier --pre-dump, relative to --image-path", "", "DIR"),
            Option("leave-running", "flag", "The container goes on"),
            Option("pre-dump", "flag", "Write its memory only, for a later image; the container goes on"),
            Option("tcp-skip-in-flight", "flag", "TCP connections that are being made are left out"),
            Option("link-remap", "flag", "Files that have lost their name get one"),
            Option("page-server", "text", "Where the pages go, or are asked for, as ADDRESS:PORT", "", "ADDRESS:PORT"),
            Option("status-fd", "text", "Descriptor that gets a NUL once the pages can be asked for", "", "FD"),
        ),
    ),
    Command(
        "restore",
        "Make a container out of an image of checkpoint, by criu",
        _ID,
        (
            *_CRIU,
            _BUNDLE,
            _PID_FILE,
            _CONSOLE,
            Option("detach", "flag", "Leave the container running in the background", "d"),
            Option("no-pivot", "flag", "Accepted: criu enters the root"),
            Option("lsm-profile", "text", "LSM profile, as TYPE:NAME", "", "PROFILE"),
            Option("lsm-mount-context", "text", "LSM context of the mounts", "", "CONTEXT"),
            Option("no-subreaper", "flag", "Accepted", hidden=True),
        ),
    ),
    Command("pause", "Freeze a container's processes", _ID, ()),
    Command("resume", "Let a paused container go on", _ID, ()),
    Command(
        "update",
        "Change a container's resource limits",
        _ID,
        (
            Option("resources", "text", "File with LinuxResources as JSON; - is standard input", "r", "FILE"),
            Option("blkio-weight", "number", "Block I/O weight, 10 to 1000"),
            Option("cpu-period", "number", "CFS period in microseconds"),
            Option("cpu-quota", "number", "CFS quota in microseconds"),
            Option("cpu-burst", "number", "CFS burst in microseconds"),
            Option("cpu-share", "number", "CPU shares"),
            Option("cpu-shares", "number", "CPU shares", hidden=True),
            Option("cpu-rt-period", "number", "Real-time period in microseconds"),
            Option("cpu-rt-runtime", "number", "Real-time runtime in microseconds"),
            Option("cpuset-cpus", "text", "CPUs to use"),
            Option("cpuset-mems", "text", "Memory nodes to use"),
            Option("cpu-idle", "number", "1: the group runs only when the CPU is idle"),
            Option("kernel-memory", "text", "Accepted: kernels have dropped it", hidden=True),
            Option("kernel-memory-tcp", "text", "Accepted: kernels have dropped it", hidden=True),
            Option("memory", "text", "Memory limit in bytes"),
            Option("memory-reservation", "text", "Memory reservation in bytes"),
            Option("memory-swap", "text", "Limit of memory and swap together, in bytes; -1: none"),
            Option("pids-limit", "number", "Limit of processes; -1: none"),
            Option("l3-cache-schema", "text", "Intel RDT L3 schema"),
            Option("mem-bw-schema", "text", "Intel RDT memory bandwidth schema"),
        ),
    ),
    Command(
        "events",
        "Print a container's resource figures and OOM kills, as JSON lines",
        _ID,
        (
            Option("interval", "text", "Time between figures", "", "DURATION", "5s"),
            Option("stats", "flag", "Print the figures once and exit"),
        ),
    ),
    Command(
        "spec",
        "Write a first config.json",
        (),
        (
            Option("bundle", "text", "The bundle's directory", "b", "DIR", "."),
            Option("rootless", "flag", "For a user without privileges"),
        ),
    ),
    Command("features", "Print what this runtime and kernel can do, as JSON", (), ()),
    Command(
        "validate", "Report everything that is wrong with a bundle", ("BUNDLE",), (Option("json", "flag", "As JSON"),)
    ),
    Command(
        "doctor",
        "Say what this host can do, and what to do about what it cannot",
        (),
        (Option("json", "flag", "As JSON"),),
    ),
    Command(
        "setup",
        "Make starts quick: compile the modules, take the snapshot that commands start from",
        (),
        (
            Option("no-snapshot", "flag", "Take no snapshot, now or later"),
            Option("remove", "flag", "Remove the snapshot (the next start as root makes another)"),
            Option("template", "flag", "Be the interpreter that is pictured", hidden=True),
        ),
    ),
    Command("inspect", "Print all that is known about a container", _ID, (Option("json", "flag", "As JSON"),)),
    Command("completion", "Print the completions for a shell: bash, zsh or fish", ("SHELL",), ()),
    Command("man", "Print a manual page: that of railcar, or of one command", ("[COMMAND]",), ()),
)

#: name -> Command
BY_NAME = {command.name: command for command in COMMANDS}
