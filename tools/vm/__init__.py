"""Runs tests in a virtual machine, for what the machine at hand cannot do: a kernel with every cgroup v2 controller,
systemd as pid 1, AppArmor or SELinux, and all capabilities. packages/railcar/docs/testing.md says how to use it."""
