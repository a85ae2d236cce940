"""Hosts on one machine: network namespaces joined by a switch, with links that can be slowed, delayed and made lossy.

Nothing leaves the machine: the switch is a bridge in a namespace of its own that has no way out.
"""

import collections
import contextlib
import ctypes
import fcntl
import os
import pathlib
import select
import shutil
import struct
import subprocess
import threading
import time

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def run(*arguments, check=True):
    return subprocess.run([str(a) for a in arguments], check=check, capture_output=True, text=True)


def obstacle():
    """Why no hosts can be made here; None when they can."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    for program in ("ip", "tc", "nft", "ethtool"):
        if not shutil.which(program):
            return f"{program} is not installed (Ops/setup --tests)"
    probe = f"lariat-probe-{os.getpid()}"
    made = run("ip", "netns", "add", probe, check=False)
    if made.returncode != 0:
        return f"no network namespaces here: {made.stderr.strip()}"
    run("ip", "netns", "delete", probe, check=False)
    return None


class Hosts:
    """Hosts 10.77.0.1, 10.77.0.2, ... named by `names`, all on one switch."""

    def __init__(self, *names):
        self.names = list(names)
        self.tag = f"lariat-{os.getpid()}-{id(self) % 10000}"
        self.spaces = {name: f"{self.tag}-{name}" for name in names}
        self.addresses = {name: f"10.77.0.{number}" for number, name in enumerate(names, 1)}
        self._delay = None
        self._groups = []

    def __enter__(self):
        try:
            switch = f"{self.tag}-switch"
            run("ip", "netns", "add", switch)
            run("ip", "-n", switch, "link", "add", "bridge0", "type", "bridge")
            run("ip", "-n", switch, "link", "set", "bridge0", "up")
            for number, name in enumerate(self.names):
                space = self.spaces[name]
                run("ip", "netns", "add", space)
                # Congestion control as most hosts have it, or the nearest that this kernel lets us choose.
                for choice in ("cubic", "reno"):
                    if self.sysctl(name, "net.ipv4.tcp_congestion_control", choice):
                        break
                run("ip", "-n", switch, "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0",
                    "netns", space)
                run("ip", "-n", switch, "link", "set", f"port{number}", "master", "bridge0", "up")
                run("ip", "-n", space, "link", "set", "lo", "up")
                run("ip", "-n", space, "addr", "add", f"{self.addresses[name]}/24", "dev", "eth0")
                run("ip", "-n", space, "link", "set", "eth0", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self._delay:
            self._delay.stop()
        for group in self._groups:
            with contextlib.suppress(OSError):
                group.rmdir()
        for space in [*self.spaces.values(), f"{self.tag}-switch"]:
            run("ip", "netns", "delete", space, check=False)

    def sysctl(self, name, key, value):
        """Whether it could be set."""
        return run("ip", "netns", "exec", self.spaces[name], "sysctl", "-qw", f"{key}={value}",
                   check=False).returncode == 0

    def inside(self, name):
        """What to put before a command to run it on this host."""
        return ["ip", "netns", "exec", self.spaces[name]]

    # Links

    def limit(self, rate, *names):
        """What these hosts send is at most so fast, e.g. "1gbit"; all hosts without names."""
        for name in names or self.names:
            run("ip", "netns", "exec", self.spaces[name], "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf",
                "rate", rate, "burst", "256kb", "latency", "50ms")

    def unlimit(self):
        for name in self.names:
            run("ip", "netns", "exec", self.spaces[name], "tc", "qdisc", "del", "dev", "eth0", "root", check=False)

    def lose(self, percent, *names):
        """So many percent of the packets that these hosts send are lost."""
        for name in names or self.names:
            space = self.spaces[name]
            # Segments are dropped one by one as on a wire, not 64 KiB at once.
            run("ip", "netns", "exec", space, "ethtool", "-K", "eth0", "gso", "off", "tso", "off", "gro", "off")
            rules = ("table inet loss {\n chain out {\n  type filter hook postrouting priority 0;\n"
                     f"  oifname \"eth0\" numgen random mod 1000 < {int(percent * 10)} drop\n }}\n}}\n")
            subprocess.run(["ip", "netns", "exec", space, "nft", "-f", "-"], input=rules, text=True, check=True,
                           capture_output=True)

    def delay(self, milliseconds):
        """Packets between hosts take so long, one way. The hosts get other addresses: look them up after this."""
        for number, name in enumerate(self.names, 1):
            self.addresses[name] = f"10.78.0.{number}"
        self._delay = Delay(self.spaces, self.addresses, milliseconds / 1000)

    # Processors

    def throttle(self, share):
        """A control group whose processes get this share of one core; put a process in with `confine`."""
        group = pathlib.Path("/sys/fs/cgroup/cpu") / f"{self.tag}-{len(self._groups)}"
        group.mkdir()
        self._groups.append(group)
        # A short period: a long one would freeze the network threads for tenths of a second.
        (group / "cpu.cfs_period_us").write_text("10000")
        (group / "cpu.cfs_quota_us").write_text(str(int(share * 10000)))
        return group


def throttle_obstacle():
    """Why processes cannot be slowed here; None when they can."""
    quota = pathlib.Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    parent = pathlib.Path("/sys/fs/cgroup/cpu")
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        return "there is no control group for processors that can be written (cgroup v1, cpu)"
    probe = parent / f"lariat-probe-{os.getpid()}"
    try:
        probe.mkdir()
        found = (probe / "cpu.cfs_quota_us").exists()
        probe.rmdir()
    except OSError as error:
        return f"no control group can be made: {error}"
    return None if found else f"{quota.name} is missing"


def confine(group, pid):
    """Puts a process and its threads into a control group."""
    (group / "cgroup.procs").write_text(str(pid))


class Delay:
    """A network that takes its time: a TUN device in each host, and a thread that carries packets between them late.

    Packets are as large as the kernel hands them over (TSO, up to 64 KiB), so that one Python thread carries a gigabit.
    """

    TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
    IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
    HEADER = 10
    # A queue must hold what is under way: 1 Gbit/s for the delay and more.
    MOST_PACKETS = 20000

    def __init__(self, spaces, addresses, seconds):
        self.seconds = seconds
        self.by_address, self.files = {}, []
        for name, space in spaces.items():
            file = self._open(space)
            self.files.append(file)
            self.by_address[bytes(int(part) for part in addresses[name].split("."))] = file
            run("ip", "-n", space, "addr", "add", f"{addresses[name]}/24", "dev", "late0")
            run("ip", "-n", space, "link", "set", "late0", "mtu", "1500", "up", "txqueuelen", "10000")
        self.queue = collections.deque()
        self.dropped = 0
        self.over = False
        self.thread = threading.Thread(target=self._carry, daemon=True)
        self.thread.start()

    def _open(self, space):
        """A TUN device in that namespace, held by this process. In a thread of its own: namespaces go by thread."""
        result = []

        def enter():
            with open(f"/run/netns/{space}") as namespace:
                if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    return
            file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            flags = self.IFF_TUN | self.IFF_NO_PI | self.IFF_VNET_HDR
            fcntl.ioctl(file, self.TUNSETIFF, struct.pack("16sH22x", b"late0", flags))
            fcntl.ioctl(file, self.TUNSETOFFLOAD, 7)  # checksums and segmentation of TCP over IPv4 and IPv6
            result.append(file)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(10)
        assert result, f"no TUN device in {space}"
        return result[0]

    def _carry(self):
        poll = select.poll()
        for file in self.files:
            poll.register(file, select.POLLIN)
        while not self.over:
            wait = 100.0
            if self.queue:
                wait = max(0.0, (self.queue[0][0] - time.monotonic()) * 1000)
            for file, _ in poll.poll(min(wait, 100.0)):
                for _ in range(64):
                    try:
                        packet = os.read(file, 70000)
                    except (BlockingIOError, OSError):
                        break
                    target = self.by_address.get(packet[self.HEADER + 16:self.HEADER + 20])
                    if target is None or len(self.queue) >= self.MOST_PACKETS:
                        self.dropped += 1
                        continue
                    self.queue.append((time.monotonic() + self.seconds, target, packet))
            now = time.monotonic()
            while self.queue and self.queue[0][0] <= now:
                _, target, packet = self.queue.popleft()
                try:
                    os.write(target, packet)
                except OSError:
                    self.dropped += 1

    def stop(self):
        self.over = True
        self.thread.join(5)
        for file in self.files:
            os.close(file)
