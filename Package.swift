// swift-tools-version: 6.2
// Lariat: one very long sequence over several ordinary hosts.
// Targets are listed floor by floor; a target may depend on lower floors only.
import PackageDescription

let swift: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]
/// For the targets that call C: every unsafe expression is marked.
let swiftOverC: [SwiftSetting] = swift + [.strictMemorySafety()]
let c: [CSetting] = [.treatAllWarnings(as: .error)]

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOSSL", package: "swift-nio-ssl"),
    .product(name: "NIOTLS", package: "swift-nio"),
]
/// The files of the coordinator's web page, which are bytes in the binary.
let page = [
    "app.js", "charts.js", "contexts.js", "dom.js", "feed.js", "format.js", "icon.svg", "index.html",
    "job.js",
    "overview.js",
    "page.css", "ring.js", "state.js",
]
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
    name: "lariat",
    products: [.executable(name: "lariat", targets: ["lariat"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // Floor 0: system libraries, C, how files are written, and how people read numbers.
        .systemLibrary(name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(
            name: "CProtobufC", pkgConfig: "libprotobuf-c", providers: [.apt(["libprotobuf-c-dev"])]),
        .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
        .target(name: "CGRPCProto", dependencies: ["CProtobufC"], cSettings: c),
        .target(name: "CLariatProto", dependencies: ["CProtobufC"], cSettings: c),
        .target(name: "CLariatKernels", cSettings: c),
        .target(name: "WholeFiles", swiftSettings: swiftOverC),
        .target(name: "Numerals", swiftSettings: swift),

        // Floor 1: files in and out, chat templates, positions, samples, specifications, certificates, JSON, metrics and
        // HTTP/1.1.
        .target(
            name: "GGUF",
            dependencies: ["Numerals", "WholeFiles", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: swiftOverC),
        .target(name: "Jinja", dependencies: ["Numerals"], swiftSettings: swift),
        .target(name: "LongRoPE", dependencies: ["Numerals"], swiftSettings: swift),
        .target(name: "Sampling", swiftSettings: swift),
        .target(
            name: "Cluster",
            dependencies: ["Numerals", "Yams", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: swift),
        .target(
            name: "Certificates",
            dependencies: [
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "X509", package: "swift-certificates"),
            ],
            swiftSettings: swift),
        .target(name: "JSONText", dependencies: ["Numerals"], swiftSettings: swift),

        .target(
            name: "Observability",
            dependencies: [
                "Numerals", log,
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: swift),

        // Floor 2: tokens, compute, the ring's rules, HTTP/2's rules, typed values as protobuf, the OpenAI API's rules,
        // the search for factors and measures of a model.
        .target(name: "Tokenizer", dependencies: ["Jinja", "Numerals"], swiftSettings: swift),
        .target(
            name: "Kernels", dependencies: ["CLariatKernels", "COneDNN", "GGUF", "LongRoPE"],
            swiftSettings: swiftOverC),
        .target(name: "RingAttention", swiftSettings: swift),
        .target(
            name: "FactorSearch", dependencies: ["LongRoPE", "Numerals", "Sampling"], swiftSettings: swift),
        .target(name: "Evaluation", dependencies: ["Numerals", "Sampling"], swiftSettings: swift),
        .target(name: "HTTP2", dependencies: ["CNGHTTP2", "Numerals"], swiftSettings: swiftOverC),
        .target(name: "Protobuf", dependencies: ["CProtobufC", "Numerals"], swiftSettings: swiftOverC),
        .target(name: "OpenAI", dependencies: ["JSONText", "Numerals"], swiftSettings: swift),

        // Floor 3: keys and values, models, and calls between processes, whatever their messages are.
        .target(
            name: "KVCache",
            dependencies: [
                "Kernels", "Numerals", "RingAttention", .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: swift),
        .target(
            name: "Transformer",
            dependencies: ["GGUF", "Tokenizer", "LongRoPE", "Kernels", "KVCache", "RingAttention"],
            swiftSettings: swift),
        .target(
            name: "RPC",
            dependencies: ["CGRPCProto", "HTTP2", "Numerals", "Observability", "Protobuf", log] + nio,
            swiftSettings: swiftOverC),

        // Floor 4: what Lariat's processes say to each other and to their clients, and the ring between workers.
        .target(
            name: "Messages", dependencies: ["CLariatProto", "JSONText", "Protobuf", "RPC"],
            swiftSettings: swiftOverC),
        .target(
            name: "RingTransport",
            dependencies: [
                "Protobuf",
                "Kernels", "Messages", "Numerals", "RPC", "RingAttention", log,
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: swift),

        // Floor 5: the two kinds of process. The page is a target of its own because it is slow to compile: its files
        // become literals of a hundred thousand bytes.
        .target(
            name: "CoordinatorPage", path: "Sources/Coordinator/Page",
            resources: page.map { .embedInCode($0) },
            swiftSettings: swift),
        .target(
            name: "Worker",
            dependencies: [
                "Tokenizer", "LongRoPE", "Numerals", "Sampling", "Cluster", "Kernels", "KVCache", "Messages",
                "Protobuf", "RingAttention", "RingTransport", "Transformer", "RPC", "Observability", log,
            ],
            swiftSettings: swift),
        .target(
            name: "Coordinator",
            dependencies: [
                "CoordinatorPage", "Jinja", "Tokenizer", "LongRoPE", "Numerals", "Sampling", "Cluster",
                "Kernels",
                "RingAttention",
                "Transformer", "Messages", "Protobuf", "RPC", "Observability", "JSONText", "OpenAI", log,
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            exclude: ["Page"], swiftSettings: swift),

        // Floor 6: measurements of the floors below.
        .target(
            name: "Benchmark",
            dependencies: [
                "GGUF", "LongRoPE", "Sampling", "Kernels", "Messages", "RingAttention",
                "RingTransport", "Transformer", "RPC", log,
            ],
            swiftSettings: swift),

        // Floor 6: longer contexts for a model, judged by jobs.
        .target(
            name: "ContextExtension",
            dependencies: ["Evaluation", "FactorSearch", "GGUF", "LongRoPE", "Numerals"],
            swiftSettings: swift),

        // Floor 7: what people type.
        .executableTarget(
            name: "lariat",
            dependencies: [
                "Benchmark", "ContextExtension", "Evaluation", "FactorSearch", "GGUF", "JSONText",
                "Tokenizer",
                "Coordinator", "Observability", "Worker", "Transformer", "Certificates", "Cluster",
                "Messages", "Protobuf", "RPC", "Kernels",
                "LongRoPE", "Numerals",
                "Sampling", "WholeFiles", log,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: swift),

        // Tests. Reference values are in Tests/Golden.
        .target(
            name: "TestSupport", dependencies: ["Jinja", "RingAttention"], path: "Tests/TestSupport",
            swiftSettings: swift),
        .testTarget(name: "JinjaTests", dependencies: ["Jinja", "TestSupport"], swiftSettings: swift),
        .testTarget(name: "NumeralsTests", dependencies: ["Numerals"], swiftSettings: swift),
        .testTarget(name: "WholeFilesTests", dependencies: ["WholeFiles"], swiftSettings: swift),
        .testTarget(
            name: "GGUFTests", dependencies: ["GGUF", "Numerals", "TestSupport"], swiftSettings: swift),
        .testTarget(
            name: "TokenizerTests", dependencies: ["GGUF", "Jinja", "Tokenizer", "TestSupport"],
            swiftSettings: swift),
        .testTarget(name: "LongRoPETests", dependencies: ["LongRoPE", "TestSupport"], swiftSettings: swift),
        .testTarget(name: "SamplingTests", dependencies: ["Sampling"], swiftSettings: swift),
        .testTarget(name: "EvaluationTests", dependencies: ["Evaluation", "Sampling"], swiftSettings: swift),
        .testTarget(name: "ClusterTests", dependencies: ["Cluster"], swiftSettings: swift),
        .testTarget(name: "CertificatesTests", dependencies: ["Certificates"], swiftSettings: swift),
        .testTarget(
            name: "KernelsTests",
            dependencies: ["GGUF", "Kernels"],
            swiftSettings: swift),
        .testTarget(
            name: "RingAttentionTests", dependencies: ["RingAttention", "TestSupport"], swiftSettings: swift),
        .testTarget(
            name: "FactorSearchTests", dependencies: ["FactorSearch", "LongRoPE", "Sampling"],
            swiftSettings: swift),
        .testTarget(name: "HTTP2Tests", dependencies: ["HTTP2"], swiftSettings: swift),
        .testTarget(name: "JSONTextTests", dependencies: ["JSONText"], swiftSettings: swift),
        .testTarget(name: "OpenAITests", dependencies: ["JSONText", "OpenAI"], swiftSettings: swift),
        .testTarget(
            name: "RPCTests", dependencies: ["HTTP2", "Observability", "Protobuf", "RPC", log] + nio,
            swiftSettings: swift),
        .testTarget(
            name: "MessagesTests",
            dependencies: ["CLariatProto", "CProtobufC", "JSONText", "Messages", "Protobuf", "RPC"],
            exclude: ["message-json.txt"], swiftSettings: swift),
        .testTarget(
            name: "ObservabilityTests",
            dependencies: [
                "Observability", log, .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            swiftSettings: swift),
        .testTarget(
            name: "KVCacheTests", dependencies: ["KVCache", "Kernels", "RingAttention"],
            exclude: ["Fixtures"], swiftSettings: swift),
        .testTarget(
            name: "TransformerTests",
            dependencies: [
                "GGUF", "KVCache", "Kernels", "LongRoPE", "RingAttention", "Sampling",
                "Transformer",
                "TestSupport",
            ],
            swiftSettings: swift),
        .testTarget(
            name: "RingTransportTests",
            dependencies: [
                "Kernels", "Messages", "RPC", "RingAttention", "RingTransport",
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: swift),
        .testTarget(
            name: "WorkerTests",
            dependencies: [
                "Cluster", .product(name: "NIOCore", package: "swift-nio"),
                "KVCache", "Kernels", "LongRoPE", "Messages", "Protobuf", "RPC", "RingAttention",
                "RingTransport", "Transformer", "Worker", "TestSupport", log,
            ],
            swiftSettings: swift),
        .testTarget(
            name: "ContextExtensionTests",
            dependencies: [
                "ContextExtension", "Evaluation", "FactorSearch", "GGUF", "LongRoPE", "TestSupport",
                "Transformer",
            ],
            swiftSettings: swift),
        .testTarget(
            name: "BenchmarkTests", dependencies: ["Benchmark", "GGUF", "Kernels", "TestSupport", log],
            swiftSettings: swift),
        .testTarget(
            name: "lariatTests",
            dependencies: [
                "Benchmark", "Certificates", "Cluster", "JSONText", "Kernels", "lariat", "Messages",
                "Protobuf",
                "RPC", "WholeFiles",
            ],
            swiftSettings: swift),
        .testTarget(
            name: "CoordinatorTests",
            dependencies: [
                "Cluster", "Coordinator", "CoordinatorPage", "JSONText", "Messages", "Observability",
                "OpenAI", "Protobuf", "RPC", "RingAttention", "TestSupport", log,
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            exclude: ["Scenarios"], swiftSettings: swift),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c17
)
