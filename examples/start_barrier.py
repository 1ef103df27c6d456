"""Four processes wait for each other, so that all begin a round at the same moment."""

import time
from multiprocessing import Pipe, Process

from multihost import Manager

ROUNDS = 3


def announce():
    print("all are here", flush=True)


def run(number, start, times):
    for _ in range(ROUNDS):
        time.sleep(number / 50)  # some prepare longer than others
        start.wait()
        times.send(time.monotonic())


if __name__ == "__main__":
    with Manager() as manager:
        start = manager.Barrier(4, announce, timeout=30)
        pipes = [Pipe(duplex=False) for _ in range(4)]
        runners = [
            Process(target=run, args=(number, start, writer))
            for number, (_, writer) in enumerate(pipes)
        ]
        for runner in runners:
            runner.start()
        for round_ in range(1, ROUNDS + 1):
            begun = [reader.recv() for reader, _ in pipes]
            spread = max(begun) - min(begun)
            print(f"round {round_}: begun within {'20 ms' if spread < 0.02 else f'{spread:.3f} s'}")
        for runner in runners:
            runner.join()
