"""Three machines for five workers: one worker is killed, and its machine is free again."""

from multiprocessing import Pipe, Process

from multihost import Manager


def work(name, machines, started, finished):
    with machines:
        started.put(name)
        finished.recv()  # the work, for as long as it takes
    started.put(f"{name} done")


class Reports:
    """A pipe with many writers."""

    def __init__(self):
        self._reader, self._writer = Pipe(duplex=False)

    def put(self, text):
        self._writer.send(text)

    def get(self):
        return self._reader.recv()


if __name__ == "__main__":
    with Manager() as manager:
        machines = manager.BoundedSemaphore(3)
        reports, workers = Reports(), {}
        for name in "abcde":
            end, other = Pipe()
            process = Process(target=work, args=(name, machines, reports, other))
            workers[name] = process, end
            process.start()

        busy = [reports.get() for _ in range(3)]
        print(f"3 of 5 workers have a machine, {machines.statistics().permits} are free")

        victim, victims_end = workers.pop(busy[0])
        victim.kill()
        reports.get()  # within two seconds
        print("one was killed; its machine went to another one")

        for _process, end in workers.values():
            end.send("finish")
        rest = [reports.get() for _ in range(5)]
        print(f"{sum('done' in text for text in rest)} workers finished")
        for process, _end in workers.values():
            process.join()
        victim.join()
        print(f"{machines.statistics().permits} machines are free")
