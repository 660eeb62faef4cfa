import re
import subprocess
import sys

from tests.conftest import ROOT

FIRST_USE = """
import sys, threading
sys.setswitchinterval(1e-6)
from tfxfer import openvino_runtime
barrier = threading.Barrier(3)
def use():
    openvino = openvino_runtime.library()
    barrier.wait()
    openvino.Type.u8.to_dtype()
threads = [threading.Thread(target=use) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_threads_whose_first_use_it_is_do_not_wait_forever():
    subprocess.run([sys.executable, '-c', FIRST_USE], cwd=ROOT, check=True, timeout=60)


LOGGING = """
from absl import logging
from tfxfer import openvino_runtime
logging.use_absl_handler()
openvino_runtime.library()
logging.warning('as before')
"""


def test_the_log_looks_after_it_as_it_did_before():
    done = subprocess.run(
        [sys.executable, '-c', LOGGING], cwd=ROOT, capture_output=True, text=True
    )
    line = done.stderr.splitlines()[-1]  # Before it, that flags were not parsed.
    assert re.match(r'W\d{4} ', line) and line.endswith('] as before')
