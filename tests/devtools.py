"""Chromium without a screen, driven over the pipe of its DevTools protocol."""

import itertools
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading

PATIENCE = 60  # seconds

FLAGS = (
    "--headless=new", "--disable-gpu", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-dev-shm-usage", "--mute-audio", "--hide-scrollbars",
    # Nothing but this machine is ever asked.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)


class Browser:
    """A browser with one page, in a directory of its own; both gone at the end of `with`."""

    def __init__(self, program="chromium"):
        self._directory = tempfile.TemporaryDirectory(prefix="weir-test-",
                                                      ignore_cleanup_errors=True)
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        flags = [*FLAGS, f"--user-data-dir={self._directory.name}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")
        # The protocol has the descriptors 3 and 4.
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec 3<&{their_in} 4>&{their_out} && exec "$@"', "bash", program,
             *flags, "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            pass_fds=(their_in, their_out), start_new_session=True)
        os.close(their_in)
        os.close(their_out)
        self._numbers = itertools.count(1)
        self._answers = {}
        self._lock = threading.Lock()
        self._session = None
        self.events = []  # (method, parameters), in order
        self._news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        return self

    def __exit__(self, *_):
        try:
            self._session = None
            self.call("Browser.close")
            self._process.wait(PATIENCE)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            pass
        # Its helpers are in a process group that is ours alone.
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        os.close(self._out)
        self._directory.cleanup()

    def _read(self):
        buffered = b""
        while received := os.read(self._in, 1 << 16):
            buffered += received
            *messages, buffered = buffered.split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    with self._lock:
                        answer = self._answers.pop(message["id"], None)
                    if answer is not None:
                        answer.put(message)
                else:
                    with self._news:
                        self.events.append((message["method"], message["params"]))
                        self._news.notify_all()
        os.close(self._in)

    def call(self, method, **parameters):
        """The result of a command."""
        answer = queue.Queue()
        message = {"id": next(self._numbers), "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        with self._lock:
            self._answers[message["id"]] = answer
        rest = json.dumps(message).encode() + b"\0"
        while rest:
            rest = rest[os.write(self._out, rest):]
        try:
            got = answer.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"no answer to {method}") from None
        if "error" in got:
            raise AssertionError(f"{method}: {got['error']}")
        return got["result"]

    def go_to(self, url):
        """Loads a page."""
        before = len(self.events)
        self.call("Page.navigate", url=url)

        def loaded():
            return any(method == "Page.loadEventFired" for method, _ in self.events[before:])

        with self._news:
            if not self._news.wait_for(loaded, PATIENCE):
                raise AssertionError(f"{url} does not load")

    def evaluate(self, expression):
        """The value of an expression of the page, or of its promise."""
        got = self.call("Runtime.evaluate", expression=expression, awaitPromise=True,
                        returnByValue=True)
        if "exceptionDetails" in got:
            raise AssertionError(f"{expression}: {got['exceptionDetails']}")
        return got["result"].get("value")

    def when(self, condition):
        """Waits until an expression of the page is true; it is looked at when the page changes."""
        self.evaluate("""new Promise((resolve) => {
          const look = () => { if (%s) { observer.disconnect(); resolve(); } };
          const observer = new MutationObserver(look);
          observer.observe(document, {subtree: true, childList: true, characterData: true,
                                      attributes: true});
          look();
        })""" % condition)
