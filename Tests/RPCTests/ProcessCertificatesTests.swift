// Which certificates stand for which hosts.
import RPC
import Testing

@Suite struct ProcessCertificatesTests {
    @Test(arguments: [
        (["node1.lab", "10.0.0.1"], "node1.lab"), (["Node1.LAB"], "node1.lab"), (["node1.lab"], "node1.lab."),
        (["10.0.0.1"], "10.0.0.1"), (["2001:db8::7"], "[2001:DB8:0:0::7]"), (["fe80::1"], "fe80::1%eth0"),
        (["*.lab"], "node1.lab"), (["::ffff:10.0.0.1", "localhost"], "localhost"),
    ]) func covered(_ names: [String], _ host: String) {
        #expect(ProcessCertificates.names(names, cover: host))
    }

    @Test(
        arguments: [
            ([], "node1.lab"), (["node1.lab"], "node2.lab"), (["node1.lab"], "node1"),
            (["node1"], "node1.lab"),
            (["10.0.0.1"], "10.0.0.11"), (["*.lab"], "lab"), (["*.lab"], "a.b.lab"),
            (["*.0.0.1"], "10.0.0.1"), (["*"], "lab"),
            (["10.0.0.1"], ""), (["*.lab"], ".lab"),
        ] as [([String], String)]) func notCovered(_ names: [String], _ host: String)
    {
        #expect(!ProcessCertificates.names(names, cover: host))
    }
}
