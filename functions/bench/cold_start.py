"""Starts laid out images and times the way to their first answers: cold_start.py WORK before|after ROUNDS PROOF."""

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

EMBED = json.dumps({"model": "bookworm", "input": "It was a dark night."})
FIRST_CALLS = {
    "catalog": ("GET", "/v1/models/bookworm", None),
    "head": ("POST", "/v1/embed", EMBED),
}
WEIGHTS = {"catalog": "s3:store", "head": "file:{work}/store"}
LONGEST_SECONDS = 120


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def answers(port, method, path, body):
    """Whether the call is answered well by now."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except (ConnectionError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def cpu_milliseconds(process):
    """What a process took of all processors so far: it tells how much others disturbed a measure."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK")


def start(work, function):
    """Milliseconds from the command line to the first answer, by the clock and of processors."""
    port = free_port()
    environment = dict(
        os.environ,
        SPLITCOMPUTE_WEIGHTS=WEIGHTS[function].format(work=work),
        SPLITCOMPUTE_MODELS="bookworm",
        SPLITCOMPUTE_CACHE_FOLDER=str(work / "cache"),
        # The first call waits for the weights, as on Lambda: none is refused.
        SPLITCOMPUTE_WAIT_FOR_MODELS="60s",
        MICRONAUT_SERVER_PORT=str(port),
    )
    with open(work / f"{function}.log", "wb") as log:
        started = time.monotonic()
        process = subprocess.Popen([work / function / "entrypoint.sh"], env=environment, stdout=log, stderr=log)
        try:
            while not answers(port, *FIRST_CALLS[function]):
                if process.poll() is not None or time.monotonic() - started > LONGEST_SECONDS:
                    sys.exit(f"{function} does not answer, see {work / function}.log")
                time.sleep(0.002)
            return (time.monotonic() - started) * 1e3, cpu_milliseconds(process.pid)
        finally:
            process.terminate()
            process.wait()


def main():
    work, when, rounds, proof = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    found = json.loads(proof.read_text()) if when == "after" else {"cores": os.cpu_count(), "rounds": rounds, "milliseconds": {}}
    for function in FIRST_CALLS:
        start(work, function)  # fills the system's cache of files, as every start but a machine's first finds it
        times = [start(work, function) for _ in range(rounds)]
        found["milliseconds"].setdefault(function, {})[f"{when}Aot"] = {
            "median": round(statistics.median(clock for clock, _ in times)),
            "least": round(min(clock for clock, _ in times)),
            "most": round(max(clock for clock, _ in times)),
            "processors": round(statistics.median(cpu for _, cpu in times)),
        }
        print(function, f"{when} the AOT cache:", found["milliseconds"][function][f"{when}Aot"])
    proof.parent.mkdir(parents=True, exist_ok=True)
    proof.write_text(json.dumps(found, indent=2) + "\n")


main()
