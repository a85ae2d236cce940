"""A Slurm cluster of three nodes on one host: a controller and three slurmd, with a munged of their own."""

import contextlib
import functools
import os
import pathlib
import pwd
import socket
import subprocess
import time

import waiting

NODES = 3


until = functools.partial(waiting.until, pause=0.2)


class Slurm:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.chmod(0o755)
        self.processes = []
        self.munge = self.folder / "munge"
        self.munge.mkdir(mode=0o755)
        self.configuration = self.folder / "slurm.conf"
        controller, *daemons = waiting.free_ports(1 + NODES)
        host = socket.gethostname()
        lines = [
            "ClusterName=lariat", f"SlurmctldHost={host}(127.0.0.1)", f"SlurmctldPort={controller}",
            "SlurmUser=root", "SlurmdUser=root", "AuthType=auth/munge", f"AuthInfo=socket={self.munge}/socket",
            "CryptoType=crypto/munge", f"StateSaveLocation={self.folder}/state", f"SlurmdSpoolDir={self.folder}/spool-%n",
            f"SlurmctldPidFile={self.folder}/slurmctld.pid", f"SlurmdPidFile={self.folder}/slurmd-%n.pid",
            "ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none", "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_CPU", "SchedulerType=sched/backfill", "ReturnToService=2", "MpiDefault=none",
            "SlurmdParameters=config_overrides", "JobAcctGatherType=jobacct_gather/none", "KillWait=5",
            "SchedulerParameters=sched_interval=1",
        ]
        self.names = [f"n{i + 1}" for i in range(NODES)]
        for name, port in zip(self.names, daemons):
            lines.append(f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=4000")
            (self.folder / f"spool-{name}").mkdir()
        lines.append("PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP")
        (self.folder / "state").mkdir()
        self.configuration.write_text("\n".join(lines) + "\n")
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")

    def spawn(self, *command):
        log = (self.folder / f"{pathlib.Path(command[0]).name}-{len(self.processes)}.log").open("wb")
        self.processes.append(subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=self.environment(), cwd=self.folder))

    def environment(self, **more):
        own = {key: value for key, value in os.environ.items() if not key.startswith(("LARIAT", "SLURM"))}
        return {**own, "SLURM_CONF": str(self.configuration), **more}

    def run(self, *command, check=True, **environment):
        return subprocess.run(
            [*map(str, command)], check=check, capture_output=True, text=True, timeout=60, cwd=self.folder,
            env=self.environment(**environment))

    def start(self):
        key = self.munge / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        assert pwd.getpwuid(os.getuid()).pw_name == "root"
        self.spawn("/usr/sbin/munged", "--foreground", "--force", f"--socket={self.munge}/socket", f"--key-file={key}",
                   f"--pid-file={self.munge}/pid", f"--seed-file={self.munge}/seed", f"--log-file={self.munge}/log")
        until((self.munge / "socket").exists, "munged listens")
        self.spawn("/usr/sbin/slurmctld", "-D", "-f", self.configuration)
        for name in self.names:
            self.spawn("/usr/sbin/slurmd", "-D", "-N", name, "-f", self.configuration)
        idle = lambda: self.run("sinfo", "-h", "-o", "%t %D", check=False).stdout.split() == ["idle", str(NODES)]
        until(idle, "three idle nodes")
        return self

    def state(self, job):
        shown = self.run("scontrol", "show", "job", job).stdout
        return dict(part.split("=", 1) for part in shown.split() if "=" in part)

    def finished(self, job, timeout=120):
        over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
        return until(lambda: (state := self.state(job))["JobState"] in over and state, f"job {job} is over", timeout)

    def close(self):
        with contextlib.suppress(subprocess.SubprocessError):
            self.run("scancel", "--state=RUNNING", "--full", "--user=root", check=False)
            time.sleep(1)
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()
