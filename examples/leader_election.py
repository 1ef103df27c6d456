"""Several candidates, one leader: when it dies, the next one takes over with a larger token.

The log refuses what a former leader, who was paused and does not know it yet, still wants to write.
"""

from multiprocessing import Pipe, Process

from multihost import Manager


class Log:
    """What lies outside the server: it remembers the largest token."""

    def __init__(self):
        self.largest = 0

    def write(self, token, text):
        if token < self.largest:
            print(f"refused: {text!r} comes from a former leader")
            return
        self.largest = token
        print(f"logged: {text!r}")


def stand(number, leadership, report):
    with leadership:
        report.send((number, leadership.fencing_token))
        report.recv()  # lead until the end


if __name__ == "__main__":
    with Manager() as manager:
        leadership = manager.Lock("leader")
        report, candidate = Pipe()
        candidates = [Process(target=stand, args=(n, leadership, candidate)) for n in range(3)]
        for process in candidates:
            process.start()

        log, former = Log(), None
        for term in range(1, 4):
            leader, token = report.recv()
            log.write(token, f"term {term} begins")
            if former is not None:
                log.write(former, "am I still the leader?")
            holder = leadership.holder()
            assert holder is not None
            assert holder.pid == candidates[leader].pid
            candidates[leader].kill()
            candidates[leader].join()
            former = token
        assert leadership.acquire(timeout=30)  # a second after the last one was killed
        leadership.release()
        print("nobody is left to lead")
