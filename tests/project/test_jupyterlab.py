"""A real JupyterLab shows the lessons and runs a cell.

It is started from this environment, as a learner would start it.
"""

import json
import os
import secrets
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import requests
import websocket

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds for each step; a busy machine may be slow


class Lab:
    """A running server, asked with its token and without proxies."""

    def __init__(self, address: str, token: str, log: Path):
        self.address = address  # ends with a slash
        self.token = token
        self.log = log
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"token {token}"

    def ask(self, method: str, path: str, **options) -> requests.Response:
        reply = self.session.request(method, self.address + path, timeout=PATIENCE, **options)
        complaint = f"{method} {path} gave {reply.status_code}: {reply.text[:500]}"
        assert reply.ok, f"{complaint}\n{self.said()}"
        return reply

    def start_kernel(self, **options) -> str:
        """The id of a new kernel."""
        return self.ask("POST", "api/kernels", json={"name": "python3", **options}).json()["id"]

    def said(self) -> str:
        return f"The server's log:\n{self.log.read_text(encoding='utf-8', errors='replace')}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    log = folder / "log.txt"
    token = secrets.token_hex(16)
    process = start_server(folder, token, log)
    try:
        server = Lab(wait_for_address(process, folder / "runtime", log), token, log)
        yield server
        server.ask("POST", "api/shutdown")
        status = process.wait(PATIENCE)
        assert status == 0, f"the server did not shut down cleanly.\n{server.said()}"
    finally:
        process.kill()
        process.wait()


def start_server(folder: Path, token: str, log: Path) -> subprocess.Popen:
    """Start JupyterLab at the project's root, with folders of its own under `folder`."""
    environment = {
        **os.environ,
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={ROOT}",
    ]
    with open(log, "w") as out:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )


def wait_for_address(process: subprocess.Popen, runtime: Path, log: Path) -> str:
    """The server's URL, from the file that it writes when it listens."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            try:
                return json.loads(path.read_text())["url"]
            except json.JSONDecodeError:  # half written; look again
                pass
        time.sleep(0.1)
    pytest.fail(
        f"JupyterLab did not start (exit status {process.poll()}).\nIts log:\n{log.read_text()}"
    )


def run_cell(lab: Lab, kernel: str, source: str) -> str:
    """What the cell prints. Fails on an error in the cell."""
    address = lab.address.replace("http", "ws", 1)
    channel = websocket.create_connection(
        f"{address}api/kernels/{kernel}/channels?token={lab.token}",
        timeout=PATIENCE,
        http_no_proxy=["127.0.0.1", "localhost"],
    )
    try:
        request = execute_request(source)
        channel.send(json.dumps(request))
        return printed_for(lab, channel, request["header"]["msg_id"])
    finally:
        channel.close()


def execute_request(source: str) -> dict:
    """The message of Jupyter's protocol that asks a kernel to run a cell."""
    return {
        "header": {
            "msg_id": uuid.uuid4().hex,
            "session": uuid.uuid4().hex,
            "username": "",
            "msg_type": "execute_request",
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "content": {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        },
        "channel": "shell",
        "buffers": [],
    }


def printed_for(lab: Lab, channel: websocket.WebSocket, request_id: str) -> str:
    """What the kernel prints for this request, until it is idle again."""
    printed = []
    while True:
        message = json.loads(channel.recv())
        if message["parent_header"].get("msg_id") != request_id:
            continue
        kind = message["header"]["msg_type"]
        content = message["content"]
        if kind == "error":
            pytest.fail("\n".join(content["traceback"]) + f"\n{lab.said()}")
        if kind == "stream":
            printed.append(content["text"])
        if kind == "status" and content["execution_state"] == "idle":
            return "".join(printed)


def test_it_serves_its_page_for_the_first_lesson(lab):
    assert "JupyterLab" in lab.ask("GET", "lab/tree/notebooks/00_start_here.ipynb").text


def test_it_lists_the_first_lesson(lab):
    listed = lab.ask("GET", "api/contents/notebooks").json()["content"]
    notebooks = [entry["path"] for entry in listed if entry["type"] == "notebook"]
    assert "notebooks/00_start_here.ipynb" in notebooks


def test_a_cell_imports_minirec(lab):
    kernel = lab.start_kernel(path="notebooks/00_start_here.ipynb")
    try:
        assert run_cell(lab, kernel, "import minirec; print(minirec.__name__)") == "minirec\n"
    finally:
        lab.ask("DELETE", f"api/kernels/{kernel}")


def test_a_cell_runs_in_the_environment_of_the_tests(lab):
    kernel = lab.start_kernel()
    try:
        assert run_cell(lab, kernel, "import sys; print(sys.prefix)") == f"{sys.prefix}\n"
    finally:
        lab.ask("DELETE", f"api/kernels/{kernel}")
