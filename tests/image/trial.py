"""Tries the image from outside: jobs through it, its user, its healthcheck, its volume, its end. Called by test.sh."""

import contextlib
import http.client
import http.server
import json
import pathlib
import re
import socket
import sys
import tempfile
import threading
import time

from containers import PATIENCE_SECONDS, Buildah, Docker

IMAGE_BYTES_MAX = 30 * 1024 * 1024
CONFIG_FILE = "/etc/proxq/config.yaml"


class Upstream:
    """Answers every POST with its body; one to /slow only when `go` is set."""

    def __init__(self):
        upstream = self
        self.arrived, self.go = threading.Event(), threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/slow":
                    upstream.arrived.set()
                    upstream.go.wait(PATIENCE_SECONDS)
                self.send_response(201)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # By name, as in a compose project: the image must be able to resolve names.
        self.url = f"http://upstream:{server.server_port}"


class Proxq:
    """A container that serves, and what a client does with it."""

    def __init__(self, engine, volume, arguments=(), env=None, files=None, port=None):
        self.container = engine.start(list(arguments), volume, env or {}, files or {})
        self.healthcheck = engine.config["Healthcheck"]["Test"][1:]
        self.port = port
        eventually("it listens", lambda: "listening" in self.log(), self.log)

    def log(self):
        return re.sub(r"\x1b\[[0-9;]*m", "", self.container.log())

    def request(self, method, path, body=None):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        client.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = client.getresponse()
        return answer.status, answer.read()

    def submit(self, path, body):
        status, answer = self.request("POST", path, body)
        assert status == 202, (status, answer)
        return json.loads(answer)["jobId"]

    def content(self, job, jobs_path="/__jobs"):
        return self.request("GET", f"{jobs_path}/{job}/content?wait=30s")

    def is_healthy(self):
        exit = self.container.run(self.healthcheck)
        assert exit.code in (0, 1), exit.text
        return exit.code == 0


def eventually(what, holds, told=lambda: ""):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"did not happen: {what}\n{told()}"
        time.sleep(0.05)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def served(engine, volume, *arguments, **how):
    """A server on a port of its own, which is the image's default address but for the port."""
    port = free_port()
    how["env"] = {"PROXQ_DEFAULT_LISTEN": f":{port}"} | how.get("env", {})
    proxq = Proxq(engine, volume, arguments, port=port, **how)
    try:
        yield proxq
    except BaseException:
        print(proxq.log(), file=sys.stderr)
        raise
    finally:
        proxq.container.remove()


def its_settings_are_those_of_a_careful_image(engine, _volume, _upstream):
    config = engine.config
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"]), config["User"]
    assert config["Entrypoint"] == ["/usr/local/bin/proxq"] and not config.get("Cmd"), config
    assert config["Healthcheck"]["Test"][0] == "CMD", "no shell is needed"
    assert "PROXQ_DEFAULT_LISTEN=:8080" in config["Env"] and "8080/tcp" in config["ExposedPorts"], config
    for label in ["title", "description", "licenses", "version", "revision"]:
        assert config["Labels"].get(f"org.opencontainers.image.{label}"), label


def a_job_goes_through_it_on_nothing_but_an_upstream(engine, volume, upstream):
    with served(engine, volume, "--upstream", upstream.url) as proxq:
        assert re.search(r"listening.*(\[::\]|0\.0\.0\.0):", proxq.log()), proxq.log()
        job = proxq.submit("/reports", b'{"year": 2026}')
        assert proxq.content(job) == (201, b'{"year": 2026}')
        large = json.dumps({"pad": "x" * 2_000_000}).encode()
        assert proxq.content(proxq.submit("/large", large)) == (201, large)
        # Asks for a stream at its very end: seen only if there is room to keep what comes before, on a disk.
        late = json.dumps({"pad": "x" * 2_000_000, "stream": True}).encode()
        assert proxq.request("POST", "/late", late) == (201, late)
        assert proxq.is_healthy()
        status = pathlib.Path(f"/proc/{proxq.container.pid()}/status").read_text()
        assert re.search(r"^Uid:(\s+65532){4}$", status, re.MULTILINE), status


def the_file_that_PROXQ_CONFIG_names_is_read(engine, volume, upstream):
    port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(f"listenAddress: ':{port}'\njobsPath: /queue\nupstreams: [{{prefix: /, url: '{upstream.url}'}}]\n")
        file.flush()
        pathlib.Path(file.name).chmod(0o644)
        with served(engine, volume, env={"PROXQ_CONFIG": CONFIG_FILE}, files={CONFIG_FILE: file.name}) as proxq:
            proxq.port = port  # the file's address wins over the image's
            assert proxq.content(proxq.submit("/x", b"{}"), "/queue") == (201, b"{}")
            assert proxq.is_healthy(), "the healthcheck reads the same file"


def a_mistake_in_the_configuration_ends_it_with_2(engine, volume, _upstream):
    container = engine.start(["--upstream", "nonsense"], volume, {}, {})
    try:
        assert container.exit_code() == 2, container.log()
    finally:
        container.remove()


def what_it_has_stored_survives_its_container(engine, volume, upstream):
    with served(engine, volume, "--upstream", upstream.url) as proxq:
        job = proxq.submit("/x", b'{"kept": true}')
        assert proxq.content(job)[0] == 201
    # Not stopped but removed, as by a crash.
    with served(engine, volume, "--upstream", upstream.url) as proxq:
        assert proxq.content(job) == (201, b'{"kept": true}')


def sigterm_lets_a_running_job_end(engine, volume, upstream):
    with served(engine, volume, "--upstream", upstream.url) as proxq:
        job = proxq.submit("/slow", b'{"slow": 1}')
        assert upstream.arrived.wait(PATIENCE_SECONDS)
        assert proxq.is_healthy()
        proxq.container.terminate()
        eventually("it drains", lambda: "draining" in proxq.log(), proxq.log)
        assert not proxq.is_healthy()
        upstream.go.set()
        assert proxq.container.exit_code() == 0, proxq.log()
    with served(engine, volume, "--upstream", upstream.url) as proxq:
        assert proxq.content(job) == (201, b'{"slow": 1}')


TRIALS = [
    its_settings_are_those_of_a_careful_image,
    a_job_goes_through_it_on_nothing_but_an_upstream,
    the_file_that_PROXQ_CONFIG_names_is_read,
    a_mistake_in_the_configuration_ends_it_with_2,
    what_it_has_stored_survives_its_container,
    sigterm_lets_a_running_job_end,
]


def main(client, image):
    engine = Buildah(image) if client == "buildah" else Docker(client, image)
    for trial in TRIALS:
        volume = engine.volume()
        try:
            trial(engine, volume, Upstream())
        finally:
            engine.remove_volume(volume)
        print("ok", trial.__name__.replace("_", " "), flush=True)
    print(f"{image}: {engine.size / 1024**2:.1f} MiB, at most {IMAGE_BYTES_MAX / 1024**2:.0f}")
    assert engine.size <= IMAGE_BYTES_MAX, "the image is too large"
    print(f"{len(TRIALS)} passed, 0 failed")


main(*sys.argv[1:])
