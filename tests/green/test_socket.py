"""Green sockets, unpatched: what blocks waits in the hub, what times out times out."""

from __future__ import annotations

import errno
import os
import socket as native
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualwsgi import green
from dualwsgi.green import Hub
from dualwsgi.green import socket as gsocket


@pytest.fixture
def pair(hub: Hub) -> Iterator[tuple[gsocket.GreenSocket, gsocket.GreenSocket]]:
    a, b = gsocket.socketpair()
    with a, b:
        yield a, b


@pytest.fixture
def listener(hub: Hub) -> Iterator[gsocket.GreenSocket]:
    with gsocket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


Pair = tuple[gsocket.GreenSocket, gsocket.GreenSocket]


def turn(times: int = 2) -> None:
    for _ in range(times):
        green.sleep(0)


def test_each_way_of_receiving_waits(pair: Pair) -> None:
    a, b = pair
    buffer = bytearray(3)
    for receive, result in [
        (lambda: a.recv(3), b"abc"),
        (lambda: (a.recv_into(buffer), bytes(buffer))[1], b"abc"),
        (lambda: a.recvfrom(3)[0], b"abc"),
        (lambda: a.recvfrom_into(buffer)[0], 3),
        (lambda: a.recvmsg(3)[0], b"abc"),
        (lambda: a.recvmsg_into([buffer])[0], 3),
    ]:
        thread = green.spawn(receive)
        turn()
        assert not thread.finished
        b.sendall(b"abc")
        assert thread.get(5) == result


def test_each_way_times_out_and_says_so_when_it_must_not_wait(pair: Pair) -> None:
    a, _ = pair
    calls = [
        lambda: a.recv(1),
        lambda: a.recv_into(bytearray(1)),
        lambda: a.recvfrom(1),
        lambda: a.recvmsg(1),
    ]
    a.settimeout(0.002)
    assert a.gettimeout() == a.timeout == 0.002 and a.getblocking()
    for call in calls:
        with pytest.raises(TimeoutError, match=r"^timed out$"):
            call()
    a.setblocking(False)
    assert a.gettimeout() == 0 and not a.getblocking()
    for call in calls:
        with pytest.raises(BlockingIOError):
            call()
    a.settimeout(None)
    with pytest.raises(BlockingIOError):
        a.recv(1, native.MSG_DONTWAIT)
    with pytest.raises(BlockingIOError):
        a.recv_into(bytearray(1), 0, native.MSG_DONTWAIT)
    with pytest.raises(ValueError):
        a.settimeout(-1)
    with pytest.raises((TypeError, ValueError)):
        a.settimeout("x")


def test_peeking_and_waiting_for_all(pair: Pair) -> None:
    a, b = pair
    thread = green.spawn(a.recv, 6, native.MSG_WAITALL)
    buffer = bytearray(4)
    for part in (b"ab", b"cd", b"ef"):
        turn()
        b.send(part)
    assert thread.get(5) == b"abcdef"
    into = green.spawn(a.recv_into, buffer, 0, native.MSG_WAITALL)
    for part in (b"gh", b"ij"):
        turn()
        b.send(part)
    assert into.get(5) == 4 and buffer == b"ghij"
    b.send(b"x")
    assert a.recv(1, native.MSG_PEEK) == b"x" == a.recv(1)


def test_sending_waits_until_all_is_gone(pair: Pair) -> None:
    a, b = pair
    data = os.urandom(700_000)
    for send in (a.sendall, a.send, lambda part: a.sendmsg([part[:5], part[5:]])):
        thread = green.spawn(send, data)
        turn()
        assert not thread.finished
        received = bytearray()
        while len(received) < len(data):
            received += b.recv(65536)
        assert received == data and thread.get(5) in (None, len(data))
    a.settimeout(0.002)
    with pytest.raises(TimeoutError):
        a.sendall(data)
    assert len(b.recv(1 << 20)) > 0
    a.setblocking(False)
    with pytest.raises(BlockingIOError):
        a.sendall(data)


def test_sendfile_sends_files_and_what_is_none(pair: Pair, tmp_path: Path) -> None:
    a, b = pair
    file = tmp_path / "file"
    file.write_bytes(data := os.urandom(500_000))

    def receive(count: int) -> bytes:
        received = b""
        while len(received) < count:
            received += b.recv(65536)
        return received

    with file.open("rb") as source:
        reader = green.spawn(receive, len(data))
        assert a.sendfile(source) == len(data)
        assert reader.get(5) == data
        assert a.sendfile(source, 100, 50) == 50 and source.tell() == 150
        assert b.recv(100) == data[100:150]
    import io

    assert a.sendfile(io.BytesIO(b"memory")) == 6 and b.recv(10) == b"memory"
    with (tmp_path / "empty").open("wb+") as source:
        assert a.sendfile(source) == 0
    a.setblocking(False)
    with file.open("rb") as source, pytest.raises(ValueError):
        a.sendfile(source)


def test_files_of_a_socket(pair: Pair) -> None:
    a, b = pair
    with a.makefile("rb") as source, b.makefile("w") as sink:
        thread = green.spawn(source.readline)
        turn()
        print("line", file=sink, flush=True)
        assert thread.get(5) == b"line\n"
    a.settimeout(0.002)
    with a.makefile("rb") as source, pytest.raises(TimeoutError):
        source.read(1)


def test_connect_and_accept_wait(listener: gsocket.GreenSocket) -> None:
    thread = green.spawn(listener.accept)
    turn()
    client = gsocket.create_connection(listener.getsockname(), timeout=5)
    server, address = thread.get(5)
    assert isinstance(server, native.socket) and address == client.getsockname()
    assert client.gettimeout() == 5 and server.gettimeout() is None
    client.close()
    assert server.recv(1) == b""
    server.close()
    by_name = gsocket.create_connection(("localhost", listener.getsockname()[1]))
    by_name.close()
    listener.settimeout(0.001)
    listener.accept()[0].close()
    with pytest.raises(TimeoutError):
        listener.accept()


def test_a_refused_connection_is_an_error_and_connect_ex_gives_its_number(hub: Hub) -> None:
    with gsocket.GreenSocket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = unused.getsockname()
        with pytest.raises(ConnectionRefusedError):
            gsocket.create_connection(address)
        with gsocket.GreenSocket() as sock:
            assert sock.connect_ex(address) == errno.ECONNREFUSED
        with gsocket.GreenSocket() as sock:
            sock.setblocking(False)
            assert sock.connect_ex(address) in (errno.EINPROGRESS, errno.ECONNREFUSED)


def test_connect_times_out(hub: Hub) -> None:
    with native.socket() as full:  # accepts nothing, and its queue is full
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        clients = []
        with pytest.raises(TimeoutError):
            for _ in range(5):
                clients.append(gsocket.create_connection(full.getsockname(), 0.02))
        with gsocket.GreenSocket() as sock:
            sock.settimeout(0.005)
            assert sock.connect_ex(full.getsockname()) == errno.EAGAIN
        for client in clients:
            client.close()


def test_a_full_unix_listener_is_waited_for(hub: Hub, tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    with gsocket.GreenSocket(native.AF_UNIX) as full:
        full.bind(path)
        full.listen(0)

        def connect() -> gsocket.GreenSocket:
            sock = gsocket.GreenSocket(native.AF_UNIX)
            sock.connect(path)
            return sock

        clients = [green.spawn(connect) for _ in range(4)]
        green.sleep(0.005)
        for _ in range(4):
            full.accept()[0].close()
        for client in clients:
            client.get(5).close()
        with gsocket.GreenSocket(native.AF_UNIX) as sock, gsocket.GreenSocket(native.AF_UNIX) as other:
            sock.connect(path)
            other.settimeout(0.005)
            with pytest.raises(TimeoutError):
                other.connect(path)


def test_closing_wakes_reader_and_writer(pair: Pair) -> None:
    a, b = pair
    b.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            a.send(b"x" * 65536, native.MSG_DONTWAIT)
    threads = [green.spawn(a.recv, 1), green.spawn(a.sendall, b"x" * 10)]
    for thread in threads:
        thread.link(lambda thread: None)  # somebody looks at its error
    turn()
    a.close()
    for thread in threads:
        with pytest.raises(OSError) as caught:
            thread.get(5)
        assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError):
        a.recv(1)


def test_detaching_forgets_the_descriptor(hub: Hub) -> None:
    a, b = gsocket.socketpair()
    thread = green.spawn(a.recv, 1)
    turn()
    number = a.detach()
    with pytest.raises(OSError):
        thread.get(5)
    with b, gsocket.GreenSocket(fileno=number) as again:
        thread = green.spawn(again.recv, 1)
        turn()
        b.send(b"x")
        assert thread.get(5) == b"x"
    assert number not in hub.descriptors


def test_several_readers_share_a_socket(pair: Pair) -> None:
    a, b = pair
    readers = [green.spawn(a.recv, 1) for _ in range(3)]
    turn()
    b.send(b"xyz")
    assert sorted(reader.get(5) for reader in readers) == [b"x", b"y", b"z"]


def test_an_event_that_came_while_nobody_waited_is_not_missed(pair: Pair) -> None:
    a, b = pair
    first = green.spawn(a.recv, 10)
    turn()
    b.send(b"one")
    assert first.get(5) == b"one"
    b.send(b"two")
    green.sleep(0.002)  # the edge passes
    assert a.recv(1) == b"t"
    hub = green.get_hub()
    assert hub.wait_fd(a.fileno(), green.READ, 5), "what holds already is reported"
    assert a.recv(10) == b"wo"


def test_duplicates_and_subclasses_are_green(pair: Pair) -> None:
    a, b = pair
    with a.dup() as copy:
        assert type(copy) is gsocket.GreenSocket
        thread = green.spawn(copy.recv, 1)
        turn()
        b.send(b"x")
        assert thread.get(5) == b"x"
    with gsocket.fromfd(a.fileno(), a.family, a.type) as copy:
        b.send(b"y")
        assert copy.recv(1) == b"y"
    assert "GreenSocket" in repr(a)


def test_a_thread_without_a_hub_simply_blocks(pair: Pair) -> None:
    a, b = pair
    got: list[object] = []

    def work() -> None:
        got.append(a.recv(1))
        a.settimeout(0.002)
        try:
            a.recv(1)
        except TimeoutError:
            got.append("timed out")
        got.append(green.current_hub())

    thread = threading.Thread(target=work)
    thread.start()
    green.sleep(0.002)
    b.send(b"x")
    while thread.is_alive():
        green.sleep(0.001)
    assert got == [b"x", "timed out", None]


def test_a_default_timeout_is_taken_over(hub: Hub) -> None:
    native.setdefaulttimeout(5)
    try:
        with gsocket.GreenSocket() as sock:
            assert sock.gettimeout() == 5
    finally:
        native.setdefaulttimeout(None)
    with gsocket.GreenSocket(type=native.SOCK_STREAM | native.SOCK_NONBLOCK) as sock:
        assert sock.gettimeout() == 0


def test_datagrams(hub: Hub) -> None:
    with gsocket.GreenSocket(type=native.SOCK_DGRAM) as a, gsocket.GreenSocket(type=native.SOCK_DGRAM) as b:
        a.bind(("127.0.0.1", 0))
        thread = green.spawn(a.recvfrom, 10)
        turn()
        b.sendto(b"hello", a.getsockname())
        assert thread.get(5)[0] == b"hello"
