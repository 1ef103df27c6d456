"""Configuration of gunicorn: patches the standard library in the master, before the application."""

from gevent import monkey

monkey.patch_all()
