// A serialised descriptor set, indexed for reflection: which file declares which symbol.
internal import Protobuf

/// Files of a serialised google.protobuf.FileDescriptorSet by name and by declared symbol. Only the few fields that
/// hold names are looked at (descriptor.proto numbers them).
package struct DescriptorIndex: Sendable {
    /// One serialised FileDescriptorProto.
    struct File: Sendable {
        var name = ""
        var imports: [String] = []
        var symbols: [String] = []
        var services: [String] = []
        var bytes: [UInt8]
    }

    private var files: [String: File]
    private var fileOfSymbol: [String: String]

    package init(set: [UInt8]) {
        var files: [String: File] = [:]
        var fileOfSymbol: [String: String] = [:]
        Self.each(set) { number, bytes in
            guard number == 1 else { return }
            let file = Self.file(bytes)
            files[file.name] = file
            for symbol in file.symbols { fileOfSymbol[symbol] = file.name }
        }
        self.files = files
        self.fileOfSymbol = fileOfSymbol
    }

    /// Both sets' files; of two with the same name the other's counts.
    package func adding(_ other: DescriptorIndex) -> DescriptorIndex {
        var sum = self
        sum.files.merge(other.files) { _, other in other }
        sum.fileOfSymbol.merge(other.fileOfSymbol) { _, other in other }
        return sum
    }

    /// A file and all it imports, directly or not; nil if unknown.
    package func files(named name: String) -> [[UInt8]]? {
        guard files[name] != nil else { return nil }
        var order = [name]
        var next = 0
        while next < order.count {
            for name in files[order[next]]?.imports ?? [] where !order.contains(name) { order.append(name) }
            next += 1
        }
        return order.compactMap { files[$0]?.bytes }
    }

    /// The file that declares a service, message, enumeration or method.
    package func files(declaring symbol: String) -> [[UInt8]]? {
        fileOfSymbol[symbol].flatMap { files(named: $0) }
    }

    private static func file(_ bytes: [UInt8]) -> File {
        var file = File(bytes: bytes)
        var package = ""
        each(bytes) { number, value in
            switch number {
            case 1: file.name = text(value)
            case 2: package = text(value)
            case 3: file.imports.append(text(value))
            default: break
            }
        }
        let prefix = package.isEmpty ? "" : package + "."
        each(bytes) { number, value in
            switch number {
            case 4: message(value, prefix, &file)
            case 5: file.symbols.append(prefix + name(value))
            case 6:
                let service = prefix + name(value)
                file.services.append(service)
                file.symbols.append(service)
                each(value) { if $0 == 2 { file.symbols.append(service + "." + name($1)) } }
            default: break
            }
        }
        return file
    }

    /// A message, the messages and enumerations inside it, and its fields.
    private static func message(_ bytes: [UInt8], _ prefix: String, _ file: inout File, depth: Int = 0) {
        let full = prefix + name(bytes)
        file.symbols.append(full)
        guard depth < 32 else { return }
        each(bytes) { number, value in
            switch number {
            case 2: file.symbols.append(full + "." + name(value))
            case 3: message(value, full + ".", &file, depth: depth + 1)
            case 4: file.symbols.append(full + "." + name(value))
            default: break
            }
        }
    }

    /// Field 1 of every descriptor is its name.
    private static func name(_ bytes: [UInt8]) -> String {
        var found = ""
        each(bytes) { if $0 == 1 { found = text($1) } }
        return found
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    private static func each(_ bytes: [UInt8], _ body: (UInt32, [UInt8]) -> Void) {
        var scanner = WireScanner()
        while let field = scanner.next(in: bytes.span) {
            if field.wireType == 2 { body(field.number, Array(bytes[field.value])) }
        }
    }
}
