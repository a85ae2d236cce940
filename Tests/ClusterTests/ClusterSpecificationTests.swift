// What a good specification gives: defaults, paths, addresses, TLS, and the examples in Cluster/.
import Cluster
import Foundation
import Testing

let environment = ["HOME": "/home/rope", "DATA": "/data", "EMPTY": ""]

@Suite("Cluster specification")
struct ClusterSpecificationTests {
    /// A file of this repository.
    static func repository(_ path: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: path).path
    }

    static func example(_ name: String) -> String { repository("Cluster/\(name)") }

    static func parse(_ text: String) throws(ClusterError) -> ClusterSpecification {
        try ClusterSpecification.parse(text, path: "/etc/lariat/test.yaml", environment: environment)
    }

    static let smallest = """
        model: m.gguf
        coordinator: { listen: 127.0.0.1:7400 }
        workers:
          - { name: a, listen: 127.0.0.1:1, ring: 127.0.0.1:2, memory: 1GiB }

        """

    @Test("The smallest specification gets every default")
    func defaults() throws {
        let specification = try Self.parse(Self.smallest)
        #expect(specification.path == "/etc/lariat/test.yaml")
        #expect(specification.model == "/etc/lariat/m.gguf")
        #expect(specification.precision == .bf16 && specification.isa == .auto)
        #expect(specification.coordinator.listen == HostPort(host: "127.0.0.1", port: 7400))
        #expect(specification.coordinator.advertise == specification.coordinator.listen)
        #expect(specification.coordinator.data == "/home/rope/.local/share/lariat")
        #expect(specification.coordinator.tls == nil)
        #expect(specification.coordinator.template == nil && specification.coordinator.templateFile == nil)
        #expect(specification.workers.count == 1)
        let worker = try #require(specification.worker(named: "a"))
        #expect(worker.listen.port == 1 && worker.ring.port == 2)
        #expect(worker.advertise == worker.listen && worker.ringAdvertise == worker.ring)
        #expect(worker.threads == nil && worker.cores == [] && worker.tls == nil)
        #expect(worker.memory == ByteSize(bytes: 1 << 30) && worker.model == specification.model)
        #expect(specification.heartbeat == .seconds(1) && specification.lostAfter == .seconds(5))
        #expect(specification.stall == .seconds(300))
        #expect(specification.worker(named: "b") == nil)
    }

    @Test("A chat template is a name or a file")
    func templates() throws {
        for (text, template) in [
            ("chatml", ClusterSpecification.Template.named("chatml")), ("no-such_1", .named("no-such_1")),
            ("./chatml", .file("/etc/lariat/chatml")), ("own.jinja", .file("/etc/lariat/own.jinja")),
            ("chat/own", .file("/etc/lariat/chat/own")), ("~/own", .file("/home/rope/own")),
            ("\"${DATA}/own\"", .file("/data/own")),
        ] {
            let specification = try Self.parse(
                Self.smallest.replacing(
                    "listen: 127.0.0.1:7400", with: "listen: 127.0.0.1:7400, template: \(text)"))
            #expect(specification.coordinator.template == template)
        }
    }

    @Test("Every key is read")
    func everything() throws {
        let specification = try Self.parse(
            """
            ---
            model: "${DATA}/models/${EMPTY}m.gguf"
            precision: f32
            isa: avx2
            coordinator:
              listen: 0.0.0.0:7400
              advertise: rope-1:7400
              data: ~/journal
              tls: { certificate: c.pem, key: c.key }
            workers:
              - name: a
                listen: "[::]:7411"
                ring: "[::]:7412"
                advertise: "[fd00::1]:7411"
                threads: 2
                cores: [4, 5, 6]
                memory: 1.5GiB
              - name: b.2_x-
                listen: 10.0.0.2:7411
                ring: 10.0.0.2:7412
                advertise: public:9411
                advertise_ring: public:9412
                memory: 500MB
                model: ../other/m.gguf
                tls:
                  certificate: b.pem
                  key: b.key
            tls:
              ca: ca.pem
              certificate: host.pem
              key: host.key
            heartbeat_seconds: 0.5
            lost_after_seconds: 3
            stall_seconds: 12.5
            """)
        #expect(specification.model == "/data/models/m.gguf")
        #expect(specification.precision == .f32 && specification.isa == .avx2)
        #expect(specification.coordinator.advertise.description == "rope-1:7400")
        #expect(specification.coordinator.data == "/home/rope/journal")
        #expect(specification.coordinator.tls?.certificate == "/etc/lariat/c.pem")
        let (a, b) = (specification.workers[0], specification.workers[1])
        #expect(a.listen.isWildcard && a.listen.description == "[::]:7411")
        #expect(a.ringAdvertise == HostPort(host: "fd00::1", port: 7412))
        #expect(a.threads == 2 && a.cores == [4, 5, 6] && a.memory.bytes == 3 << 29)
        #expect(a.tls?.key == "/etc/lariat/host.key" && a.tls?.ca == "/etc/lariat/ca.pem")
        #expect(b.advertise.description == "public:9411" && b.ringAdvertise.description == "public:9412")
        #expect(b.memory.bytes == 500_000_000 && b.model == "/etc/other/m.gguf")
        #expect(b.tls?.certificate == "/etc/lariat/b.pem" && b.tls?.ca == "/etc/lariat/ca.pem")
        #expect(specification.heartbeat == .milliseconds(500) && specification.stall == .milliseconds(12500))
        #expect(specification.lostAfter == .seconds(3))
    }

    @Test("kv: for all workers, and per worker")
    func keptOnDisk() throws {
        #expect(try Self.parse(Self.smallest).workers[0].kv == nil)
        let text = Self.smallest + "kv: { path: kv, disk: 2GiB }\n"
        let kv = try #require(try Self.parse(text).workers[0].kv)
        #expect(kv.path == "/etc/lariat/kv" && kv.disk.bytes == 2 << 30)
        let own = text.replacing("memory: 1GiB", with: "memory: 1GiB, kv: { disk: 3GiB }")
        let other = try #require(try Self.parse(own).workers[0].kv)
        #expect(other.path == "/etc/lariat/kv" && other.disk.bytes == 3 << 30)
        for (wrong, key) in [
            ("kv: { path: /kv }", "kv.disk"), ("kv: { disk: 1GiB }", "kv.path"),
            ("kv: { path: /kv, disk: 1KiB }", "kv.disk"),
            ("kv: { path: /kv, disk: 1GiB, size: 2 }", "kv.size"),
            ("kv: { path: /kv, disk: much }", "kv.disk"),
        ] {
            do throws(ClusterError) {
                _ = try Self.parse(Self.smallest + wrong + "\n")
                Issue.record("\(wrong) is refused")
            } catch { #expect(error.key == key, "\(wrong): \(error)") }
        }
    }

    @Test("local.yaml: a coordinator and three workers on loopback")
    func local() throws {
        let specification = try ClusterSpecification.load(
            Self.example("local.yaml"), environment: environment)
        #expect(specification.model == "/home/rope/.cache/lariat/models/SmolLM2-135M-Instruct.Q4_1.gguf")
        #expect(specification.coordinator.listen.description == "127.0.0.1:7400")
        #expect(specification.workers.map(\.name) == ["alpha", "beta", "gamma"])
        #expect(
            specification.workers.flatMap { [$0.listen.port, $0.ring.port] } == [
                7411, 7412, 7421, 7422, 7431, 7432,
            ])
        #expect(specification.workers.allSatisfy { $0.threads == 1 && $0.memory.bytes == 2 << 30 })
        #expect(specification.workers.allSatisfy { $0.listen.host == "127.0.0.1" && $0.tls == nil })
    }

    @Test("three-hosts.yaml: TLS everywhere, reachable addresses")
    func threeHosts() throws {
        let path = Self.example("three-hosts.yaml")
        let specification = try ClusterSpecification.load(path, environment: environment)
        #expect(specification.workers.count == 3)
        #expect(specification.coordinator.tls != nil && specification.workers.allSatisfy { $0.tls != nil })
        #expect(
            specification.workers.map(\.ringAdvertise.description) == [
                "rope-1.example.org:7412", "rope-2.example.org:7412", "[2001:db8::3]:7412",
            ])
        let ca = URL(filePath: path).deletingLastPathComponent().appending(component: "ca.pem").path
        #expect(specification.workers.allSatisfy { $0.tls?.ca == ca })
    }

    @Test("Windows line ends and a byte order mark are no matter")
    func lineEnds() throws {
        let text = "\u{feff}" + Self.smallest.replacing("\n", with: "\r\n")
        #expect(try Self.parse(text) == Self.parse(Self.smallest))
        #expect(
            throws: ClusterError(
                path: "/etc/lariat/test.yaml", line: 5, key: "colour", problem: "")
        ) {
            do throws(ClusterError) {
                _ = try Self.parse(text + "colour: red\r\n")
            } catch {
                throw ClusterError(path: error.path, line: error.line, key: error.key, problem: "")
            }
        }
    }

    @Test("Files that cannot be read say why")
    func files() throws {
        let folder = FileManager.default.temporaryDirectory.appending(component: "cluster-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func refuses(_ name: String, _ data: Data?, line: Int?, _ problem: String) throws {
            let path = folder.appending(component: name).path
            if let data { try data.write(to: URL(filePath: path)) }
            let error = #expect(throws: ClusterError.self) { try ClusterSpecification.load(path) }
            #expect(error?.problem.contains(problem) == true && error?.line == line && error?.path == path)
        }
        try refuses("missing.yaml", nil, line: nil, "no such file")
        try refuses("", nil, line: nil, "is a folder")
        try refuses("empty.yaml", Data(), line: 1, "the file is empty")
        try refuses("latin1.yaml", Data("model: x\nisa: ".utf8) + [0xe9, 0x0a], line: 2, "is not UTF-8")
        let large = Data("# comment\n".utf8) + Data(repeating: UInt8(ascii: "#"), count: 1 << 20)
        try refuses("large.yaml", large, line: nil, "larger than 1 MiB")
    }
}

@Suite("Addresses and sizes")
struct ValueTests {
    @Test(
        "Good addresses",
        arguments: [
            ("127.0.0.1:7400", "127.0.0.1", 7400), ("node-1.lab_2:1", "node-1.lab_2", 1),
            ("[::1]:65535", "::1", 65535),
            ("[fe80::1%eth0]:80", "fe80::1%eth0", 80), ("localhost:0", "localhost", 0),
        ])
    func addresses(text: String, host: String, port: Int) throws {
        let address = try HostPort(parsing: text)
        #expect(address == HostPort(host: host, port: port) && address.description == text)
    }

    @Test(
        "Bad addresses",
        arguments: [
            "", "host", ":80", "host:", "host:x", "host:65536", "host:-1", "host:+1", "host:123456", "::1:80",
            "[::1]",
            "[]:80", "[host]:80", "ho st:80", "host/:80", "http://host:80", "1.2.3:80", "1.2.3.256:80",
            "1.2.3.4.5:80",
            "host:８０", "hôte:80", "host:80\n",
        ])
    func badAddresses(text: String) {
        #expect(throws: ValueError.self) { try HostPort(parsing: text) }
    }

    @Test(
        "Good sizes",
        arguments: [
            ("2GiB", 2 << 30, "2GiB"), ("1.5 GiB", 3 << 29, "1.5GiB"), ("1TiB", 1 << 40, "1TiB"),
            ("512MiB", 512 << 20, "512MiB"),
            ("1kB", 1000, "1000B"), ("3KB", 3000, "2.92KiB"), ("2GB", 2_000_000_000, "1.86GiB"),
            ("17B", 17, "17B"),
            ("0.5KiB", 512, "512B"), ("1TB", 1_000_000_000_000, "931.32GiB"), ("0B", 0, "0B"),
            ("1.04GiB", 1_116_691_496, "1.03GiB"),
        ])
    func sizes(text: String, bytes: Int, description: String) throws {
        let size = try ByteSize(parsing: text)
        #expect(size.bytes == bytes && size.description == description)
    }

    @Test(
        "Bad sizes",
        arguments: [
            "", "4", "4 Gigs", "GiB", "-1GiB", "+1GiB", "1e3B", "1..5GiB", ".5GiB", "1.GiB", "4gib", "4  GiB",
            "0x10B", "٤GiB",
            "99999999999999999999B", "9223372036854775807KiB", "9223372036854775808B", "8388608TiB",
        ])
    func badSizes(text: String) {
        #expect(throws: ValueError.self) { try ByteSize(parsing: text) }
    }
}
