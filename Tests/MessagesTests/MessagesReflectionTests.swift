// Reflection and health, without a socket.
import Messages
import Protobuf
import RPC
import Testing

@Suite struct MessagesReflectionTests {
    private let reflection = Reflection(
        services: [CoordinatorService.name, HealthService.name], files: .lariat)

    private func files(_ response: ReflectionResponse) -> Int? {
        if case .files(let files)? = response.answer { files.files.count } else { nil }
    }

    private func code(_ response: ReflectionResponse) -> Int32? {
        if case .error(let error)? = response.answer { error.code } else { nil }
    }

    @Test func servicesAreListed() {
        guard
            case .services(let services)? = reflection.answer(.with { $0.question = .listServices("") })
                .answer
        else {
            Issue.record("no list")
            return
        }
        #expect(
            services.services.map(\.name) == [
                "lariat.v1.Coordinator", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
            ])
    }

    @Test(arguments: [
        "lariat.v1.Coordinator", "lariat.v1.Coordinator.Submit", "lariat.v1.JobEvent.Kind",
        "lariat.v1.Job.id",
        "lariat.v1.JobState", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ])
    func symbolsHaveAFile(_ symbol: String) throws {
        let request = ReflectionRequest.with { $0.question = .fileContainingSymbol(symbol) }
        let answer = reflection.answer(request)
        #expect(files(answer) == 1, "no file of ours imports another")
        #expect(answer.originalRequest == request)
        // It goes over the wire as it is.
        #expect(try ReflectionResponse(decoding: try answer.encoded()) == answer)
    }

    @Test func filesByName() {
        func answer(_ question: ReflectionRequest.Question?) -> ReflectionResponse {
            reflection.answer(.with { $0.question = question })
        }
        #expect(files(answer(.fileByFilename("lariat.proto"))) == 1)
        #expect(code(answer(.fileByFilename("nothing.proto"))) == 5)
        #expect(code(answer(.fileContainingSymbol("lariat.v1.Nothing"))) == 5)
        #expect(code(answer(.fileContainingExtension(.with { $0.containingType = "lariat.v1.Job" }))) == 5)
        #expect(code(answer(.allExtensionNumbersOfType("lariat.v1.Nothing"))) == 5)
        #expect(code(answer(nil)) == 3)
    }

    @Test func damagedDescriptorSetsDoNoHarm() {
        let set = (0..<200).map { UInt8(truncatingIfNeeded: $0 &* 37) }
        #expect(DescriptorIndex(set: set).files(named: "lariat.proto") == nil)
    }

    @Test func healthIsToldAndWatched() async {
        let board = HealthBoard(services: ["a.B"])
        #expect(board.status(of: "a.B").status == .notServing)
        #expect(board.status(of: "").status == .notServing)
        #expect(board.status(of: "x").status == nil)
        let version = board.status(of: "a.B").version
        async let change: Void = board.change(after: version)
        board.set(serving: true)
        await change
        #expect(board.status(of: "a.B").status == .serving)
        // A watcher whose client goes does not wait for ever.
        let watcher = Task { await board.change(after: board.status(of: "").version) }
        watcher.cancel()
        await watcher.value
    }
}
