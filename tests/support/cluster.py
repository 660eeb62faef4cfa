"""Several processes that train together, as real processes on this machine."""

import concurrent.futures
import json
import os
import socket
import subprocess

from tests.conftest import ROOT


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(('127.0.0.1', 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def environment(ports, index):
    tf_config = {
        'cluster': {'worker': [f'127.0.0.1:{port}' for port in ports]},
        'task': {'type': 'worker', 'index': index},
    }
    return {**os.environ, 'TF_CONFIG': json.dumps(tf_config)}


def start(command, count=2):
    """`count` processes of one cluster."""
    ports = free_ports(count)
    return [
        subprocess.Popen(
            command, cwd=ROOT, env=environment(ports, i), text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for i in range(count)
    ]  # fmt: skip


def ended(processes, seconds=600):
    """[(what it wrote to stderr, exit status)]."""

    def end(process):
        return process.communicate(timeout=seconds)[1], process.returncode

    # Side by side: one whose full pipe nobody reads keeps all others waiting.
    with concurrent.futures.ThreadPoolExecutor(len(processes)) as threads:
        try:
            return list(threads.map(end, processes))
        finally:
            for process in processes:
                process.kill()
