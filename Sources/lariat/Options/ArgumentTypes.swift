// Addresses, sizes, cores and levels as values of options.

public import ArgumentParser
public import Cluster
public import Kernels
internal import RPC

extension HostPort: ExpressibleByArgument {
    public init?(argument: String) {
        do throws(ValueError) { try self.init(parsing: argument) } catch { return nil }
    }
}

extension ByteSize: ExpressibleByArgument {
    public init?(argument: String) {
        do throws(ValueError) { try self.init(parsing: argument) } catch { return nil }
    }
}

extension ISA: ExpressibleByArgument {}
extension Precision: ExpressibleByArgument {}

/// Core numbers: `0,2,4`.
struct CoreList: ExpressibleByArgument {
    let cores: [Int]

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        let cores = parts.compactMap { Int($0) }
        guard cores.count == parts.count, cores.count <= 1024, cores.allSatisfy({ (0..<1024).contains($0) }),
            Set(cores).count == cores.count
        else { return nil }
        self.cores = cores
    }
}

extension TLSFiles {
    init(_ files: ClusterSpecification.TLSFiles) {
        self.init(ca: files.ca, certificate: files.certificate, key: files.key)
    }
}

/// A setting that stands neither in an option nor in a specification.
func missing<Value>(_ option: String) throws -> Value {
    throw Failure("give \(option), or a cluster specification by --spec", exitCode: ExitStatus.usage)
}
