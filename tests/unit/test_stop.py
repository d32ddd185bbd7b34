import os
import signal
import subprocess
import sys
import threading
import time

from lossgrid.parallel import stop_on_signals
from tests.pace import soon


def test_a_signal_sets_the_flag_and_the_old_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        assert not stop
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert stop
        assert stop.signal is signal.SIGTERM
        os.kill(os.getpid(), signal.SIGTERM)  # launchers pass one signal on along several ways
        time.sleep(0.01)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_request_ends_the_process() -> None:
    program = (
        "import time\nfrom lossgrid.parallel import stop_on_signals\n"
        "with stop_on_signals() as stop:\n    print('up', flush=True)\n    time.sleep(60)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.send_signal(signal.SIGINT)
        time.sleep(1.2)
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=soon(5)) == -signal.SIGINT


def test_outside_the_main_thread_the_flag_stays_down() -> None:
    found: list[bool] = []

    def work() -> None:
        with stop_on_signals() as stop:
            found.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
