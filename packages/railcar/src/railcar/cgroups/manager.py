"""systemd's manager, the system's or a user's, over D-Bus: where its units' groups lie, and transient units of it."""

import os

from railcar.cgroups import dbus, files
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.cgroups.layout import Layout
    from railcar.cgroups.properties import Property

NAME = "org.freedesktop.systemd1"
OBJECT = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
MATCH = f"type='signal',interface='{MANAGER}',member='JobRemoved',path='{OBJECT}'"
EXISTS = NAME + ".UnitExists"
SUBSCRIBED = NAME + ".AlreadySubscribed"
NO_UNIT = NAME + ".NoSuchUnit"


def group(layout: "Layout", rootless: bool) -> str:
    """The group of the manager, below which its units lie; the root ("") for most systems' own."""
    if not rootless:
        for line in files.read_or("/proc/1/cgroup", "").splitlines():
            number, _, rest = line.partition(":")
            name, _, path = rest.partition(":")
            if (number == "0" and not name) or name == "name=systemd":
                return path.removesuffix("/init.scope").rstrip("/") if path.endswith("/init.scope") else ""
        return ""
    try:
        connection = dbus.connect(True)
        try:
            answer = connection.call(
                NAME, OBJECT, "org.freedesktop.DBus.Properties", "Get", "ss", MANAGER, "ControlGroup"
            )
        finally:
            connection.close()
        return str(answer[0][1]).rstrip("/")
    except RailcarError:
        uid = os.environ.get("_CONTAINERS_ROOTLESS_UID") or str(os.geteuid())
        return f"/user.slice/user-{uid}.slice/user@{uid}.service"


def _listen(connection: dbus.Connection) -> None:
    """Have JobRemoved sent to us. systemd's own socket sends it without being asked."""
    if connection.bus:
        connection.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", "s", MATCH)
        try:
            connection.call(NAME, OBJECT, MANAGER, "Subscribe")
        except dbus.CallError as error:
            if error.name != SUBSCRIBED:
                raise


def start_unit(connection: dbus.Connection, name: str, given: "list[Property]") -> None:
    """StartTransientUnit, and wait until its job is done. A failed unit of that name is forgotten first."""
    _listen(connection)
    for attempt in (1, 2):
        try:
            answer = connection.call(
                NAME, OBJECT, MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", name, "replace", given, []
            )
            break
        except dbus.CallError as error:
            if error.name != EXISTS or attempt == 2:
                raise
            connection.call(NAME, OBJECT, MANAGER, "ResetFailedUnit", "s", name)
    result = connection.wait("JobRemoved", 1, answer[0]).body[3]
    if result != "done":
        raise RailcarError(
            f"systemd did not start the unit {name}: its job ended with {result!r}; see `systemctl status`"
        )


def stop_unit(connection: dbus.Connection, name: str) -> None:
    """Stop a unit and forget its failure; one that is gone is none to stop."""
    _listen(connection)
    try:
        answer = connection.call(NAME, OBJECT, MANAGER, "StopUnit", "ss", name, "replace")
        connection.wait("JobRemoved", 1, answer[0])
        connection.call(NAME, OBJECT, MANAGER, "ResetFailedUnit", "s", name)
    except dbus.CallError as error:
        if error.name != NO_UNIT:
            raise


def attach(connection: dbus.Connection, name: str, inner: str, pid: int) -> None:
    """Put a process of this user's into a unit, or the group at the path ``inner`` below it."""
    connection.call(NAME, OBJECT, MANAGER, "AttachProcessesToUnit", "ssau", name, inner, [pid])


def change(connection: dbus.Connection, name: str, given: "list[Property]") -> None:
    """Change properties of a unit, until it ends or the machine does."""
    connection.call(NAME, OBJECT, MANAGER, "SetUnitProperties", "sba(sv)", name, True, given)
