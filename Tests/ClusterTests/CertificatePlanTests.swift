// Which certificates a specification asks for.
import Cluster
import Testing

@Suite("Certificates of a cluster")
struct CertificatePlanTests {
    static func plan(_ text: String) throws -> [PlannedCertificate] {
        try ClusterSpecification.parse(text, path: "/x/c.yaml", environment: environment, for: .certificates)
            .plannedCertificates
    }

    @Test("Without tls: one for each process, and one for people")
    func oneEach() throws {
        let plan = try Self.plan(
            """
            model: m
            coordinator: { listen: 0.0.0.0:1, advertise: Rope-1.lan:1, web: 10.0.0.1:8443 }
            workers:
              - { name: a, listen: "[2001:db8::3]:1", ring: "[fe80::1%eth0]:2", memory: 1GiB }
              - { name: client, listen: 10.0.0.2:1, ring: 192.168.0.2:2, advertise: b.lan:1, memory: 1GiB }
            """)
        #expect(plan.map(\.name) == ["coordinator", "a", "client", "client"])
        #expect(
            plan.map(\.certificateFile) == ["coordinator.pem", "a.pem", "client.pem", "process-client.pem"])
        #expect(plan.map(\.keyFile) == ["coordinator.key", "a.key", "client.key", "process-client.key"])
        #expect(plan[0].hosts == ["rope-1.lan", "10.0.0.1", "localhost", "127.0.0.1"])
        #expect(plan[1].hosts == ["2001:db8::3", "fe80::1"])
        #expect(plan[2].hosts == ["b.lan", "10.0.0.2", "192.168.0.2"])
        #expect(plan[3].hosts == [] && plan[3].processes == [])
    }

    @Test("Loopback is known by all its names")
    func loopback() throws {
        let plan = try Self.plan(ClusterSpecificationTests.smallest)
        #expect(plan[0].hosts == ["127.0.0.1", "localhost"])
        let six = try Self.plan(
            ClusterSpecificationTests.smallest.replacing("127.0.0.1:7400", with: "\"[::1]:7400\""))
        #expect(six[0].hosts == ["::1", "localhost", "127.0.0.1"])
    }

    @Test("Where files are named, processes that share one share a certificate")
    func files() throws {
        let specification = try ClusterSpecification.load(
            ClusterSpecificationTests.example("three-hosts.yaml"), environment: environment)
        let plan = specification.plannedCertificates
        #expect(specification.certificateAuthorityFile == "ca.pem")
        #expect(ClusterSpecification.keyFile(of: "ca.pem") == "ca.key")
        #expect(plan.map(\.certificateFile) == ["rope-1.pem", "rope-2.pem", "rope-3.pem", "client.pem"])
        #expect(plan.map(\.name) == ["rope-1", "beta", "gamma", "client"])
        #expect(plan[0].processes == ["coordinator", "alpha"])
        #expect(plan[0].hosts == ["rope-1.example.org", "localhost", "127.0.0.1"])
        #expect(plan[2].hosts == ["2001:db8::3"])
    }

    @Test("Files of one name in two folders do not overwrite each other, nor the authority's")
    func sameNames() throws {
        let plan = try Self.plan(
            """
            model: m
            coordinator: { listen: c:1, tls: { certificate: /c/host.pem, key: /c/host.key } }
            workers:
              - { name: a, listen: a:1, ring: a:2, memory: 1GiB, tls: { certificate: /a/host.pem, key: /a/host.key } }
              - { name: b, listen: b:1, ring: b:2, memory: 1GiB, tls: { certificate: ca.pem, key: b.key } }
            tls: { ca: /ca.pem }
            """)
        #expect(plan.map(\.certificateFile) == ["host.pem", "process-a.pem", "process-b.pem", "client.pem"])
        #expect(Set(plan.flatMap { [$0.certificateFile, $0.keyFile] } + ["ca.pem", "ca.key"]).count == 10)
    }
}
