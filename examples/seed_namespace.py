"""A shared namespace: names that start with an underscore stay with the proxy."""

# from multiprocessing import Manager
from multihost import Manager

if __name__ == "__main__":
    with Manager() as mgr:
        ns = mgr.Namespace()
        ns.x = 10
        ns.y = "hello"
        ns._z = 12.3  # stays with this proxy
        print(ns)
