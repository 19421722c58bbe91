#!/usr/bin/env python3
"""The client programs of http/examples, at the servers there and at one that misbehaves.

  http_programs_test.py FETCH GET UNIX_CLIENT DEMO_SERVER UNIX_SERVER

Nothing sleeps: whatever is waited for has a bound.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import traceback

PATIENCE = 60  # seconds
MEBIBYTE = 1 << 20


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def same(what, got, expected):
    check(got == expected, f"{what}: {got!r}, not {expected!r}")


class Programs:
    """The programs on one backend, servers that run, and a directory; closed at the end."""

    def __init__(self, paths, backend):
        self.fetch_path, self.get_path, self.unix_client_path, self.demo, self.unix = paths
        self.backend = backend
        self.stack = contextlib.ExitStack()
        self.directory = pathlib.Path(
            self.stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-test-")))

    def serve(self, program, *flags):
        """Starts a server; what it says it listens on."""
        server = subprocess.Popen([program, "--backend", self.backend, *flags],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.stack.callback(self._stop, server)
        line = server.stdout.readline().decode()
        if not line.startswith("listening on "):
            raise AssertionError(f"{program}: {line!r} {server.stderr.read().decode()!r}")
        # Whatever else it says must not fill the pipe.
        threading.Thread(target=server.stdout.read, daemon=True).start()
        return line.split(" ", 2)[2].strip()

    @staticmethod
    def _stop(server):
        server.terminate()
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()

    def start(self, *flags, **options):
        return subprocess.Popen([self.fetch_path, "--backend", self.backend, *flags],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def run(self, *flags, **options):
        """(exit code, standard output, standard error)"""
        return run([self.fetch_path, "--backend", self.backend, *flags], **options)

    def gets(self, *flags, **options):
        """Standard output of a fetch that goes well and has nothing to say."""
        code, output, errors = self.run(*flags, **options)
        same(f"the end of {flags}", (code, errors), (0, ""))
        return output

    def refuses(self, code, text, *flags, **options):
        """A fetch that prints nothing but one line of errors."""
        found, output, errors = self.run(*flags, **options)
        same(f"exit code and output of {flags}, with {errors!r}", (found, output), (code, b""))
        check(re.fullmatch(f"error: .*{text}.*\n", errors), f"{errors!r}, not {text!r}")

    def counts(self, *flags):
        """(standard output, the statistics) of a fetch with --repeat that goes well."""
        code, output, errors = self.run(*flags)
        check(code == 0, f"exit code {code} of {flags}: {errors}")
        lines = errors.splitlines()
        same(f"lines of {errors!r}", len(lines), 2)
        check(re.fullmatch(r"latency p50 \d+\.\d{3} ms p99 \d+\.\d{3} ms", lines[1]), lines[1])
        words = lines[0].split()
        return output, dict(zip(words[::2], map(int, words[1::2])))


def run(command, **options):
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, **options)
    return done.returncode, done.stdout, done.stderr.decode()


class Listener:
    """A server that answers what a test wants, over a Unix socket."""

    def __init__(self, programs, name, answer):
        self.path = str(programs.directory / name)
        self.listener = programs.stack.enter_context(socket.socket(socket.AF_UNIX))
        self.listener.bind(self.path)
        self.listener.listen()
        self.listener.settimeout(PATIENCE)
        self.thread = threading.Thread(target=self._serve, args=(answer,), daemon=True)
        self.thread.start()

    def _serve(self, answer):
        with self.listener.accept()[0] as connection:
            connection.settimeout(PATIENCE)
            with contextlib.suppress(OSError):
                answer(connection)


def read_head(connection):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        check(piece, f"the client has gone after {head!r}")
        head += piece
    return head


CASES = []


def case(function):
    CASES.append(function)
    return function


# ---- fetch ----


@case
def small_requests(programs):
    base = "http://" + programs.serve(programs.demo, "--host", "127.0.0.1", "--port", "0")
    same("GET", programs.gets(f"{base}/hello"), b"Hello, World!")
    same("POST", programs.gets("-d", "a b", f"{base}/echo"), b"a b")
    same("an empty POST", programs.gets("-d", "", f"{base}/echo"), b"")
    same("HEAD", programs.gets("-X", "HEAD", f"{base}/hello"), b"")
    head = programs.gets("-i", "-X", "HEAD", f"{base}/hello").decode()
    check(head.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"), head)
    check("Content-Length: 13\r\n" in head and head.endswith("\r\n\r\n"), head)
    whole = programs.gets("-i", f"{base}/hello").decode()
    check(whole.endswith("\r\n\r\nHello, World!"), whole)
    fields = programs.gets("-X", "PUT", "-H", "X-One: 1", "-H", "X-Two:2", "-H", "X-None:",
                           "-d", "xyz", f"{base}/headers").decode().splitlines()
    for line in ("X-One: 1", "X-Two: 2", "X-None: ", "Content-Length: 3", "Connection: keep-alive"):
        check(line in fields, f"no {line!r} in {fields}")
    closed = programs.gets("--no-keep-alive", f"{base}/headers").decode().splitlines()
    check("Connection: close" in closed, closed)
    missing = programs.gets("-i", f"{base}/nowhere")
    check(missing.startswith(b"HTTP/1.1 404 Not Found\r\n"), missing)
    programs.refuses(22, "the server answered 404 Not Found", "--fail", f"{base}/nowhere")
    same("no failure", programs.gets("--fail", f"{base}/hello"), b"Hello, World!")
    continued = programs.gets("-i", "-H", "Expect: 100-continue", "-d", "hi", f"{base}/echo")
    check(continued.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), continued)
    check(continued.endswith(b"\r\n\r\nhi"), continued)
    same("get", run([programs.get_path, f"{base}/hello"]), (0, b"Hello, World!", "200 OK\n"))


@case
def bodies(programs):
    path = str(programs.directory / "socket")
    same("where it listens", programs.serve(programs.demo, "--unix", path), path)
    to = ("--unix", path, "http://localhost/echo")
    file = programs.directory / "body"
    for size in (0, 1, 65536, 10 * MEBIBYTE):
        body = os.urandom(size)
        file.write_bytes(body)
        same(f"a file of {size}", programs.gets("--body", file, *to) == body, True)
        with file.open("rb") as opened:
            same(f"standard input, a file of {size}",
                 programs.gets("--body", "-", *to, stdin=opened) == body, True)
        same(f"a pipe with {size}", programs.gets("--body", "-", *to, input=body) == body, True)
        back = programs.directory / "back"
        same("nothing on stdout", programs.gets("--body", file, "-o", back, *to), b"")
        check(back.read_bytes() == body, f"-o: other bytes of {size}")
    shown = ("-X", "PUT", "--unix", path, "http://localhost/headers")
    file.write_bytes(b"12345678")
    with file.open("rb") as opened:
        os.lseek(opened.fileno(), 3, os.SEEK_SET)
        lines = programs.gets("--body", "-", *shown, stdin=opened).decode().splitlines()
    check("Content-Length: 5" in lines, f"what is left of the file: {lines}")
    lines = programs.gets("--body", "-", *shown, input=b"12345678").decode().splitlines()
    check("Transfer-Encoding: chunked" in lines, lines)
    programs.refuses(1, "open ENOENT: /nowhere", "--body", "/nowhere", *to)
    programs.refuses(1, "EISDIR", "--body", "/tmp", *to)


def download(programs, url):
    """The hash of what comes through a pipe, and how much."""
    with programs.start(url) as fetch:
        hashed, size = hashlib.sha256(), 0
        while piece := fetch.stdout.read(65536):
            hashed.update(piece)
            size += len(piece)
        same("the end", (fetch.wait(PATIENCE), fetch.stderr.read()), (0, b""))
    return hashed.hexdigest(), size


@case
def downloads(programs):
    content = os.urandom(64 * MEBIBYTE)
    (programs.directory / "large").write_bytes(content)
    base = "http://" + programs.serve(programs.demo, "--host", "127.0.0.1", "--port", "0",
                                      "--root", programs.directory)
    same("a file", download(programs, f"{base}/large"),
         (hashlib.sha256(content).hexdigest(), len(content)))
    chunked = hashlib.sha256(b"x" * (200 * MEBIBYTE)).hexdigest()
    same("chunks", download(programs, f"{base}/chunked?n=200&size={MEBIBYTE}"),
         (chunked, 200 * MEBIBYTE))


@case
def slow_reader(programs):
    """Whoever reads standard output late holds the server up, not fetch's memory."""
    # A receive that is in flight when its socket is paused may bring the whole buffer ring, 2 MiB,
    # in each of the few turns until it is cancelled.
    size, least, most = 128 * MEBIBYTE, 64 << 10, 16 * MEBIBYTE
    sent, changed = [0], threading.Condition()

    def answer(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        piece = b"y" * 65536
        while sent[0] < size:
            done = connection.send(piece)
            with changed:
                sent[0] += done
                changed.notify_all()

    listener = Listener(programs, "slow", answer)
    with programs.start("--unix", listener.path, "http://localhost/") as fetch:
        got = 0
        while got < size:
            # Sockets and a pipe hold that much; only then comes the reader.
            with changed:
                ahead = changed.wait_for(lambda: sent[0] >= min(size, got + least), PATIENCE)
            check(ahead, f"{sent[0]} bytes sent, {got} read: it has stopped too early")
            check(sent[0] - got <= most, f"{sent[0]} bytes sent when {got} were read")
            piece = os.read(fetch.stdout.fileno(), 65536)
            check(piece, f"it ends after {got} bytes")
            got += len(piece)
            if got == size:
                # Before the end: of a process that has ended there is none.
                status = pathlib.Path(f"/proc/{fetch.pid}/status").read_text()
        same("the end", (fetch.stdout.read(), fetch.wait(PATIENCE)), (b"", 0))
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        check(peak is None or int(peak[1]) < 64 << 10, f"memory: {peak and peak[0]}")


@case
def output_fails(programs):
    base = "http://" + programs.serve(programs.demo, "--host", "127.0.0.1", "--port", "0")
    with programs.start(f"{base}/chunked?n=1000&size={MEBIBYTE}") as fetch:
        check(fetch.stdout.read(10) == b"x" * 10, "other bytes")
        fetch.stdout.close()
        errors = fetch.stderr.read().decode()
        same(f"exit code, with {errors!r}", fetch.wait(PATIENCE), 1)
        same("what it says", errors, "error: the output: write EPIPE\n")
    programs.refuses(1, "the output: open ENOENT", "-o", "/nowhere/file", f"{base}/hello")


@case
def repeated(programs):
    base = "http://" + programs.serve(programs.demo, "--host", "127.0.0.1", "--port", "0")
    output, counted = programs.counts("--repeat", "100", f"{base}/hello")
    same("bodies in a row", output, b"Hello, World!" * 100)
    same("one by one", counted, {"requests": 100, "connections": 1, "reused": 99, "retried": 0,
                                 "failed": 0, "bytes": 1300})
    output, counted = programs.counts("--repeat", "500", "--parallel", "20", "--max-sockets", "5",
                                      f"{base}/hello")
    same("in parallel", (output, counted), (b"", {"requests": 500, "connections": 5, "reused": 495,
                                                  "retried": 0, "failed": 0, "bytes": 6500}))
    _, counted = programs.counts("--repeat", "20", "--parallel", "4", "--no-keep-alive",
                                 f"{base}/hello")
    same("connections without keep-alive", (counted["connections"], counted["reused"]), (20, 0))
    body = programs.directory / "body"
    body.write_bytes(os.urandom(100000))
    output, _ = programs.counts("--repeat", "20", "--body", body, f"{base}/echo")
    check(output == body.read_bytes() * 20, "other bodies")
    heads = programs.directory / "heads"
    programs.counts("--repeat", "3", "-i", "-X", "HEAD", "-o", heads, f"{base}/hello")
    same("heads", heads.read_bytes().count(b"HTTP/1.1 200 OK\r\n"), 3)
    code, _, errors = programs.run("--repeat", "10", "--parallel", "2", "--fail", f"{base}/nowhere")
    same("exit code", code, 22)
    check(errors.startswith("error: 10 of 10 requests failed, the first: the server answered 404"),
          errors)


@case
def cut_off(programs):
    def half(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf.")

    path = Listener(programs, "half", half).path
    same("half an answer", programs.run("--unix", path, "http://localhost/"),
         (1, b"half.", "error: the response was cut off after 5 bytes of its body: "
          "ECONNRESET: aborted\n"))
    path = Listener(programs, "nothing", read_head).path
    programs.refuses(1, "ECONNRESET: socket hang up", "--unix", path, "http://localhost/")
    path = Listener(programs, "no-http", lambda c: c.sendall(b"SSH-2.0-x\r\n") or c.recv(1)).path
    programs.refuses(1, "HPE_", "--unix", path, "http://localhost/")
    # It answers before the body has come, and closes: the answer counts.

    def early(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfull")
        while connection.recv(65536):
            pass

    path = Listener(programs, "early", early).path
    same("an early answer", programs.gets("--body", "/dev/zero", "--unix", path, "http://a/"),
         b"full")


@case
def limits_of_time(programs):
    asked = threading.Event()

    def silent(connection):
        read_head(connection)
        asked.set()
        connection.recv(1)  # until it has gone

    path = Listener(programs, "silent", silent).path
    programs.refuses(1, "ETIMEDOUT", "--timeout", "0.2", "--unix", path, "http://localhost/")
    check(asked.is_set(), "it has not asked")
    # Expect: 100-continue, and a server that has never heard of it: the body comes all the same.

    def deaf(connection):
        read_head(connection)
        body = connection.recv(4, socket.MSG_WAITALL)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + body)

    path = Listener(programs, "deaf", deaf).path
    same("an expectation that is not met",
         programs.gets("-H", "Expect: 100-continue", "-d", "body", "--unix", path, "http://a/"),
         b"body")


@case
def abstract_names(programs):
    name = "weir-test-" + os.urandom(8).hex()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        listener.settimeout(PATIENCE)
        with programs.start("--unix", name, "--abstract", "http://a:8/x?y") as fetch:
            with listener.accept()[0] as connection:
                connection.settimeout(PATIENCE)
                head = read_head(connection)
                check(head.startswith(b"GET /x?y HTTP/1.1\r\n"), head)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
            same("an answer until the end", (fetch.stdout.read(), fetch.wait(PATIENCE)),
                 (b"until the end", 0))


@case
def mistakes(programs):
    for url, advice in (
            ("example.org/x", "write http://example.org/x"),
            ("127.0.0.1:80", "write http://127.0.0.1:80"),
            ("https://example.org/", "there is no TLS here"),
            ("http://a/b c", "write http://a/b%20c"),
            ("http://a:0/", "write a port from 1 to 65535"),
            ("http://a:x/", "write a port from 1 to 65535"),
            ("http:///", r"write http://host\[:port\]"),
    ):
        programs.refuses(1, advice, url)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        programs.refuses(1, f"connect ECONNREFUSED {address}", f"http://{address}/")
        same("get", run([programs.get_path, f"http://{address}/"]),
             (1, b"", f"error: connect ECONNREFUSED {address}\n"))
        programs.refuses(1, "ERR_INVALID_HTTP_TOKEN", "-X", "A B", f"http://{address}/")
        programs.refuses(1, "X Y: ERR_INVALID_HTTP_TOKEN", "-H", "X Y: 1", f"http://{address}/")
        code, _, errors = programs.run("--repeat", "1000", "-X", "A B", f"http://{address}/")
        same("exit code", code, 1)
        check(errors.startswith("error: ERR_INVALID_HTTP_TOKEN"), errors)
    programs.refuses(1, "connect ENOENT /nowhere", "--unix", "/nowhere", "http://a/")
    for flags in ((), ("-H", "no colon", "http://a/"), ("--abstract", "http://a/"),
                  ("--body", "x", "-d", "x", "http://a/"), ("--backend", "poll", "http://a/"),
                  ("--repeat", "0", "http://a/"), ("--repeat", "2", "--body", "-", "http://a/"),
                  ("--parallel", "2", "-i", "http://a/"), ("--timeout", "-1", "http://a/"),
                  ("--parallel", "2", "-o", "x", "http://a/")):
        programs.refuses(2, "see --help", *flags)
    programs.refuses(2, "--timeout: not in 0..1000000; see --help", "--timeout=nan", "http://a/")
    programs.refuses(2, "--backend: not auto, io_uring or epoll; see --help", "--backend=2",
                     "http://a/")
    code, output, _ = programs.run("--help")
    check(code == 0 and b"Redirects are not followed" in output, output)


# ---- The client of the document that weir started from ----


@case
def unix_client(programs):
    content = "The file,\nin two lines.\n"
    (programs.directory / "main.txt").write_text(content)
    path = str(programs.directory / "socket")

    def ask(*flags):
        return run([programs.unix_client_path, "--backend", programs.backend, "--path", path,
                    *flags])

    same("without a server", ask(),
         (0, f"problem with request: connect ENOENT {path}\n".encode(), ""))
    programs.serve(programs.unix, "--path", path, "--root", programs.directory)
    code, output, errors = ask()
    same("the end", (code, errors), (0, ""))
    status, headers, chunks = output.decode().split("\n", 2)
    same("the status", status, "STATUS: 200")
    check(re.fullmatch(r'HEADERS: \{"content-type":"text/plain","date":"[^"]+",'
                       r'"connection":"keep-alive","keep-alive":"timeout=5",'
                       r'"transfer-encoding":"chunked"\}', headers), headers)
    # Where the pieces are cut is the network's.
    said = "chunk o' data : "
    check(chunks.startswith(said) and chunks.endswith("\n"), chunks[:100])
    pieces = chunks[len(said):-1].split("\n" + said)
    same("what they say", "".join(pieces),
         "".join(f"{number}\n" for number in range(100)) + content)
    code, output, _ = ask("--file", "nowhere")
    check(output.startswith(b"STATUS: 404\nHEADERS: {"), output)
    same("the pool", ask("--requests", "20"), (0, b"20 responses over 5 connections\n", ""))
    same("a larger pool", ask("--requests", "20", "--max-sockets", "20"),
         (0, b"20 responses over 20 connections\n", ""))


def usable_backends(paths):
    backends = ["epoll"]
    programs = Programs(paths, "io_uring")
    code, _, errors = programs.run("--unix", "/nowhere", "http://a/")
    programs.stack.close()
    if code == 1 and "connect ENOENT" in errors:
        return backends + ["io_uring"]
    print(f"SKIP all cases on io_uring: {errors.strip()}", flush=True)
    return backends


def run_case(function, programs):
    try:
        function(programs)
    except Exception as error:  # pylint: disable=broad-except
        if not isinstance(error, AssertionError):
            traceback.print_exc(file=sys.stdout)
        print(f"FAILED {function.__name__} on {programs.backend}: {error}", flush=True)
        return False
    finally:
        programs.stack.close()
    print(f"ok {function.__name__} on {programs.backend}", flush=True)
    return True


def main(*arguments):
    paths = [str(pathlib.Path(argument).resolve()) for argument in arguments[:5]]
    words = arguments[5:]
    results = [run_case(function, Programs(paths, backend))
               for backend in usable_backends(paths) for function in CASES
               if not words or any(word in function.__name__ for word in words)]
    print(f"{sum(results)} of {len(results)} passed")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
