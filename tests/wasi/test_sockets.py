"""Sockets that were given: accepting, receiving, sending, shutting down, waiting."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

import figwasp
from figwasp.wasi import WASI
from tests.wasi.guest import Guest

LISTENER = 3
NONBLOCK = 4
PEEK, WAITALL = 1, 2
RD, WR = 1, 2


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def guest(listener: socket.socket) -> Iterator[Guest]:
    with WASI(sockets=[listener]) as wasi:
        yield Guest(wasi)


def accept(guest: Guest, flags: int = 0, fd: int = LISTENER) -> str | int:
    out = guest.room(4)
    error = guest.call("sock_accept", fd, flags, out)
    return guest.u32(out) if error == "success" else error


def connected(guest: Guest, listener: socket.socket) -> tuple[socket.socket, int]:
    client = socket.create_connection(listener.getsockname())
    fd = accept(guest)
    assert isinstance(fd, int)
    return client, fd


def receive(guest: Guest, fd: int, *sizes: int, flags: int = 0) -> str | bytes:
    buffers = [(guest.room(size), size) for size in sizes]
    out, out_flags = guest.room(4), guest.room(2)
    error = guest.call("sock_recv", fd, *guest.vectors(*buffers), flags, out, out_flags)
    return b"".join(guest.memory[at : at + size] for at, size in buffers)[: guest.u32(out)] if error == "success" else error


def send(guest: Guest, fd: int, text: str, flags: int = 0) -> str | int:
    out = guest.room(4)
    error = guest.call("sock_send", fd, *guest.vectors(guest.text(text)), flags, out)
    return guest.u32(out) if error == "success" else error


def test_a_connection(guest: Guest, listener: socket.socket) -> None:
    client, fd = connected(guest, listener)
    with client:
        client.sendall(b"hello, world")
        assert receive(guest, fd, 99, flags=PEEK) == b"hello, world"
        assert receive(guest, fd, 3, 2) == b"hello"
        assert guest.read(fd) == b", world"
        assert send(guest, fd, "answer") == 6
        assert guest.write(fd, b" and", b" more") == 9
        assert client.recv(99) in (b"answer", b"answer and more")
        stat = guest.room(64)
        assert guest.call("fd_filestat_get", fd, stat) == "success"
        assert guest.memory[stat + 16] == 6
        assert guest.call("fd_seek", fd, 0, 1, stat) == "spipe"


def test_all_that_was_asked_for(guest: Guest, listener: socket.socket) -> None:
    client, fd = connected(guest, listener)
    with client:

        def trickle() -> None:
            for _ in range(5):
                client.sendall(b"ab")
                time.sleep(0.01)

        thread = threading.Thread(target=trickle)
        thread.start()
        assert receive(guest, fd, 3, 5, flags=WAITALL) == b"abababab"
        assert receive(guest, fd, 2, flags=WAITALL) == b"ab"
        thread.join()


def test_shutdown(guest: Guest, listener: socket.socket) -> None:
    client, fd = connected(guest, listener)
    with client:
        assert guest.call("sock_shutdown", fd, WR) == "success"
        assert client.recv(9) == b""
        assert send(guest, fd, "x") == "pipe"
        assert guest.call("sock_shutdown", fd, 0) == guest.call("sock_shutdown", fd, 4) == "inval"
        client.shutdown(socket.SHUT_WR)
        assert receive(guest, fd, 9) == b""
        assert guest.call("fd_close", fd) == "success"
        assert guest.call("sock_shutdown", fd, RD) == "badf"


def test_without_waiting(guest: Guest, listener: socket.socket) -> None:
    assert guest.call("fd_fdstat_set_flags", LISTENER, NONBLOCK) == "success"
    assert accept(guest) == "again"
    assert guest.call("fd_fdstat_set_flags", LISTENER, 0) == "success"
    with socket.create_connection(listener.getsockname()):
        fd = accept(guest, NONBLOCK)
        assert isinstance(fd, int)
        assert receive(guest, fd, 9) == guest.read(fd) == "again"
    assert listener.getblocking()


def test_what_sockets_cannot(guest: Guest, listener: socket.socket) -> None:
    client, fd = connected(guest, listener)
    with client:
        assert accept(guest, fd=fd) == "inval"
        for how in (0, RD, WR, RD | WR):
            assert guest.call("sock_shutdown", LISTENER, how) == "notconn"
        assert receive(guest, LISTENER, 9) == receive(guest, LISTENER) == guest.read(LISTENER) == "notconn"
        assert send(guest, LISTENER, "x") == guest.write(LISTENER, b"x") == "notconn"
        assert guest.open("x", fd=LISTENER) == guest.open("x", fd=fd) == "notdir"
        assert accept(guest, flags=1) == "inval"
        assert send(guest, fd, "x", flags=1) == receive(guest, fd, 9, flags=8) == "inval"
        assert accept(guest, fd=0) == send(guest, 1, "x") == "notsock"
        assert accept(guest, fd=99) == "badf"
        assert guest.call("fd_prestat_get", LISTENER, guest.room(8)) == "badf"


def test_datagrams_are_not_accepted() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, WASI(sockets=[sock]) as wasi:
        assert accept(Guest(wasi)) == "notsup"
        assert Guest(wasi).call("sock_shutdown", LISTENER, RD) == "notconn"


def test_rights_that_were_given_up(guest: Guest, listener: socket.socket) -> None:
    client, fd = connected(guest, listener)
    with client:
        for number in (LISTENER, fd):
            assert guest.call("fd_fdstat_set_rights", number, 0, 0) == "success"
        assert accept(guest) == guest.call("sock_shutdown", fd, RD) == "notcapable"
        assert accept(guest, fd=fd) == "inval"
        assert receive(guest, fd, 9) == send(guest, fd, "x") == "badf"


def test_polling(guest: Guest, listener: socket.socket) -> None:
    subscriptions, events, out = guest.room(48), guest.room(32), guest.room(4)
    guest.memory[subscriptions : subscriptions + 48] = bytes([7, *bytes(7), 1, *bytes(7), LISTENER, *bytes(31)])
    with socket.create_connection(listener.getsockname()):
        assert guest.call("poll_oneoff", subscriptions, events, 1, out) == "success"
    assert (guest.u32(out), guest.u64(events)) == (1, 7)


def test_a_socket_of_an_address_and_a_connected_one() -> None:
    one, other = socket.socketpair()
    with one, other, WASI(sockets=[("127.0.0.1", 0), one]) as wasi:
        guest = Guest(wasi)
        other.sendall(b"pair")
        assert receive(guest, LISTENER + 1, 9) == b"pair"
        assert guest.call("fd_fdstat_set_flags", LISTENER, NONBLOCK) == "success"
        assert accept(guest) == "again"
        wasi.close()
        other.sendall(b"still")
        assert one.recv(9) == b"still"


def test_waiting_ends_with_the_call(listener: socket.socket) -> None:
    text = """(module
      (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
      (memory 1)
      (func (export "run") (result i32) (call $accept (i32.const 3) (i32.const 0) (i32.const 0))))"""
    with WASI(sockets=[listener]) as wasi:
        run = figwasp.load(figwasp.wat(text), wasi.imports()).exports.run
        with pytest.raises(TimeoutError):
            run(timeout=0.05)
