// Every error of a specification, with its exact line and key.
import Cluster
import Foundation
import Testing

@Suite("Errors of a cluster specification")
struct ClusterErrorTests {
    /// A good specification; the tests change single lines of it. Lines 1 to 24.
    static let good = """
        model: m.gguf
        precision: bf16
        isa: auto
        # a comment
        coordinator:
          listen: 127.0.0.1:7400
          data: /tmp/data
        workers:
          - name: alpha
            listen: 127.0.0.1:7411
            ring: 127.0.0.1:7412
            threads: 1
            cores: [0, 1]
            memory: 2GiB
          - name: beta
            listen: 127.0.0.1:7421
            ring: 127.0.0.1:7422
            memory: 2GiB
        tls:
          ca: ca.pem
          certificate: host.pem
          key: host.key
        heartbeat_seconds: 1
        lost_after_seconds: 5
        """

    /// The error of the good specification with one line replaced ("" removes it) or, past the end, added.
    static func error(_ line: Int, _ replacement: String) -> ClusterError? {
        var lines = good.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if line > lines.count {
            lines.append(replacement)
        } else if replacement.isEmpty {
            lines.remove(at: line - 1)
        } else {
            lines[line - 1] = replacement
        }
        return error(in: lines.joined(separator: "\n"))
    }

    static func error(in text: String) -> ClusterError? {
        do throws(ClusterError) {
            _ = try ClusterSpecification.parse(text, path: "dir/local.yaml", environment: environment)
            return nil
        } catch {
            return error
        }
    }

    @Test("The text that the others change is good")
    func base() { #expect(Self.error(in: Self.good) == nil) }

    @Test(
        "One line is wrong; the message says which",
        arguments: [
            // Keys.
            (
                14, "    memory: \"4 Gigs\"",
                "14: workers[0].memory: \"4 Gigs\" is not a size; write e.g. 4GiB"
            ),
            (
                25, "colour: red",
                "25: colour: unknown key; known here: model, precision, isa, coordinator, workers, tls, tokens, insecure, deploy, kv, heartbeat_seconds, lost_after_seconds, stall_seconds"
            ),
            (14, "    memmory: 2GiB", "14: workers[0].memmory: unknown key; did you mean memory?"),
            (7, "  dtaa: /tmp", "7: coordinator.dtaa: unknown key; did you mean data?"),
            (22, "  kye: host.key", "22: tls.kye: unknown key; did you mean key?"),
            (25, "\"a b\": 1", "25: \"a b\": unknown key"),
            (25, "isa: auto", "25: isa: stands here twice; its first place is line 3"),
            (18, "    name: gamma", "18: name: stands here twice; its first place is line 15"),
            (13, "    cores: { a: 1, a: 2 }", "13: a: stands here twice"),
            (1, "", "1: model: is missing; write e.g. model: "),
            (6, "", "6: coordinator.listen: is missing; write e.g. listen: 127.0.0.1:7400"),
            (9, "  - ring: 127.0.0.1:1", "11: ring: stands here twice; its first place is line 9"),
            (11, "", "9: workers[0].ring: is missing"), (14, "", "9: workers[0].memory: is missing"),
            (16, "", "15: workers[1].listen: is missing"), (20, "", "20: tls.ca: is missing"),
            (21, "", "20: tls.certificate: is missing"), (22, "", "20: tls.key: is missing"),
            (25, "? a", "25: explicit keys"), (25, "[a]: 1", "25: a list stands where a key is needed"),
            // Types.
            (1, "model: [a]", "1: model: a list stands here; one value is needed"),
            (1, "model:", "1: model: has no value"), (1, "model: ~", "1: model: has no value"),
            (1, "model: null", "1: model: has no value"), (1, "model: \"\"", "1: model: is empty"),
            (1, "model: \"a\\0b\"", "1: model: \"a\\u{0}b\" has a control character"),
            (13, "    cores: 1", "13: workers[0].cores: \"1\" stands here; a list is needed"),
            (13, "    cores: [0, x]", "13: workers[0].cores[1]: \"x\" is not a whole number"),
            (13, "    cores: [0, [1]]", "13: workers[0].cores[1]: a list is not a whole number"),
            (13, "    cores: [0, 1, 0]", "13: workers[0].cores[2]: 0 stands in the list twice"),
            (
                13, "    cores: [-1, 1]",
                "13: workers[0].cores[0]: -1 is out of range; it must be from 0 to 4095"
            ),
            (25, "  alpha", "24: lost_after_seconds: \"5 alpha\" is not a number"),
            (2, "precision: 16", "2: precision: \"16\" is not one of bf16, f32"),
            (3, "isa: neon", "3: isa: \"neon\" is not one of auto, scalar, avx2, avx512, avx512bf16"),
            // Numbers.
            (12, "    threads: two", "12: workers[0].threads: \"two\" is not a whole number"),
            (12, "    threads: 1.5", "12: workers[0].threads: \"1.5\" is not a whole number"),
            (
                12, "    threads: \"1\"",
                "12: workers[0].threads: \"1\" is in quotes; write the whole number without them"
            ),
            (12, "    threads: 0", "12: workers[0].threads: 0 is out of range; it must be from 1 to 1024"),
            (
                12, "    threads: 99999999999999999999",
                "12: workers[0].threads: \"99999999999999999999\" is not"
            ),
            (12, "    threads: 3", "12: workers[0].threads: 3 threads on 2 cores"),
            (14, "    memory: 17B", "14: workers[0].memory: 17B is too little"),
            (23, "heartbeat_seconds: 1e3", "23: heartbeat_seconds: \"1e3\" is not a number"),
            (23, "heartbeat_seconds: nan", "23: heartbeat_seconds: \"nan\" is not a number"),
            (
                23, "heartbeat_seconds: 0",
                "23: heartbeat_seconds: 0 is out of range; it must be from 0.1 to 60.0"
            ),
            (
                24, "lost_after_seconds: 1.5",
                "24: lost_after_seconds: 1.5 is less than twice heartbeat_seconds (1.0)"
            ),
            (24, "stall_seconds: 0.5", "24: stall_seconds: 0.5 is out of range"),
            // Addresses.
            (6, "  listen: 127.0.0.1", "6: coordinator.listen: \"127.0.0.1\" has no port"),
            (6, "  listen: 127.0.0.1:0", "6: coordinator.listen: port 0"),
            (
                6, "  listen: ::1:7400",
                "6: coordinator.listen: \"::1:7400\": an IPv6 address stands in brackets"
            ),
            (
                6, "  listen: 0.0.0.0:7400",
                "6: coordinator.listen: 0.0.0.0:7400 says nothing about where others reach it; add advertise: HOST:7400"
            ),
            (12, "    advertise: 0.0.0.0:1", "12: workers[0].advertise: 0.0.0.0:1 is no place to connect to"),
            (
                16, "    listen: 127.0.0.1:7412",
                "16: workers[1].listen: 127.0.0.1:7412 is taken by workers[0].ring already"
            ),
            (
                16, "    listen: localhost:7400",
                "16: workers[1].listen: 127.0.0.1:7400 is taken by coordinator.listen already"
            ),
            (
                17, "    ring: 127.0.0.1:7421",
                "17: workers[1].ring: 127.0.0.1:7421 is taken by workers[1].listen already"
            ),
            // Names and paths.
            (15, "  - name: alpha", "15: workers[1].name: \"alpha\" is the name of workers[0] already"),
            (15, "  - name: be ta", "15: workers[1].name: \"be ta\" is not a name"),
            (1, "model: ${NOWHERE}/m", "1: model: \"${NOWHERE}/m\": the variable \"NOWHERE\" is not set"),
            (1, "model: ${HOME", "1: model: \"${HOME\": ${ without its closing }"),
            (1, "model: ~root/m", "1: model: \"~root/m\": only ~ and ~/"),
            // TLS.
            (12, "    tls: { certificate: a.pem }", "12: workers[0].tls.key: is missing"),
            (12, "    tls: { ca: a.pem }", "12: workers[0].tls.ca: unknown key"),
            (12, "    tls: {}", "12: workers[0].tls.certificate: is missing"),
            (12, "    tls: x", "12: workers[0].tls: \"x\" stands here; it needs keys and values"),
            // YAML.
            (13, "    cores: [0, 1", "14: the value of the line before has no comma or bracket after it"),
            (13, "    cores: [0, 1]]", "13: is not valid YAML"),
            (13, "   cores: [0]", "13: is not valid YAML"),
            (13, "\t   cores: [0]", "13: a tab in the indentation"),
            (1, "model: 'm", "1: a quote is not closed on its line"),
            (1, "model: @m", "1: is not valid YAML"), (1, "model: a: b", "1: is not valid YAML"),
            (1, "model: &a m", "1: anchors (&) are not supported"),
            (1, "model: *a", "1: aliases (*) are not supported"),
            (1, "model: !!str m", "1: tags (!) are not supported"),
            (1, "model: |", "1: values over several lines"),
            (4, "--- # x", "4: a line that starts with ---"), (4, "---", "4: is not one YAML document"),
            (1, "%YAML 1.1", "1: directives"), (4, "# \u{1}", "4: the character U+1 may not be used"),
            (4, "# a\u{2028}b", "4: the character U+2028 may not be used"),
            (4, "# a\rb", "4: a carriage return"),
            (25, "x: [[[[[[[[[1]]]]]]]]]", "25: brackets are nested more than 8 deep"),
            (25, String(repeating: " ", count: 50) + "x: 1", "25: indented by 50 columns"),
            (25, String(repeating: "- ", count: 50) + "x", "25: a list item starts in column 41"),
            (25, "# " + String(repeating: "x", count: 5000), "25: the line has 5,002 bytes"),
        ])
    func oneLine(line: Int, replacement: String, expected: String) {
        let error = Self.error(line, replacement)
        #expect(
            error?.description.hasPrefix("dir/local.yaml:\(expected)") == true,
            "\(error?.description ?? "none")")
    }

    @Test(
        "Whole texts that are wrong",
        arguments: [
            ("", "1: the file is empty"), ("# only a comment\n", "1: the file is empty"),
            ("- a\n- b\n", "1: a list stands here"),
            ("just text\n", "1: \"just text\" stands here"), ("model: m\n", "1: coordinator: is missing"),
            ("model: m\ncoordinator: { listen: a:1 }\n", "1: workers: is missing"),
            (
                "model: m\ncoordinator: { listen: a:1 }\nworkers: []\n",
                "3: workers: there are 0 workers; 1 to 256 are needed"
            ),
            ("model: m\ncoordinator: { listen: a:1 }\nworkers: [a]\n", "3: workers[0]: \"a\" stands here"),
            (
                "model: m\ncoordinator:\n  listen: a:1\n  tls: { certificate: a, key: b }\nworkers: []\n",
                "4: coordinator.tls: needs tls at the top"
            ),
            (
                "model: m\ntls:\n  ca: c\ncoordinator: { listen: a:1 }\nworkers: []\n",
                "3: tls: the coordinator has no certificate"
            ),
        ])
    func whole(text: String, expected: String) {
        let error = Self.error(in: text)
        #expect(
            error?.description.hasPrefix("dir/local.yaml:\(expected)") == true,
            "\(error?.description ?? "none")")
    }

    @Test("Two workers on wildcard addresses clash only when they advertise one host")
    func wildcards() {
        func text(_ first: String, _ second: String) -> String {
            """
            model: m
            insecure: true
            coordinator: { listen: c:1 }
            workers:
              - { name: a, listen: 0.0.0.0:7, ring: 0.0.0.0:8, advertise: \(first), memory: 1GiB }
              - { name: b, listen: 0.0.0.0:7, ring: 0.0.0.0:8, advertise: \(second), memory: 1GiB }
            """
        }
        #expect(Self.error(in: text("one:7", "two:7")) == nil)
        let error = Self.error(in: text("one:7", "ONE:7"))
        #expect(
            error?.description
                == "dir/local.yaml:6: workers[1].listen: one:7 is taken by workers[0].listen already; choose another port"
        )
    }

    static let hostileTexts = [
        String(repeating: "[", count: 1_000_000), String(repeating: "- ", count: 500_000),
        String(repeating: "[,#]\n", count: 200_000), String(repeating: "[?\"]\",\n", count: 100_000),
        String(repeating: "{a: ", count: 200_000), String(repeating: "a:\n ", count: 200_000),
        String(repeating: "[a\n:\",[[[[[[\"]\n", count: 60_000),
        "--- " + String(repeating: "[", count: 4000),
        String(repeating: "? ", count: 500_000), String(repeating: "\"", count: 1_000_000),
        (0..<400).map { String(repeating: " ", count: $0) + "a:\n" }.joined(),
        "a: &a [x, x]\n" + (0..<30).map { "b\($0): &b\($0) [*a, *a]\n" }.joined(),
        "a: b\n  [x\nc: [{? \"]\", [*z, &y [&x [*q]]]\n",
        String(repeating: "a: b\n", count: 100_000), String(repeating: "x", count: 2_000_000),
    ]

    @Test("Hostile texts end in an error, soon", arguments: hostileTexts.indices)
    func hostile(index: Int) {
        #expect(Self.error(in: Self.hostileTexts[index]) != nil)
    }

    @Test("Damaging any byte of a good text never crashes, and an error has a line of the text")
    func damage() {
        let good = Array(Self.good.utf8)
        let lines = Self.good.split(separator: "\n", omittingEmptySubsequences: false).count
        var errors = 0
        for at in good.indices {
            for byte in "[]{}\"'#&*!|>%@`:-?, \n\t\r~0a".utf8 {
                var bytes = good
                bytes[at] = byte
                if let error = Self.error(in: String(decoding: bytes, as: UTF8.self)) {
                    errors += 1
                    if let line = error.line { #expect((1...lines + 2).contains(line)) }
                }
            }
        }
        #expect(errors > 1000)
    }
}
