// The web and metrics ports, what may listen beyond loopback, and remarks.
import Cluster
import Testing

@Suite("Listeners, TLS beyond loopback, remarks")
struct ListenerTests {
    /// Lines 1 to 16.
    static let hosts = """
        model: m.gguf
        isa: avx2
        coordinator:
          listen: 10.0.0.1:7400
          web: 127.0.0.1:8080
          metrics: 0.0.0.0:9400
        workers:
          - name: alpha
            listen: 10.0.0.1:7411
            ring: 10.0.0.1:7412
            threads: 2
            metrics: 0.0.0.0:9411
            memory: 2GiB
        tls: { ca: ca.pem, certificate: a.pem, key: a.key }
        tokens: tokens
        insecure: false
        """

    static func changed(_ changes: [Int: String]) -> String {
        hosts.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
            .compactMap { index, line in
                changes[index + 1].map { $0.isEmpty ? "# removed" : $0 } ?? String(line)
            }.joined(separator: "\n")
    }

    static func remarks(_ text: String) throws -> [String] {
        try ClusterSpecification.parse(text, path: "x.yaml", environment: environment).remarks.map(
            \.description)
    }

    @Test("The new keys are read")
    func keys() throws {
        let specification = try ClusterSpecification.parse(
            Self.changed([
                5: "  web: \"[::]:8443\"\n  host: lariat@gate-1",
                16: "deploy: { binary: /opt/lariat, directory: ~/run it, ssh: [-p, \"2222\"] }",
            ]), path: "/etc/x/c.yaml", environment: environment)
        #expect(specification.coordinator.web == HostPort(host: "::", port: 8443))
        #expect(specification.coordinator.metrics == HostPort(host: "0.0.0.0", port: 9400))
        #expect(specification.workers[0].metrics?.port == 9411)
        #expect(specification.tokens == "/etc/x/tokens" && !specification.isInsecure)
        #expect(specification.coordinator.login.description == "lariat@gate-1")
        #expect(specification.workers[0].login.description == "10.0.0.1")
        #expect(specification.deploy.binary == "/opt/lariat" && specification.deploy.directory == "~/run it")
        #expect(specification.deploy.ssh == ["-p", "2222"] && specification.deploy.manager == .shell)
        #expect(specification.folder == "/etc/x")
    }

    @Test("Without the new keys, everything is off")
    func defaults() throws {
        let specification = try ClusterSpecificationTests.parse(ClusterSpecificationTests.smallest)
        #expect(specification.coordinator.web == nil && specification.coordinator.metrics == nil)
        #expect(specification.workers[0].metrics == nil && specification.tokens == nil)
        #expect(!specification.isInsecure && specification.remarks.isEmpty)
        #expect(specification.deploy.binary == "/usr/bin/lariat" && specification.deploy.ssh.isEmpty)
        #expect(specification.deploy.directory == "~/.lariat")
        let systemd = try ClusterSpecificationTests.parse(
            ClusterSpecificationTests.smallest + "deploy: { manager: systemd }\n")
        #expect(systemd.deploy.directory == "/etc/lariat" && systemd.deploy.manager == .systemd)
    }

    @Test(
        "What is wrong is named",
        arguments: [
            ([5: "  web: 10.0.0.1:7400"], "5: coordinator.web: 10.0.0.1:7400 is taken by coordinator.listen"),
            (
                [6: "  metrics: 127.0.0.1:8080"],
                "6: coordinator.metrics: 127.0.0.1:8080 is taken by coordinator.web"
            ),
            (
                [12: "    metrics: 0.0.0.0:7411"],
                "12: workers[0].metrics: 10.0.0.1:7411 is taken by workers[0].listen"
            ),
            ([5: "  web: 8080"], "5: coordinator.web: \"8080\" has no port"),
            ([6: "  metrics: 127.0.0.1:0"], "6: coordinator.metrics: port 0"),
            ([5: "  host: a b"], "5: coordinator.host: \"a b\" is no place to log in to"),
            ([5: "  host: -oProxyCommand=x"], "5: coordinator.host: \"-oProxyCommand=x\" is no place"),
            ([5: "  host: a@-b"], "5: coordinator.host: \"a@-b\" is no place"),
            ([5: "  host: a:22"], "5: coordinator.host: \"a:22\": a port stands in"),
            ([16: "insecure: yes"], "16: insecure: \"yes\" is neither true nor false"),
            ([16: "insecure: \"true\""], "16: insecure: \"true\" is neither true nor false"),
            ([16: "deploy: { binary: lariat }"], "16: deploy.binary: \"lariat\" is not an absolute path"),
            (
                [16: "deploy: { directory: lariat }"],
                "16: deploy.directory: \"lariat\" is not an absolute path"
            ),
            ([16: "deploy: { ssh: [[a]] }"], "16: deploy.ssh[0]: a list stands here; a text is needed"),
            ([16: "deploy: { shh: [a] }"], "16: deploy.shh: unknown key; did you mean ssh?"),
            (
                [16: "deploy: { manager: systemd, binary: /opt/lariat }"],
                "16: deploy.binary: the systemd units use /usr/bin/lariat"
            ),
            (
                [16: "deploy: { manager: docker }"],
                "16: deploy.manager: \"docker\" is not one of shell, systemd"
            ),
            // Exposure.
            (
                [14: ""],
                "4: coordinator.listen: 10.0.0.1:7400 can be reached from other hosts, without tls: encrypt with "
                    + "certificates of your own (`lariat cluster certs` makes them), or, inside a network you trust, "
                    + "write insecure: true at the top"
            ),
            ([14: "", 4: "  listen: 127.0.0.1:7400"], "9: workers[0].listen: 10.0.0.1:7411 can be reached"),
            (
                [14: "", 4: "  listen: \"[::1]:7400\"", 9: "    listen: localhost:1"],
                "10: workers[0].ring: 10.0.0.1"
            ),
            (
                [14: "", 4: "  listen: \"[::]:7400\"\n  advertise: localhost:7400"],
                "4: coordinator.listen: [::]:7400 can"
            ),
            (
                [15: "", 5: "  web: 0.0.0.0:8080"],
                "5: coordinator.web: 0.0.0.0:8080 can be reached from other hosts and"
            ),
            (
                [
                    14: "", 4: "  listen: 127.9.9.9:7400", 5: "  web: lan:80", 9: "    listen: LocalHost:1",
                    10: "    ring: \"[0:0::0:1]:1\"",
                ],
                "5: coordinator.web: lan:80 can be reached from other hosts, without tls"
            ),
        ] as [([Int: String], String)])
    func errors(changes: [Int: String], expected: String) {
        let error = ClusterErrorTests.error(in: Self.changed(changes))
        #expect(
            error?.description.hasPrefix("dir/local.yaml:\(expected)") == true,
            "\(error?.description ?? "none")")
    }

    @Test(
        "What is no exposure, or was asked for",
        arguments: [
            [:], [14: "", 16: "insecure: true"], [15: "", 5: "  web: 0.0.0.0:8080", 16: "insecure: true"],
            [15: ""], [5: "  web: 0.0.0.0:8080"],
            [
                14: "", 4: "  listen: 127.0.0.1:7400", 9: "    listen: 127.1.2.3:1",
                10: "    ring: \"[::1]:1\"",
            ],
        ] as [[Int: String]])
    func allowed(changes: [Int: String]) {
        #expect(ClusterErrorTests.error(in: Self.changed(changes)) == nil)
    }

    @Test("Making certificates needs none yet")
    func certificatesFirst() throws {
        let text = Self.changed([14: ""])
        let specification = try ClusterSpecification.parse(
            text, path: "x.yaml", environment: environment, for: .certificates)
        #expect(specification.coordinator.tls == nil)
    }

    @Test("Remarks name the line")
    func remarks() throws {
        #expect(try Self.remarks(Self.hosts) == [])
        let second = """
              - name: beta
                listen: 10.0.0.2:7411
                ring: 10.0.0.2:7412
                memory: 9GiB
            """
        func with(_ changes: [Int: String]) throws -> [String] { try Self.remarks(Self.changed(changes)) }
        let mixed = try with([2: "isa: auto", 13: "    memory: 2GiB\n" + second])
        #expect(mixed.count == 3)
        #expect(mixed[0].hasPrefix("x.yaml:2: isa: auto lets each processor use its best kernels"))
        #expect(
            mixed[1].hasPrefix(
                "x.yaml:13: workers[0].memory: 2GiB is less than a quarter of what worker beta has (9GiB)"))
        #expect(mixed[2].hasPrefix("x.yaml:18: tls.key: all 2 hosts share one private key"))
        let neighbours = second.replacing("10.0.0.2:74", with: "10.0.0.1:75").replacing("9GiB", with: "2GiB")
        let crowded = try with([13: "    memory: 2GiB\n" + neighbours])
        #expect(
            crowded.count == 1
                && crowded[0].hasPrefix("x.yaml:14: workers[1]: beta takes every core of its host"))
        let pinned = try with([
            11: "    cores: [0, 1]", 13: "    memory: 2GiB\n" + neighbours + "\n    cores: [2, 1]",
        ])
        #expect(
            pinned.count == 1
                && pinned[0].hasPrefix("x.yaml:18: workers[1].cores: core 1 is also one of alpha's"))
        let tunnel = try with([4: "  listen: 127.0.0.1:7400"])
        #expect(
            tunnel.first?.hasPrefix(
                "x.yaml:4: coordinator.listen: 127.0.0.1:7400 reaches nothing from the other") == true)
        #expect(
            try with([16: "insecure: true"]).first?.hasPrefix("x.yaml:16: insecure: nothing here needs it")
                == true)
        #expect(
            try with([14: "", 16: "insecure: true"]).first?.hasPrefix(
                "x.yaml:16: insecure: prompts and answers cross")
                == true)
        let impatient = try with([16: "heartbeat_seconds: 2\nlost_after_seconds: 5\nstall_seconds: 4"])
        #expect(
            impatient.count == 2 && impatient[0].hasPrefix("x.yaml:17: lost_after_seconds: two late reports"))
        #expect(impatient[1].hasPrefix("x.yaml:18: stall_seconds: is less than lost_after_seconds"))
    }

    @Test(
        "Every example parses, and nothing in it is to be remarked",
        arguments: [
            "Cluster/local.yaml", "Cluster/three-hosts.yaml", "Cluster/mixed-hosts.yaml",
            "Cluster/kubernetes.yaml", "Ops/debian/cluster.yaml",
        ])
    func examples(name: String) throws {
        let specification = try ClusterSpecification.load(
            ClusterSpecificationTests.repository(name), environment: environment)
        #expect(specification.remarks.map(\.description) == [])
        #expect(!specification.plannedCertificates.isEmpty)
        #expect(Deployment(specification).processes.count == specification.workers.count + 1)
    }
}
