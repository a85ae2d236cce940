"""A Debian in a folder, from the mirrors that this machine uses: for packages that are installed, and services that run.

`debian.py FOLDER` makes one.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

from waiting import until


def run(*command, check=True, timeout=300, **options):
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=timeout, **options)
    assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result


def needs_runtime(binary):
    """Whether Swift's libraries have to be there: in a binary that was built for tests."""
    return "libswift" in run("ldd", binary).stdout


class Debian:
    """The files of a Debian in `root`."""

    ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}

    def __init__(self, root):
        self.root = pathlib.Path(root)

    def make(self):
        for tool in ("debootstrap", "chroot"):
            assert shutil.which(tool), f"{tool} is missing: Ops/setup --tests"
        assert os.geteuid() == 0, "only root can make a bare Debian"
        release = run("sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME").stdout.strip()
        mirrors = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
                      f"Codename: {release}").stdout.split()
        run("debootstrap", "--variant=minbase", release, self.root, mirrors[0], timeout=500)
        shutil.copy("/etc/resolv.conf", self / "etc/resolv.conf")
        for source in pathlib.Path("/etc/apt").glob("**/*"):
            # The same mirrors, proxies and keys.
            if source.is_file():
                target = self / source.relative_to("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        with self.entered():
            self.inside("apt-get", "update", "-qq")
        return self

    def copy(self, root):
        run("cp", "-ax", self.root, root)
        return Debian(root)

    def __truediv__(self, path):
        return self.root / path

    @contextlib.contextmanager
    def entered(self):
        """Lets programs run inside: Swift, for one, reads a program's arguments in /proc."""
        run("mount", "-t", "proc", "proc", self / "proc")
        try:
            yield self
        finally:
            run("umount", "--lazy", self / "proc")

    def inside(self, *command, **options):
        return run("chroot", self.root, *command, env=self.ENVIRONMENT, **options)

    def install(self, package, binary):
        """Installs the package, and what a binary needs that was built for tests."""
        shutil.copy(package, self / "tmp/lariat.deb")
        self.inside("apt-get", "install", "-y", "-qq", "--no-install-recommends", "/tmp/lariat.deb", timeout=500)
        self.add_runtime(binary)

    def add_runtime(self, binary):
        """Swift's libraries, where the binary needs them."""
        for library in re.findall(r"=> (/\S+/swift/\S+)", run("ldd", binary).stdout):
            target = self / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.realpath(library), target)


class NoMachine(Exception):
    """Why no systemd runs in a container here."""


class Machine:
    """A Debian whose systemd runs as the first process of a container, on a loopback of its own."""

    def __init__(self, debian, log):
        self.debian, self.log = debian, pathlib.Path(log)
        with open(log, "wb") as output:
            # Without registration it needs no daemon of this machine's.
            self._container = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "systemd-nspawn", "--quiet", "--register=no", "--keep-unit",
                 "--private-network", "--boot", "--console=pipe", "--directory", debian.root],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            self._init = until(self._first_process, "the container's first process")
            until(lambda: self.inside("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"),
                  "systemd has started what it starts", not_yet=AssertionError)
        except AssertionError:
            self.end()
            raise NoMachine(" ".join(self.log.read_text(errors="replace").split()[-40:])) from None

    def _first_process(self):
        assert self._container.poll() is None, "the container has ended"
        pid = self._container.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        # Until it is systemd, it is still being set up.
        return [int(child) for child in children if pathlib.Path(f"/proc/{child}/comm").read_text() == "systemd\n"]

    def inside(self, *command, **options):
        return run("nsenter", "--target", self._init[0], "--all", *command, env=self.debian.ENVIRONMENT, **options)

    def end(self):
        if self._container.poll() is None:
            # As `machinectl terminate` does: everything in it ends at once.
            self._container.send_signal(signal.SIGTERM)
            try:
                self._container.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._container.kill()
                self._container.wait(timeout=20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


if __name__ == "__main__":
    Debian(sys.argv[1]).make()
