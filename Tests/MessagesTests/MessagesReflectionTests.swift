// Reflection and health, without a socket.
import Messages
import Protobuf
import RPC
import Testing

@Suite struct MessagesReflectionTests {
    private let reflection = Reflection(
        services: [CoordinatorService.name, HealthService.name], files: .lariat)

    @Test func servicesAreListed() {
        let names = reflection.answer(.with { $0.listServices = "" }).services?.services.map(\.name)
        #expect(
            names == [
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
        let request = ReflectionRequest.with { $0.fileContainingSymbol = symbol }
        let answer = reflection.answer(request)
        #expect(answer.fileDescriptors?.files.count == 1, "no file of ours imports another")
        #expect(answer.originalRequest == request)
        // It goes over the wire as it is.
        #expect(try ReflectionResponse(decoding: try answer.encoded()) == answer)
    }

    @Test func filesByName() {
        #expect(
            reflection.answer(.with { $0.fileByFilename = "lariat.proto" }).fileDescriptors?.files.count == 1)
        #expect(reflection.answer(.with { $0.fileByFilename = "nothing.proto" }).error?.code == 5)
        #expect(reflection.answer(.with { $0.fileContainingSymbol = "lariat.v1.Nothing" }).error?.code == 5)
        #expect(reflection.answer(ReflectionRequest()).error?.code == 3)
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
