#!/usr/bin/env python3
"""launchctl for tests, and the launchd behind it, as launchctl(1) and launchd.plist(5) describe them.

It keeps its state in the directory it lies in, so that each test has one of its own:
  calls          every command, one a line
  gui            there while somebody is logged in at the screen
  throttle       seconds between two starts of a job (10 unless the file is there)
  removal        how often a removed job's name can't be loaded again at first (never)
  linger         seconds for which a job stays loaded when its process has ended (0)
  refuse         what `bootstrap` exits with, always
  jobs/D/LABEL/  a loaded job: its supervisor, its process, how the last one ended

What only tests say to it begins with `test-`.
"""

import os
import plistlib
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(sys.argv[0]).resolve().parent
JOBS = STATE / "jobs"


def read(path):
    """The text of a file that may go at any moment."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def number(name, default):
    text = read(STATE / name)
    return default if text is None else float(text)


def fail(code, text):
    print(text, file=sys.stderr)
    sys.exit(code)


def job_of(target):
    """The directory of `gui/501/label` or `user/501/label`."""
    kind, _, label = target.split("/")
    return JOBS / kind / label


def write(path, text):
    """All of it or nothing: others read while this one writes."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_text(text)
    staged.rename(path)


def describe(status):
    if status < 0:
        return f"last terminating signal = {signal.strsignal(-status)}: {-status}"
    names = {78: "78: EX_CONFIG"}
    return f"last exit code = {names.get(status, status)}"


def print_(target):
    if target.count("/") == 1:
        if target.startswith("gui/") and not (STATE / "gui").exists():
            fail(112, f"Could not find domain for {target}")
        print(f"{target} = {{\n\ttype = user\n}}")
        return
    job = job_of(target)
    if not job.is_dir():
        fail(113, f'Bad request.\nCould not find service "{job.name}" in domain for {target}')
    pid, last = read(job / "pid"), read(job / "last") or "last exit code = (never exited)"
    lines = [f"{target} = {{", f"\tactive count = {1 if pid else 0}"]
    lines += [f"\tstate = {'running' if pid else 'spawn scheduled'}", "\tenvironment = {", "\t\tpid = 1", "\t}"]
    lines += [f"\tpid = {pid}"] * bool(pid) + [f"\t{last}"]
    lines += ["\tresource coalition = {", "\t\tstate = active", "\t\tlast exit code = 99", "\t}", "}"]
    print("\n".join(lines))


def bootstrap(domain, path):
    busy = "Bootstrap failed: 5: Input/output error\nTry re-running the command as root for richer errors."
    if (STATE / "refuse").exists():
        code = int(number("refuse", 0))
        fail(code, busy if code == 5 else f"Bootstrap failed: {code}: refused")
    if domain.startswith("gui/") and not (STATE / "gui").exists():
        fail(125, "Bootstrap failed: 125: Domain does not support specified action")
    with open(path, "rb") as file:
        plist = plistlib.load(file)
    session = plist.get("LimitLoadToSessionType", "Aqua")
    if session != ("Aqua" if domain.startswith("gui/") else "Background"):
        fail(134, "Bootstrap failed: 134: Service cannot load in requested session")
    job = job_of(f"{domain}/{plist['Label']}")
    left = int(number(f"removal-{job.name}", 0))
    if left:
        write(STATE / f"removal-{job.name}", str(left - 1))
        fail(5, busy)
    try:
        job.mkdir(parents=True)
    except FileExistsError:
        fail(5, busy)
    if os.fork() == 0:
        os.setsid()
        for fd, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
            os.dup2(os.open(os.devnull, mode), fd)
        supervise(job, plist)
        os._exit(0)
    # A job is loaded when its supervisor can be told to end, if it has not been already.
    while job.is_dir() and not (job / "supervisor").exists():
        time.sleep(0.002)


def bootout(target):
    job = job_of(target)
    try:
        os.kill(int((job / "supervisor").read_text()), signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):
        fail(3, "Boot-out failed: 3: No such process")


WATCHED = {signal.SIGTERM, signal.SIGCHLD}


def supervise(job, plist):
    """Runs the job until SIGTERM, which is what `bootout` sends here."""
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    write(job / "supervisor", str(os.getpid()))
    told = False
    while not told:
        again = time.monotonic() + number("throttle", plist["ThrottleInterval"])
        child = spawn(plist)
        if child is None:
            write(job / "last", describe(78))
        else:
            write(job / "pid", str(child.pid))
            told = wait(child, plist["ExitTimeOut"])
            write(job / "last", describe(child.returncode))
            (job / "pid").unlink()
        if not plist.get("KeepAlive"):
            break
        while not told and time.monotonic() < again:
            told = heard(again) == signal.SIGTERM
    time.sleep(number("linger", 0))
    write(STATE / f"removal-{job.name}", str(int(number("removal", 0))))
    gone = job.with_name(f".{job.name}")
    job.rename(gone)
    shutil.rmtree(gone)


def spawn(plist):
    """The job's process; none where its files can't be opened, which launchd takes for exit 78."""
    environment = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": os.environ["HOME"],
        "XPC_SERVICE_NAME": plist["Label"],
        # The program under test knows this launchctl by it alone.
        "HERMES_TEST_LAUNCHCTL": os.environ["HERMES_TEST_LAUNCHCTL"],
        **plist.get("EnvironmentVariables", {}),
    }
    try:
        return subprocess.Popen(
            plist["ProgramArguments"],
            cwd=plist.get("WorkingDirectory", "/"),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=open(plist["StandardOutPath"], "ab"),
            stderr=open(plist["StandardErrorPath"], "ab"),
            start_new_session=True,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED),
        )
    except OSError:
        return None


def wait(child, exit_timeout):
    """Waits for its end, and answers whether it was told to end."""
    told, kill_at = False, time.monotonic() + 3600
    while child.poll() is None:
        signal_ = heard(kill_at)
        if signal_ is None:
            child.kill()
        elif signal_ == signal.SIGTERM and not told:
            told, kill_at = True, time.monotonic() + exit_timeout
            child.terminate()
    try:
        # AbandonProcessGroup is false.
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return told


def heard(until):
    """The next signal; none if there is none by then."""
    information = signal.sigtimedwait(WATCHED, max(until - time.monotonic(), 0))
    return information and information.si_signo


def log_out():
    """The end of every session, as at a shutdown: nothing survives, and nothing stays loaded."""
    for supervisor in JOBS.glob("*/*/supervisor"):
        bootout(f"{supervisor.parent.parent.name}/0/{supervisor.parent.name}")
    while any(JOBS.glob("*/*")):
        time.sleep(0.01)


def log_in(agents):
    """A login at the screen loads every agent that there is."""
    (STATE / "gui").touch()
    for path in sorted(Path(agents).glob("*.plist")):
        if os.fork() == 0:
            bootstrap(f"gui/{os.getuid()}", path)
            os._exit(0)
        os.wait()


def main():
    command, *arguments = sys.argv[1:]
    if not command.startswith("test-"):
        with open(STATE / "calls", "a") as calls:
            calls.write(" ".join(sys.argv[1:]) + "\n")
    commands = {
        "print": print_,
        "bootstrap": bootstrap,
        "bootout": bootout,
        "test-log-out": log_out,
        "test-log-in": log_in,
    }
    if command not in commands:
        fail(64, f"Unrecognized subcommand: {command}")
    commands[command](*arguments)


main()
