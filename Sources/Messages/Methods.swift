// The methods of Lariat's services, with the types that travel: what clients call and servers offer.

public import RPC

/// lariat.v1.Coordinator: what clients ask of the coordinator.
public enum CoordinatorService {
    public static let name = "lariat.v1.Coordinator"
    public static let submit = RPCMethod<SubmitPart, JobRecord>(
        "/lariat.v1.Coordinator/Submit", requestStreaming: true)
    public static let estimate = RPCMethod<SubmitPart, Forecast>(
        "/lariat.v1.Coordinator/Estimate", requestStreaming: true)
    public static let listJobs = RPCMethod<ListJobsRequest, ListJobsReply>("/lariat.v1.Coordinator/ListJobs")
    public static let getJob = RPCMethod<JobRequest, JobRecord>("/lariat.v1.Coordinator/GetJob")
    public static let cancel = RPCMethod<JobRequest, JobRecord>("/lariat.v1.Coordinator/Cancel")
    public static let attach = RPCMethod<AttachRequest, JobEvent>(
        "/lariat.v1.Coordinator/Attach", replyStreaming: true)
    public static let getLog = RPCMethod<JobRequest, LogLine>(
        "/lariat.v1.Coordinator/GetLog", replyStreaming: true)
    public static let getCluster = RPCMethod<ClusterRequest, ClusterState>(
        "/lariat.v1.Coordinator/GetCluster")
    public static let getTrace = RPCMethod<JobRequest, TracePart>(
        "/lariat.v1.Coordinator/GetTrace", replyStreaming: true)
    public static let drain = RPCMethod<DrainRequest, DrainReply>("/lariat.v1.Coordinator/Drain")
    public static let listContexts = RPCMethod<ListContextsRequest, ListContextsReply>(
        "/lariat.v1.Coordinator/ListContexts")
    public static let getContext = RPCMethod<ContextRequest, ContextRecord>(
        "/lariat.v1.Coordinator/GetContext")
    public static let removeContext = RPCMethod<ContextRequest, ContextRecord>(
        "/lariat.v1.Coordinator/RemoveContext")
    public static let pinContext = RPCMethod<PinContextRequest, ContextRecord>(
        "/lariat.v1.Coordinator/PinContext")
}

/// lariat.v1.Membership: how workers join, stay and leave.
public enum MembershipService {
    public static let name = "lariat.v1.Membership"
    public static let register = RPCMethod<RegisterRequest, RegisterReply>("/lariat.v1.Membership/Register")
    public static let heartbeat = RPCMethod<HeartbeatRequest, HeartbeatReply>(
        "/lariat.v1.Membership/Heartbeat")
    public static let leave = RPCMethod<HeartbeatRequest, HeartbeatReply>("/lariat.v1.Membership/Leave")
}

/// lariat.v1.Worker: how the coordinator runs a job on a worker.
public enum WorkerService {
    public static let name = "lariat.v1.Worker"
    public static let run = RPCMethod<RunCommand, RunEvent>(
        "/lariat.v1.Worker/Run", requestStreaming: true, replyStreaming: true)
    public static let calibrate = RPCMethod<CalibrateRequest, WorkerRates>("/lariat.v1.Worker/Calibrate")
}

/// What shows that a caller of lariat.v1.Ring/Exchange is a member of the run.
public enum RunKey {
    /// The metadata that carries it.
    public static let metadata = "lariat-run-key"
}

/// lariat.v1.Ring: blocks and partials from one worker to another. Messages carry a tensor behind the header:
/// see `RingHeader.encodedPrefix(tensorBytes:)` and `RingHeader.split(_:)`.
public enum RingService {
    public static let name = "lariat.v1.Ring"
    public static let exchange = RPCMethod<RingHeader, RingReply>(
        "/lariat.v1.Ring/Exchange", requestStreaming: true)
    public static let probe = RPCMethod<RingHeader, RingReply>(
        "/lariat.v1.Ring/Probe", requestStreaming: true)
}
