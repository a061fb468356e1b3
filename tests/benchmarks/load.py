"""Turn a server and some addresses into figures: answers a second, times, and the CPU that each answer took.

wrk sends, with 8 connections unless told. The CPU of server and database is read from /proc, for it says more
than the clock where other work disturbs the machine.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CONNECTIONS = 8
THREADS = 4
WORKERS = 2
PATIENCE = 120  # seconds, for a server to start
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# wrk walks the addresses one after the other.
SCRIPT = """
local urls, i = {}, 0
for line in io.lines("%s") do urls[#urls + 1] = line end
request = function() i = i %% #urls + 1; return wrk.format("GET", urls[i]) end
done = function(s, l)
  local form = '\\n@{"requests":%%d,"seconds":%%f,"errors":%%d,"p50":%%f,"p95":%%f,"p99":%%f}\\n'
  io.write(string.format(form, s.requests, s.duration / 1e6,
    s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout + s.errors.status,
    l:percentile(50) / 1e3, l:percentile(95) / 1e3, l:percentile(99) / 1e3))
end
"""


@dataclass
class Server:
    """One that runs, and what was measured of it by the name of the point."""

    name: str
    port: int
    pid: int
    taken: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, address: str) -> bytes:
        with urllib.request.urlopen(self.base + address, timeout=PATIENCE) as answer:
            return answer.read()

    def measure(
        self, point: str, addresses: list[str], database: int, seconds: int, connections: int = CONNECTIONS
    ) -> None:
        own, its = cpu(self.pid), cpu(database)
        with peak_memory(self.pid) as peak:
            found = wrk(self.base, addresses, seconds, connections)
        found["server_ms"] = 1000 * (cpu(self.pid) - own) / max(found["requests"], 1)
        found["database_ms"] = 1000 * (cpu(database) - its) / max(found["requests"], 1)
        found["memory_mb"] = peak[0] / 2**20
        self.taken.setdefault(point, []).append(found)
        drain(self.pid, database)


@contextmanager
def granian(
    name: str,
    app: str,
    port: int,
    environment: dict[str, str],
    *,
    workers: int = WORKERS,
    threads: int = THREADS,
) -> Iterator[Server]:
    options = {"host": "127.0.0.1", "port": port, "workers": workers, "blocking-threads": threads}
    words = [word for option, value in options.items() for word in (f"--{option}", str(value))]
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", *words, "--log-level", "warning", app]
    with serving(name, command, port, environment) as server:
        yield server


@contextmanager
def serving(name: str, command: list[str], port: int, environment: dict[str, str]) -> Iterator[Server]:
    log = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the server)
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
    try:
        wait_for(process, port)
        yield Server(name, port, process.pid)
    except Exception:
        log.seek(max(0, log.tell() - 4000))
        sys.stderr.write(log.read().decode())
        raise
    finally:
        process.terminate()
        process.wait()


def wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"the server on port {port} did not start")


def wrk(base: str, addresses: list[str], seconds: int, connections: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        urls, script = Path(folder, "urls"), Path(folder, "script.lua")
        urls.write_text("\n".join(addresses) + "\n")
        script.write_text(SCRIPT % urls)
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "60s",
            "-s",
            str(script),
            base,
        ]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"@(\{.*\})", output)
    if not found:
        raise RuntimeError(f"wrk said nothing of use: {output}")
    return json.loads(found[1])


def processes(pid: int) -> Iterator[list[str]]:
    """What /proc/*/stat says, after the name, of this process and all below it."""
    stats = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stats[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
    below = {pid}
    while more := {one for one, stat in stats.items() if int(stat[1]) in below} - below:
        below |= more
    yield from (stats[one] for one in below if one in stats)


def cpu(pid: int) -> float:
    """Seconds, with those of children that ended."""
    return sum(int(number) for stat in processes(pid) for number in stat[11:15]) / TICK


def drain(*pids: int) -> None:
    """Wait until these are quiet: requests that wrk gave up may still be worked on."""
    deadline, busy = time.monotonic() + PATIENCE, 1.0
    while busy > 0.1 and time.monotonic() < deadline:
        before = sum(map(cpu, pids))
        time.sleep(0.3)
        busy = (sum(map(cpu, pids)) - before) / 0.3


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """Bytes that the processes held together at most; shared pages count in each."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.25):
            peak[0] = max(peak[0], sum(int(stat[21]) for stat in processes(pid)) * PAGE)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
