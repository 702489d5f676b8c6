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


def await_records(services, holds):
    """Waits until the record of each service holds: its process, and its flags (2: finishing, 4: wanted up, 8: ready)."""
    records = [scandir / service / "supervise" / "status" for service in services]
    end = time.monotonic() + 300

    def lacks(record):
        content = record.read_bytes()
        return not holds(int.from_bytes(content[24:32], "big"), content[-1])

    while records := [record for record in records if lacks(record)]:
        if time.monotonic() > end:
            raise TimeoutError(f"not in the state: {records[0]}")
        time.sleep(0.001)


def services():
    return [f"gateway-{profile}" for profile in manager.list_profile_gateways()]


def start():
    for service in services():
        manager.start(service)
    await_records(services(), lambda pid, flags: pid and flags & 8 and not flags & 2)


def stop():
    for service in services():
        manager.stop(service)
    await_records(services(), lambda pid, flags: not pid and not flags & 6)


def restart():
    """Its own restart is a signal, which is a death to Hermes's scripts, and delays what follows."""
    stop()
    start()


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
    begun = time.perf_counter()
    globals()[name](*arguments)
    print((time.perf_counter() - begun) * 1e3, flush=True)
