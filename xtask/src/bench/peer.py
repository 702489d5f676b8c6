"""Calls the Python implementation's functions as its commands call them.

Reads one request per line and prints the milliseconds that each took, without the time of the imports.
Usage: peer.py HOME SCANDIR SCRIPTS S6_PROGRAMS
"""

import os
import pathlib
import subprocess
import sys
import time

home, scandir, scripts = (pathlib.Path(arg) for arg in sys.argv[1:4])
programs = sys.argv[4]

from hermes_cli import container_boot, service_manager  # noqa: E402

# Its own scripts only run in its image. With Hermes's scripts in their place, all services cost the same.
service_manager._S6_BIN_DIR = programs
manager = service_manager.S6ServiceManager
script = {name: (scripts / name).read_text() for name in ("run", "finish", "log-run")}
manager._render_run_script = staticmethod(
    lambda profile, extra_env: script["run"].replace("@PROFILE@", profile)
)
manager._render_finish_script = staticmethod(lambda: script["finish"])
manager._render_log_run = staticmethod(lambda profile: script["log-run"].replace("@PROFILE@", profile))
manager = manager(scandir)


def supervised(profiles):
    """Waits for both supervisors of each profile: each writes its status file once it holds its lock."""
    records = [
        scandir / f"gateway-{profile}" / part / "supervise" / "status"
        for profile in profiles
        for part in (".", "log")
    ]
    end = time.monotonic() + 300
    while records:
        if time.monotonic() > end:
            raise TimeoutError(f"not supervised: {records[0]}")
        records = [record for record in records if not record.exists()]
        time.sleep(0.00025)


def register(profile):
    manager.register_profile_gateway(profile, start_now=False)
    supervised([profile])


def unregister(profile):
    manager.unregister_profile_gateway(profile)


def boot():
    actions = container_boot.reconcile_profile_gateways(
        hermes_home=home, scandir=scandir, container_argv=()
    )
    # Its image creates the services before s6-svscan starts, which then scans once.
    subprocess.run([f"{programs}/s6-svscanctl", "-a", str(scandir)], check=True)
    supervised([action.profile for action in actions])


def status():
    for profile in manager.list_profile_gateways():
        manager.is_running(profile)


print("ready", flush=True)
for line in sys.stdin:
    name, *arguments = line.split()
    start = time.perf_counter()
    globals()[name](*arguments)
    print((time.perf_counter() - start) * 1e3, flush=True)
