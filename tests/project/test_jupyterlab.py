"""A real JupyterLab, started from this environment as a learner would start it, shows the lessons and runs a cell."""

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

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds for each step; a busy machine may be slow


class Lab:
    """A running server: `get`, `post` and `delete` under its address, with its token and without proxies."""

    def __init__(self, process: subprocess.Popen, log: Path, address: str, token: str):
        self.process, self.log, self.address, self.token = process, log, address, token
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"token {token}"

    def ask(self, method: str, path: str, **options) -> requests.Response:
        reply = self.session.request(method, self.address + path, timeout=PATIENCE, **options)
        assert reply.ok, (
            f"{method} {path} gave {reply.status_code}: {reply.text[:500]}\n{self.said()}"
        )
        return reply

    def said(self) -> str:
        return f"The server's log:\n{self.log.read_text(encoding='utf-8', errors='replace')}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    own = {
        f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("RUNTIME", "CONFIG", "DATA")
    }
    token, log = secrets.token_hex(16), folder / "log.txt"
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
    environment = {**os.environ, **own, "IPYTHONDIR": str(folder / "ipython")}
    with open(log, "w") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        server = Lab(process, log, address(process, folder / "runtime", log), token)
        yield server
        server.ask("POST", "api/shutdown")
        assert process.wait(PATIENCE) == 0, (
            f"the server did not shut down cleanly.\n{server.said()}"
        )
    finally:
        process.kill()
        process.wait()


def address(process: subprocess.Popen, runtime: Path, log: Path) -> str:
    """The server's URL, from the file it writes when it listens."""
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
    url = f"{lab.address.replace('http', 'ws', 1)}api/kernels/{kernel}/channels?token={lab.token}"
    channel = websocket.create_connection(
        url, timeout=PATIENCE, http_no_proxy=["127.0.0.1", "localhost"]
    )
    try:
        header = {
            "msg_id": uuid.uuid4().hex,
            "session": uuid.uuid4().hex,
            "username": "",
            "msg_type": "execute_request",
            "version": "5.3",
        }
        content = {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        channel.send(
            json.dumps(
                {
                    "header": header,
                    "parent_header": {},
                    "metadata": {},
                    "content": content,
                    "channel": "shell",
                    "buffers": [],
                }
            )
        )
        printed = []
        while True:
            message = json.loads(channel.recv())
            kind, content = message["header"]["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            if kind == "error":
                pytest.fail("\n".join(content["traceback"]) + f"\n{lab.said()}")
            if kind == "stream":
                printed.append(content["text"])
            if kind == "status" and content["execution_state"] == "idle":
                return "".join(printed)
    finally:
        channel.close()


def test_it_serves_its_page_for_the_first_lesson(lab):
    assert "JupyterLab" in lab.ask("GET", "lab/tree/notebooks/00_start_here.ipynb").text


def test_it_lists_the_first_lesson(lab):
    listed = lab.ask("GET", "api/contents/notebooks").json()["content"]
    assert "notebooks/00_start_here.ipynb" in [
        entry["path"] for entry in listed if entry["type"] == "notebook"
    ]


def test_a_cell_imports_minirec(lab):
    kernel = lab.ask(
        "POST", "api/kernels", json={"name": "python3", "path": "notebooks/00_start_here.ipynb"}
    ).json()["id"]
    try:
        assert run_cell(lab, kernel, "import minirec; print(minirec.__name__)") == "minirec\n"
    finally:
        lab.ask("DELETE", f"api/kernels/{kernel}")


def test_a_cell_runs_in_the_environment_of_the_tests(lab):
    kernel = lab.ask("POST", "api/kernels", json={"name": "python3"}).json()["id"]
    try:
        assert run_cell(lab, kernel, "import sys; print(sys.prefix)") == f"{sys.prefix}\n"
    finally:
        lab.ask("DELETE", f"api/kernels/{kernel}")
