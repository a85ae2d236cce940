"""Clients of HTTP/1.0 on the web and metrics ports: ab, curl, and nginx in front as it comes."""

import json
import pathlib
import shutil
import socket
import subprocess
import urllib.request

import pytest

from cluster import MODEL, until
from waiting import free_ports

CHAT = {"model": pathlib.Path(MODEL).stem, "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 4, "temperature": 0}


def run(*arguments, timeout=60):
    assert shutil.which(arguments[0]), f"{arguments[0]} is missing (Ops/setup --tests)"
    return subprocess.run(arguments, capture_output=True, text=True, timeout=timeout)


@pytest.mark.parametrize("keep", [[], ["-k"]], ids=["closes", "keeps"])
def test_ab(cluster, keep):
    for url in (f"{cluster.web}/v1/models", f"http://{cluster.metrics}/metrics"):
        result = run("ab", "-n", "60", "-c", "6", "-s", "30", *keep, url)
        assert result.returncode == 0, result.stdout + result.stderr
        facts = dict(line.split(":", 1) for line in result.stdout.splitlines() if ":" in line)
        assert facts["Complete requests"].strip() == "60" and "Non-2xx responses" not in facts, result.stdout
        # The metrics' length differs from answer to answer, which ab calls a failure.
        if "models" in url:
            assert facts["Failed requests"].strip() == "0", result.stdout
        if keep:
            assert facts["Keep-Alive requests"].strip() == "60", result.stdout


def curl(*arguments):
    result = run("curl", "--silent", "--show-error", "--http1.0", "--noproxy", "*", "--max-time", "50", *arguments)
    assert result.returncode == 0, result
    return result.stdout


def events(text):
    """What a stream of server-sent events said, put together."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]", text
    return "".join(choice["delta"].get("content") or ""
                   for line in lines[:-1] for choice in json.loads(line)["choices"])


def ask(cluster, **options):
    request = urllib.request.Request(
        f"{cluster.web}/v1/chat/completions", json.dumps({**CHAT, **options}).encode(),
        {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=50) as reply:
        return json.load(reply)["choices"][0]["message"]["content"]


def test_curl(cluster):
    headers = curl("--dump-header", "-", "--output", "/dev/null", f"{cluster.web}/")
    assert headers.startswith("HTTP/1.0 200") and "close" in headers.lower() and "chunked" not in headers
    assert "lariat" in curl(f"http://{cluster.metrics}/metrics")
    said = curl("--header", "Content-Type: application/json", "--data", json.dumps({**CHAT, "stream": True}),
                f"{cluster.web}/v1/chat/completions")
    assert events(said) == ask(cluster)


def test_nginx_in_front(cluster, tmp_path):
    """With its defaults: HTTP/1.0, a connection for each request."""
    assert shutil.which("nginx"), "nginx is missing (Ops/setup --tests)"
    [port] = free_ports(1)
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(f"""
        daemon off; user root; pid {tmp_path}/pid; error_log stderr; worker_processes 1;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path {tmp_path}/1; proxy_temp_path {tmp_path}/2; fastcgi_temp_path {tmp_path}/3;
            uwsgi_temp_path {tmp_path}/4; scgi_temp_path {tmp_path}/5;
            server {{
                listen 127.0.0.1:{port};
                location / {{ proxy_pass {cluster.web}; proxy_set_header Host localhost; proxy_buffering off; }}
            }}
        }}""")
    with open(tmp_path / "log", "wb") as log:
        nginx = subprocess.Popen(["nginx", "-e", "stderr", "-c", configuration], stdout=log, stderr=log)
    try:
        def listens():
            assert nginx.poll() is None, (tmp_path / "log").read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0
        until(listens, "nginx listens")
        base = f"http://127.0.0.1:{port}"
        for method in ("--http1.0", "--http1.1"):
            said = curl(method, "--header", "Content-Type: application/json",
                        "--data", json.dumps({**CHAT, "stream": True}), f"{base}/v1/chat/completions")
            assert events(said) == ask(cluster)
            assert json.loads(curl(method, f"{base}/v1/models"))["data"]
        page = curl(f"{base}/")
        assert page == (pathlib.Path(__file__).parents[2] / "Sources/Coordinator/Page/index.html").read_text()
    finally:
        nginx.terminate()
        nginx.wait(timeout=20)
