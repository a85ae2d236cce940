"""Workers that live, say that they live, and do no job: played in this process, in front of a real coordinator."""

import concurrent.futures
import contextlib
import threading
import uuid

import grpc
import lariat_pb2 as pb
import lariat_pb2_grpc as rpc
from waiting import free_ports


class FakeWorker(rpc.WorkerServicer):
    """Registers like a worker of this cluster and sends heartbeats, until the `with` ends.

    `says`: the job that its heartbeats name. `accepts`: whether it answers plans; it never computes. Its port for blocks
    is closed unless `ring` names another.
    """

    def __init__(self, cluster, name, says="", accepts=True, ring=None, **member):
        self.cluster, self.name, self.says, self.accepts = cluster, name, says, accepts
        self.instance = str(uuid.uuid4())
        self.address, closed = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.ring = ring or closed
        self.plans = 0
        self.over = threading.Event()
        self.changes = member

    def Run(self, commands, context):
        self.plans += 1
        for command in commands:
            if command.HasField("tokens") and self.accepts:
                yield pb.RunEvent(accepted=True)

    def member(self):
        state = self.cluster.state()
        known = state.members[0]
        member = pb.Member(
            name=self.name, address=self.address, ring_address=self.ring, threads=1, memory_bytes=1 << 30, host_cores=1,
            isa=known.isa, precision=known.precision, fingerprint=state.fingerprint, protocol=state.protocol)
        for key, value in self.changes.items():
            setattr(member, key, value)
        return member

    def __enter__(self):
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        rpc.add_WorkerServicer_to_server(self, self.server)
        assert self.server.add_insecure_port(self.address)
        self.server.start()
        self.stub = rpc.MembershipStub(self.cluster.channel())
        self.stub.Register(pb.RegisterRequest(member=self.member(), instance=self.instance), timeout=10)
        self.thread = threading.Thread(target=self._live, daemon=True)
        self.thread.start()
        return self

    def _live(self):
        while not self.over.wait(0.5):
            with contextlib.suppress(grpc.RpcError):
                self.stub.Heartbeat(self._beat(), timeout=5)

    def _beat(self):
        return pb.HeartbeatRequest(name=self.name, instance=self.instance, job=self.says)

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(timeout=10)
        with contextlib.suppress(grpc.RpcError):
            self.stub.Leave(self._beat(), timeout=5)
        self.server.stop(None)
