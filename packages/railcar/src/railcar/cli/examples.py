"""What people type: examples with a line of explanation, for help and manual pages. "" is railcar itself."""

EXAMPLES = {
    "": (
        ("railcar spec --bundle /srv/shop", "Write a first config.json beside /srv/shop/rootfs."),
        ("railcar validate /srv/shop", "Report everything that is wrong with it."),
        ("railcar run --bundle /srv/shop shop", "Run it, and remove it when its program ends."),
        ("railcar exec --tty shop /bin/sh", "In another terminal, look around inside."),
    ),
    "create": (("railcar create --bundle /srv/shop --pid-file /run/shop.pid shop", "Make it, and start it later."),),
    "run": (
        ("railcar run --bundle /srv/shop shop", "Run it in this terminal, and remove it when its program ends."),
        ("railcar run --detach --bundle /srv/shop shop", "Leave it running in the background."),
    ),
    "start": (("railcar start shop", "Start what `railcar create` has made."),),
    "state": (("railcar state shop", "Its status, pid, bundle and annotations."),),
    "kill": (
        ("railcar kill shop TERM", "Ask its first process to end."),
        ("railcar kill --all shop KILL", "End every process of it."),
    ),
    "delete": (("railcar delete --force shop", "Kill and remove it; succeed when there is none."),),
    "exec": (
        ("railcar exec --tty shop /bin/sh", "A shell."),
        ("railcar exec --user 1000:1000 --cwd /srv shop /bin/ls -l", "List a directory as another user."),
    ),
    "ps": (("railcar ps shop -o pid,user,comm", "Choose the columns, as for ps."),),
    "list": (
        ("railcar list", "A table."),
        ("railcar list --format json", "For a script."),
    ),
    "checkpoint": (("railcar checkpoint --image-path /srv/image shop", "Write it to /srv/image, and remove it."),),
    "restore": (("railcar restore --detach --bundle /srv/shop --image-path /srv/image shop", "Go on where it was."),),
    "pause": (("railcar pause shop", "Freeze it until `railcar resume shop`."),),
    "resume": (("railcar resume shop", "Let it go on."),),
    "update": (("railcar update --memory 512M --cpu-quota 50000 shop", "Half a CPU and half a gibibyte."),),
    "events": (
        ("railcar events --stats shop", "Print its figures once."),
        ("railcar events --interval 1s shop", "Every second, and each OOM kill, until it ends."),
    ),
    "spec": (
        ("railcar spec --bundle /srv/shop", "Write /srv/shop/config.json."),
        ("railcar spec --rootless", "For a user without privileges, in this directory."),
    ),
    "features": (("railcar features", "For an engine or a script."),),
    "validate": (
        ("railcar validate /srv/shop", "Every problem, with line and column."),
        ("railcar validate --json /srv/shop", "For an editor."),
    ),
    "setup": (
        ("railcar setup", "Commands of root start from a snapshot of the interpreter, and say if they cannot."),
        ("railcar setup --no-snapshot", "They start the interpreter each time, as other users' do."),
    ),
    "doctor": (("railcar doctor", "What works here, and what to do about the rest."),),
    "inspect": (("railcar inspect shop", "State, figures, mounts, hooks, and the steps of its creation."),),
    "completion": (("source <(railcar completion bash)", "For this bash."),),
    "man": (("railcar man run | man -l -", "Read the page of `railcar run`."),),
}
