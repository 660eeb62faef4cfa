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
