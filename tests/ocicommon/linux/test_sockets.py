"""Descriptors and credentials over a Unix socket."""

import os
import socket

import pytest
from ocicommon.linux import sockets
from ocicommon.linux.errors import SyscallError


def test_descriptors_arrive_close_on_exec_with_their_payload():
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    try:
        sockets.send_fds(ours, b"terminal", [reading, writing])
        payload, received = sockets.receive_fds(theirs)
        assert payload == b"terminal"
        assert len(received) == 2
        assert not any(os.get_inheritable(fd) for fd in received)
        os.write(received[1], b"through")
        assert os.read(reading, 10) == b"through"
        for fd in received:
            os.close(fd)
        ours.close()
        assert sockets.receive_fds(theirs) == (b"", [])
    finally:
        os.close(reading)
        os.close(writing)
        ours.close()
        theirs.close()


def test_a_closed_peer_is_an_error_and_no_signal():
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(SyscallError, match=r"sendmsg with descriptors: broken pipe"):
        sockets.send_fds(ours, b"x", [])


def test_the_kernel_says_who_sent():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sockets.want_credentials(theirs)
        ours.send(b"hello")
        payload, credentials = sockets.receive_with_credentials(theirs)
        assert payload == b"hello"
        assert credentials == (os.getpid(), os.getuid(), os.getgid())
        assert sockets.peer_credentials(ours)[0] == os.getpid()
