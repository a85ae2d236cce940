// The typed messages: every field both ways, against bytes that another protobuf implementation made.
import Messages
import Protobuf
import RPC
import Testing

/// Every message type, for tests that hold for all.
let everyMessage: [any PackedMessage.Type] = [
    SamplingMessage.self, JobOptions.self, SubmitPart.self, ProfileMessage.self, WorkerShare.self,
    RingStepRecord.self,
    JobRecord.self, JobFault.self, StragglerMessage.self, JobRequest.self, AttachRequest.self, JobEvent.self,
    ListJobsRequest.self,
    ListJobsReply.self, LogLine.self, Forecast.self, CalibrateRequest.self, WorkerRates.self,
    WorkerCost.self, ClusterRequest.self, ClusterState.self,
    MemberRecord.self, RegisterRequest.self, RegisterReply.self, HeartbeatRequest.self, HeartbeatReply.self,
    ContextRecord.self, ListContextsRequest.self, ListContextsReply.self, ContextRequest.self,
    PinContextRequest.self, HeldSequence.self, KeptSequence.self, RunPast.self,
    RunMember.self, RunPlan.self, RunCommand.self, RunEvent.self, RingHeader.self,
    RingReply.self, HealthCheckRequest.self, HealthCheckResponse.self, ReflectionRequest.self,
    ReflectionExtension.self, ReflectionResponse.self, ReflectionFiles.self,
    ReflectionExtensionNumbers.self, ReflectionServices.self, ReflectionServiceName.self,
    ReflectionError.self, FaultMessage.self, RunProgress.self, TracePart.self, TraceSpanMessage.self,
    DrainRequest.self, DrainReply.self, LikelyTokens.self, RotaryMethodMessage.self,
    RotaryTableMessage.self, PositionGapMessage.self, ShardTokens.self, PrefillProgress.self,
    ChosenToken.self, Scores.self, RunLog.self, RunResult.self, RunTrace.self, ChatTurn.self,
]

/// Bytes from hexadecimal digits.
func bytes(_ hexadecimal: String) -> [UInt8] {
    let digits = Array(hexadecimal.utf8)
    return stride(from: 0, to: digits.count, by: 2).map { at in
        UInt8(String(decoding: digits[at...at + 1], as: UTF8.self), radix: 16) ?? 0
    }
}

/// A job with every kind of field set.
let sampleJob = JobRecord.with {
    $0.id = "j-1"
    $0.options = JobOptions.with {
        $0.kind = .generate
        $0.name = "näme"
        $0.maxTokens = 7
        $0.sampling = SamplingMessage.with {
            $0.temperature = 0.5
            $0.topK = 40
            $0.seed = 1 << 63 + 1
        }
        $0.stop = ["a", "", "Ω"]
        $0.chat = true
    }
    $0.state = .decode
    $0.reason = "r"
    $0.submittedMicroseconds = 1_790_000_000_000_000
    $0.promptTokens = 300
    $0.text = [0, 0xff] + Array(" text".utf8)
    $0.meanNLL = 1.5
    $0.shares = [
        WorkerShare.with {
            $0.worker = "alpha"
            $0.tokens = 150
            $0.kvBytes = 1 << 40
        },
        WorkerShare.with {
            $0.rank = 1
            $0.worker = "beta"
            $0.computeSeconds = 0.25
        },
    ]
    $0.queuePosition = 3
}

@Suite struct MessagesTests {
    @Test func everyMessageOfProtoHasAType() {
        let names = DescriptorTable.lariat.names + DescriptorTable.grpc.names
        #expect(everyMessage.map { $0.schema.name }.sorted() == names.sorted())
    }

    @Test func everyFieldOfProtoHasAProperty() {
        for type in everyMessage {
            var expected = type.schema.fieldNumbers
            if type == RingHeader.self { expected.removeAll { $0 == 15 } }  // the tensor follows the header
            #expect(type.numbers.sorted() == expected.sorted(), "\(type.schema.name)")
        }
    }

    /// Reading and writing an empty message touches each line of its field table: types must match Proto/.
    @Test func emptyMessagesAreEmptyBytes() throws {
        func check<M: BridgedMessage>(_: M.Type) throws {
            #expect(try M().encoded() == [])
            #expect(try M(decoding: []) == M())
        }
        for type in everyMessage {
            if let structure = type as? any BridgedMessage.Type {
                try check(structure)
            } else if type == JobEvent.self {
                #expect(try JobEvent(nil).encoded() == [] && JobEvent(decoding: []) == JobEvent(nil))
            } else {
                // One of several things, and none of them.
                #expect(throws: MessageError.nothingSet(message: type.schema.name)) {
                    try type.init(decoding: [])
                }
            }
        }
    }

    @Test(arguments: [
        RunCommand.plan(.with { $0.job = "j1" }), .tokens(ShardTokens(tokens: [1, 2], next: [2, 0])),
        .tokens(ShardTokens(tokens: [], next: [])), .start, .stop,
    ])
    func commandsSurvive(_ command: RunCommand) throws {
        #expect(try RunCommand(decoding: command.encoded()) == command)
    }

    @Test(arguments: [
        RunEvent.accepted, .progress(PrefillProgress(layers: 4, prefilledLayers: 0)),
        .token(ChosenToken(token: 0, logProbability: 0, likely: nil)),
        .token(ChosenToken(token: 7, logProbability: -0.5, likely: .with { $0.tokens = [7] })),
        .scores(Scores(firstPosition: 5, nll: [0.5])), .log(RunLog(level: "info", text: "t")),
        .finished(RunResult(finish: .end, share: WorkerShare(), prefillSeconds: 1, decodeSeconds: 2)),
        .trace(RunTrace(spans: [.with { $0.kind = .wait }])), .fault(.with { $0.kind = .silent }),
    ])
    func eventsSurvive(_ event: RunEvent) throws {
        #expect(try RunEvent(decoding: event.encoded()) == event)
    }

    @Test(
        arguments: [
            nil, .state(sampleJob), .progress(sampleJob), .end(sampleJob),
            .tokens(
                AnswerPart(
                    text: [0x68], tokens: [3, 4], logProbabilities: [-0.5, -1],
                    likely: [LikelyTokens(), .init()])),
            .scores(Scores(firstPosition: 1, nll: [0.25])),
        ] as [JobEvent.Content?])
    func jobEventsSurvive(_ content: JobEvent.Content?) throws {
        let event = JobEvent(number: 7, content)
        #expect(try JobEvent(decoding: event.encoded()) == event)
    }

    @Test func ofTwoMembersTheLaterCounts() throws {
        let bytes =
            try RunCommand.tokens(ShardTokens(tokens: [1], next: [])).encoded() + RunCommand.stop.encoded()
        #expect(try RunCommand(decoding: bytes) == .stop)
        // A member that is not known here: another version.
        #expect(throws: MessageError.unknownField(message: "lariat.v1.RunEvent", number: 127)) {
            try RunEvent(decoding: [0xf8, 0x07, 1])
        }
    }

    @Test func bytesEqualThoseOfAnotherImplementation() throws {
        #expect(try sampleJob.encoded() == bytes(Fixture.job))
        #expect(try JobRecord(decoding: bytes(Fixture.job)) == sampleJob)

        let tokens = SubmitPart.with { $0.tokens = [0, 1, 127, 128, 49151, .max] }
        #expect(try tokens.encoded() == bytes(Fixture.submit))
        #expect(try SubmitPart(decoding: bytes(Fixture.submit)) == tokens)

        let profile = ProfileMessage.with {
            $0.name = "long"
            $0.theta = 1e4
            $0.rotaryDimension = 32
            $0.factors = [1, 1.25, -0.5]
            $0.startTokens = 4
            $0.attentionFactor = 1.19
            $0.window = 131072
            $0.identity = "x"
        }
        #expect(try profile.encoded() == bytes(Fixture.profile))
        #expect(try ProfileMessage(decoding: bytes(Fixture.profile)) == profile)

        let event = RunEvent.scores(Scores(firstPosition: 5, nll: [0.5, 1.25, .infinity]))
        #expect(try event.encoded() == bytes(Fixture.event))
        #expect(try RunEvent(decoding: bytes(Fixture.event)) == event)
    }

    @Test func aForecastSurvives() throws {
        let forecast = Forecast.with {
            $0.admissible = true
            $0.prefillSeconds = 1.5
            $0.costs = ["alpha", "beta"].map { name in
                .with {
                    $0.worker = name
                    $0.computeSeconds = 1.25
                    $0.wireSeconds = 0.5
                    $0.rates = .with {
                        $0.denseOperationsPerSecond = 1e12
                        $0.attentionOperationsPerSecond = 2e11
                        $0.unpackSeconds = 0.001
                        $0.linkBytesPerSecond = 1.25e8
                        $0.hostCores = 64
                        $0.pieceKeys = 20
                    }
                }
            }
            $0.unmeasuredReason = "r"
            $0.decodeSeconds = 2.5
            $0.totalSeconds = 4
        }
        #expect(try Forecast(decoding: forecast.encoded()) == forecast)
        let request = CalibrateRequest.with {
            $0.epoch = 7
            $0.nextRingAddress = "beta:7412"
        }
        #expect(try CalibrateRequest(decoding: request.encoded()) == request)
        // A worker from another time: refused, not misunderstood.
        #expect(throws: MessageError.self) { try WorkerRates(decoding: [0xf8, 0x07, 1]) }
    }

    @Test func membersOfAOneofExcludeEachOther() throws {
        let symbol = ReflectionRequest.with { $0.question = .fileContainingSymbol("lariat.v1.Job") }
        #expect(try ReflectionRequest(decoding: try symbol.encoded()) == symbol)
        // An empty string that is set is not the same as one that is not set.
        let list = ReflectionRequest.with { $0.question = .listServices("") }
        #expect(try list.encoded() == [0x3a, 0])
        #expect(try ReflectionRequest(decoding: [0x3a, 0]) == list)
        let answer = ReflectionResponse.with {
            $0.originalRequest = symbol
            $0.answer = .files(.with { $0.files = [[1, 2, 0], [], [255]] })
        }
        #expect(try ReflectionResponse(decoding: try answer.encoded()) == answer)
    }

    /// Journals of earlier versions hold the word; it is read and not written again.
    @Test func theEarlierWordForAnEndIsRead() throws {
        let word = Array("length".utf8)
        let job = try JobRecord(decoding: [0x62, UInt8(word.count)] + word)
        #expect(job.finish == .length)
        #expect(try job.encoded() == [0xe8, 0x01, 2])
        #expect(try JobRecord(decoding: job.encoded()) == job)
        #expect(try JobRecord(decoding: [0x62, 1, 0x3f]).finish == .unspecified)
    }

    @Test func unknownEnumerationValuesAreUnspecified() throws {
        #expect(try JobRecord(decoding: [0x18, 99]).state == .unspecified)
        // -1, as ten bytes
        #expect(
            try JobRecord(decoding: [0x18] + [UInt8](repeating: 0xff, count: 9) + [1]).state == .unspecified)
    }

    @Test func unknownFieldsAreForClientsOnly() throws {
        let unknown: [UInt8] = [0xf8, 0x07, 1]  // field 127
        #expect(try JobRequest(decoding: [0x0a, 1, 0x61] + unknown).id == "a")
        let refused = MessageError.unknownField(message: "lariat.v1.HeartbeatRequest", number: 127)
        #expect(throws: refused) { try HeartbeatRequest(decoding: unknown) }
        // Also inside: a plan's member.
        #expect(throws: MessageError.unknownField(message: "lariat.v1.RunMember", number: 127)) {
            try RunPlan(decoding: [0x2a, 3] + unknown)
        }
    }

    @Test func textMustBeUTF8WithoutNUL() throws {
        #expect(throws: MessageError.notUTF8(message: "lariat.v1.JobRequest", field: "id")) {
            try JobRequest(decoding: [0x0a, 2, 0xc3, 0x28])
        }
        #expect(throws: MessageError.containsNUL(message: "lariat.v1.JobRequest", field: "id")) {
            try JobRequest(decoding: [0x0a, 3, 0x61, 0, 0x62])
        }
        #expect(throws: MessageError.containsNUL(message: "lariat.v1.JobOptions", field: "stop")) {
            try JobOptions(decoding: [0x2a, 1, 0])
        }
        #expect(throws: MessageError.containsNUL(message: "lariat.v1.JobRequest", field: "id")) {
            try JobRequest.with { $0.id = "a\0b" }.encoded()
        }
        // The last of two values counts, and a checked empty string is fine.
        #expect(try JobRequest(decoding: [0x0a, 1, 0x61, 0x0a, 0]).id == "")
    }

    @Test func tooLongIsRefusedBothWays() throws {
        let limit = HealthCheckRequest.byteLimit
        let error = MessageError.tooLarge(
            message: "grpc.health.v1.HealthCheckRequest", bytes: limit + 1, limit: limit)
        #expect(throws: error) { try HealthCheckRequest(decoding: [UInt8](repeating: 0, count: limit + 1)) }
        #expect(throws: MessageError.self) {
            try HealthCheckRequest.with { $0.service = String(repeating: "a", count: limit) }.encoded()
        }
    }
}
