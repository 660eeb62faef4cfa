"""Kills a process that starts the Run of one setting, for test_run.py."""

import os
import signal
import sys

setting = os.environ.get('TFXFER_TEST_CRASH')
if setting and any(f'-{setting}-' in argument for argument in sys.orig_argv):
    os.kill(os.getpid(), signal.SIGSEGV)
