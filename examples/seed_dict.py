"""Ten processes fill one dict. Only the import differs from a program for one machine."""

# from multiprocessing import Manager, Process
from multiprocessing import Process

from multihost import Manager


def work(d, i):
    d[i] = i * 2


if __name__ == "__main__":
    with Manager() as mgr:
        d = mgr.dict()
        processes = [Process(target=work, args=(d, i)) for i in range(10)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        for key in sorted(d):
            print(f"{key}={d[key]}")
