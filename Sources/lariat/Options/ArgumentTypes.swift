// Addresses, sizes, cores and levels as values of options.

public import ArgumentParser
public import Cluster
public import ContextExtension
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
extension TokenStore.Role: ExpressibleByArgument {}
extension ExtensionRequest.Method: ExpressibleByArgument {}

/// Core numbers: `0,2,4`.
struct CoreList: ExpressibleByArgument {
    let cores: [Int]

    init?(argument: String) {
        guard let list = NumberList(argument, in: 0...1023, atMost: 1024) else { return nil }
        cores = list.numbers
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
