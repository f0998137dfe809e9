"""Who is told of alerts, in the tests: an HTTP server that does as it is told, and the files that
configure embmond's sinks.

    with Receiver() as receiver:
        daemon = daemons("--config", sinks(folder, webhook(receiver)))
        receiver.wait_for(2)
"""
import http.server
import json
import socket
import threading

from harness import wait_for


class Receiver:
    """Keeps what is posted, and answers as `answer` says: a status, or one of the words below."""

    def __init__(self, answer=200, context=None):
        self.answer, self.context, self.port = answer, context, 0
        self.posts = []  # (path, headers, parsed body) of those that were answered 2xx
        self.tries = 0
        self.hanging = threading.Event()
        self.server = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Again on the same port after stop()."""
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.take(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_):
                pass  # broken off by the other side

        self.hanging.clear()
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        if self.context:
            self.server.socket = self.context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        if self.server:
            self.hanging.set()
            self.server.shutdown()
            self.server.server_close()
        self.server = None

    def take(self, request):
        self.tries += 1
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        answer = self.answer(request) if callable(self.answer) else self.answer
        request.close_connection = True
        if answer == "hang":
            self.hanging.wait(60)
        elif answer == "garbage":
            request.wfile.write(b"\x00\xff certainly no HTTP\r\n\r\n" * 10)
        elif answer == "reset":
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0" + bytes(4))
            request.connection.close()
        else:
            if 200 <= int(str(answer).split()[0]) < 300:
                self.posts.append((request.path, dict(request.headers), body))
            self.reply(request, answer)

    def reply(self, request, answer):
        status, *rest = str(answer).split()
        request.send_response(int(status))
        if rest[:1] == ["to"]:
            request.send_header("Location", rest[1])
        size = 1 << 20 if rest[:1] == ["flood"] else 0
        request.send_header("Content-Length", str(size))
        request.end_headers()
        request.wfile.write(b"x" * size)

    @property
    def url(self):
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.port}"

    def wait_for(self, count, timeout=20):
        """Waits until so many posts were taken; the newest one's body."""
        wait_for(lambda: len(self.posts) >= count, f"{count} posts", timeout)
        return self.posts[-1][2]

    def alerts(self):
        """All alerts that were posted, in order, whatever the format."""
        return [alert for _, _, body in self.posts
                for alert in (body["alerts"] if isinstance(body, dict) else body)]


def webhook(receiver, **options):
    url = receiver if isinstance(receiver, str) else receiver.url
    return {"webhook": {"url": url} | options}


def program(*command, **options):
    return {"exec": {"command": [str(part) for part in command]} | options}


def sinks(folder, *items, **others):
    """A configuration file with these sinks."""
    path = folder / "embmond.yaml"
    path.write_text(json.dumps({"sinks": list(items)} | others))
    return path


NAN = float("nan")


class Patient:
    """A trainer whose table falls ill and gets well when it is told to."""

    def __init__(self, daemon, name="run"):
        self.trainer, self.step = daemon.trainer(name), 0

    def post(self, *values):
        for value in values:
            self.trainer.step(self.step, values=[value])
            self.step += 1
        self.trainer.settle()

    def fall_ill(self):
        """A NaN fires at once."""
        self.post(NAN)

    def get_well(self):
        """Ten clear steps end it."""
        self.post(*[0.5] * 10)

    def leave(self):
        self.trainer.bye()
