// Messages as JSON, with the keys of Proto/lariat.proto. No I/O.

public import JSONText

/// A value with a JSON form.
public protocol JSONRepresentable {
    var json: JSONValue { get }
}

extension JobKind: JSONRepresentable {
    /// As in Proto/: "GENERATE".
    public var name: String {
        switch self {
        case .unspecified, .unknown: "JOB_KIND_UNSPECIFIED"
        case .generate: "GENERATE"
        case .score: "SCORE"
        case .ingest: "INGEST"
        }
    }
    public var json: JSONValue { .string(name) }
}

extension JobState: JSONRepresentable {
    /// As in Proto/: "PREFILL".
    public var name: String {
        switch self {
        case .unspecified: "JOB_STATE_UNSPECIFIED"
        case .queued: "QUEUED"
        case .prefill: "PREFILL"
        case .decode: "DECODE"
        case .succeeded: "SUCCEEDED"
        case .failed: "FAILED"
        case .cancelled: "CANCELLED"
        }
    }
    public var json: JSONValue { .string(name) }
}

extension SamplingMessage: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("temperature", .float(temperature)), ("top_k", .unsigned(UInt64(topK))), ("top_p", .float(topP)),
            ("min_p", .float(minP)), ("repetition_penalty", .float(repetitionPenalty)),
            ("repetition_window", .unsigned(UInt64(repetitionWindow))), ("seed", .unsigned(seed)),
        ])
    }
}

extension JobOptions: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("kind", kind.json), ("name", .string(name)), ("max_tokens", .unsigned(UInt64(maxTokens))),
            ("sampling", sampling?.json ?? .null), ("stop", .array(stop.map { .string($0) })),
            ("chat", .bool(chat)), ("system", .string(system)), ("beyond_window", .bool(beyondWindow)),
            ("ignore_end", .bool(ignoreEnd)),
            ("literal", .bool(literal)), ("rope", rope?.json ?? .null),
            ("workers", .unsigned(UInt64(workers))), ("log_probabilities", .bool(logProbabilities)),
            ("top_probabilities", .unsigned(UInt64(topProbabilities))),
            ("chat_template", .string(chatTemplate)),
            ("chat_if_template", .bool(chatIfTemplate)), ("context", .string(context)),
            ("no_reuse", .bool(noReuse)),
        ])
    }
}

extension LikelyTokens: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("tokens", .array(tokens.map { .unsigned(UInt64($0)) })),
            ("log_probabilities", .array(logProbabilities.map { .float($0) })),
        ])
    }
}

extension RotaryMethodMessage: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("name", .string(name)), ("tables", .array(tables.map(\.json))), ("gap", gap?.json ?? .null),
        ])
    }
}

extension RotaryTableMessage: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("name", .string(name)), ("window", .unsigned(window)),
            ("factors", .array(factors.map { .number($0) })), ("start_tokens", .unsigned(startTokens)),
            ("attention_factor", .number(attentionFactor)),
        ])
    }
}

extension PositionGapMessage: JSONRepresentable {
    public var json: JSONValue { .object([("every", .unsigned(every)), ("length", .unsigned(length))]) }
}

extension ProfileMessage: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("name", .string(name)), ("theta", .number(theta)),
            ("rotary_dimension", .unsigned(UInt64(rotaryDimension))),
            ("factors", .array(factors.map { .number($0) })), ("start_tokens", .unsigned(startTokens)),
            ("attention_factor", .number(attentionFactor)), ("window", .unsigned(window)),
            ("identity", .string(identity)), ("gap", gap?.json ?? .null),
        ])
    }
}

extension RingStepRecord: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("step", .unsigned(UInt64(step))), ("compute_seconds", .number(computeSeconds)),
            ("wait_seconds", .number(waitSeconds)), ("wire_seconds", .number(wireSeconds)),
            ("bytes", .unsigned(bytes)),
        ])
    }
}

extension WorkerShare: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("rank", .unsigned(UInt64(rank))), ("worker", .string(worker)), ("tokens", .unsigned(tokens)),
            ("kv_bytes", .unsigned(kvBytes)), ("ring_bytes_sent", .unsigned(ringBytesSent)),
            ("ring_bytes_received", .unsigned(ringBytesReceived)),
            ("compute_seconds", .number(computeSeconds)), ("wait_seconds", .number(waitSeconds)),
            ("steps", .array(steps.map(\.json))),
        ])
    }
}

extension JobRecord: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("id", .string(id)), ("options", options?.json ?? .null), ("state", state.json),
            ("reason", .string(reason)), ("submitted_us", .unsigned(submittedMicroseconds)),
            ("started_us", .unsigned(startedMicroseconds)), ("finished_us", .unsigned(finishedMicroseconds)),
            ("prompt_tokens", .unsigned(promptTokens)), ("prefilled_tokens", .unsigned(prefilledTokens)),
            ("generated_tokens", .unsigned(generatedTokens)), ("text", .string(String(lossy: text))),
            ("finish", .string(finish.word)), ("prefill_seconds", .number(prefillSeconds)),
            ("decode_seconds", .number(decodeSeconds)), ("first_token_seconds", .number(firstTokenSeconds)),
            ("profile", profile?.json ?? .null), ("model", .string(model)),
            ("fingerprint", .string(fingerprint)), ("shares", .array(shares.map(\.json))),
            ("mean_nll", .number(meanNLL)), ("perplexity", .number(perplexity)),
            ("attempt", .unsigned(attempt)), ("isa", .string(isa)), ("precision", .string(precision)),
            ("queue_position", .unsigned(UInt64(queuePosition))), ("note", .string(note)),
            ("fault", fault?.json ?? .null), ("straggler", straggler?.json ?? .null),
            ("cached_tokens", .unsigned(cachedTokens)), ("owner", .string(owner)),
        ])
    }
}

extension JobEvent: JSONRepresentable {
    /// Only the fields that its kind names.
    public var json: JSONValue {
        var members: [(String, JSONValue)] = [("number", .unsigned(number)), ("kind", .string(kindName))]
        switch content {
        case nil: break
        case .state(let job), .progress(let job), .end(let job): members.append(("job", job.json))
        case .tokens(let part):
            members.append(("text", .string(String(lossy: part.text))))
            members.append(("tokens", .array(part.tokens.map { .unsigned(UInt64($0)) })))
            if !part.logProbabilities.isEmpty {
                members.append(("log_probabilities", .array(part.logProbabilities.map { .float($0) })))
            }
            if !part.likely.isEmpty { members.append(("likely", .array(part.likely.map(\.json)))) }
        case .scores(let scores):
            members.append(("first_position", .unsigned(scores.firstPosition)))
            members.append(("nll", .array(scores.nll.map { .float($0) })))
        }
        return .object(members)
    }

    private var kindName: String {
        switch content {
        case nil: "KIND_UNSPECIFIED"
        case .state: "STATE"
        case .progress: "PROGRESS"
        case .tokens: "TOKENS"
        case .scores: "SCORES"
        case .end: "END"
        }
    }
}

extension LogLine: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("time_us", .unsigned(timeMicroseconds)), ("level", .string(level)), ("source", .string(source)),
            ("text", .string(text)),
        ])
    }
}

extension Forecast: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("admissible", .bool(admissible)), ("reason", .string(reason)),
            ("prompt_tokens", .unsigned(promptTokens)), ("reserved_tokens", .unsigned(reservedTokens)),
            ("profile", profile?.json ?? .null), ("kv_bytes", .unsigned(kvBytes)),
            ("ring_bytes", .unsigned(ringBytes)), ("prefill_seconds", .number(prefillSeconds)),
            ("decode_seconds", .number(decodeSeconds)), ("total_seconds", .number(totalSeconds)),
            ("cached_tokens", .unsigned(cachedTokens)),
            ("unmeasured_reason", .string(unmeasuredReason)), ("shares", .array(shares.map(\.json))),
            ("costs", .array(costs.map(\.json))), ("slabs", .unsigned(UInt64(slabs))),
        ])
    }
}

extension WorkerCost: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("worker", .string(worker)), ("compute_seconds", .number(computeSeconds)),
            ("wire_seconds", .number(wireSeconds)), ("rates", rates?.json ?? .null),
        ])
    }
}

extension WorkerRates: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("dense_operations_per_second", .number(denseOperationsPerSecond)),
            ("attention_operations_per_second", .number(attentionOperationsPerSecond)),
            ("unpack_seconds", .number(unpackSeconds)),
            ("link_bytes_per_second", .number(linkBytesPerSecond)),
            ("piece_keys", .number(pieceKeys)),
            ("host_cores", .unsigned(UInt64(hostCores))),
        ])
    }
}

extension MemberRecord: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("name", .string(name)), ("address", .string(address)), ("ring_address", .string(ringAddress)),
            ("threads", .unsigned(UInt64(threads))), ("memory_bytes", .unsigned(memoryBytes)),
            ("isa", .string(isa)), ("precision", .string(precision)), ("fingerprint", .string(fingerprint)),
            ("state", .string(state.word)), ("last_heartbeat_seconds", .number(lastHeartbeatSeconds)),
            ("model", .string(model)), ("version", .string(version)),
            ("protocol", .unsigned(UInt64(self.protocol))), ("order", .unsigned(UInt64(order))),
            ("reason", .string(reason)), ("host_cores", .unsigned(UInt64(hostCores))),
            ("kv_bytes_used", .unsigned(kvBytesUsed)), ("job", .string(job)),
            ("progress", progress?.json ?? .null), ("kept_bytes", .unsigned(keptBytes)),
            ("kv_disk_bytes", .unsigned(kvDiskBytes)),
        ])
    }
}

extension ContextRecord: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("name", .string(name)), ("owner", .string(owner)), ("state", .string(state.word)),
            ("tokens", .unsigned(tokens)), ("kept_tokens", .unsigned(keptTokens)),
            ("kv_bytes", .unsigned(kvBytes)), ("shares", .array(shares.map(\.json))),
            ("created_us", .unsigned(createdMicroseconds)), ("used_us", .unsigned(usedMicroseconds)),
            ("questions", .unsigned(questions)), ("pinned", .bool(pinned)), ("job", .string(job)),
            ("profile", profile?.json ?? .null), ("reserved_tokens", .unsigned(reservedTokens)),
            ("model", .string(model)), ("fingerprint", .string(fingerprint)), ("chat", .bool(chat)),
        ])
    }
}

extension RunProgress: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("layer", .unsigned(UInt64(layer))), ("layers", .unsigned(UInt64(layers))),
            ("step", .unsigned(UInt64(step))), ("steps", .unsigned(UInt64(steps))),
            ("ring_bytes_sent", .unsigned(ringBytesSent)),
            ("ring_bytes_received", .unsigned(ringBytesReceived)),
            ("compute_seconds", .number(computeSeconds)), ("wait_seconds", .number(waitSeconds)),
        ])
    }
}

extension ClusterState: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("epoch", .unsigned(epoch)), ("model", .string(model)), ("fingerprint", .string(fingerprint)),
            ("members", .array(members.map(\.json))), ("queued", .unsigned(UInt64(queued))),
            ("running", .unsigned(UInt64(running))), ("window", .unsigned(window)),
            ("version", .string(version)), ("protocol", .unsigned(UInt64(self.protocol))),
        ])
    }
}

extension String {
    /// UTF-8; what is not becomes the replacement character.
    public init(lossy bytes: [UInt8]) { self = String(decoding: bytes, as: UTF8.self) }
}
