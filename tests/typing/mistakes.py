"""Mistakes that a type checker finds: an ignore that is not needed is an error of its own."""

from multihost import Executor, Manager, Pool
from multihost.managers import QueueProxy


def square(n: int) -> int:
    return n * n


m = Manager()

d = m.dict({1: 2})
d["x"] = 2  # type: ignore[index]  # pyright: ignore[reportArgumentType]
d[1] = "x"  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
d.increment("x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]

numbers = m.list([1])
numbers.append("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

v = m.Value("i", 1)
v.value = "x"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
v.set(1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
m.Array("i", ["x"])

jobs: QueueProxy[int] = m.Queue()
jobs.put("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
m.Queue("jobs", maximum=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
m.Queue("jobs", "100")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
m.Semaphore(2.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
m.Condition(m.Event())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
m.Barrier()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
m.Lock().acquire(wait=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
m.dikt()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

with Pool(4) as pool:
    pool.map(square, ["x"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    text: str = pool.apply(square, (1,))  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

with Executor(4) as executor:
    executor.submit(square, "x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    executor.submit(square)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
