// Edited copies: byte for byte what another writer makes of the same contents, whole or not there at all.
import Foundation
import GGUF
import Numerals
import TestSupport
import Testing

@Suite struct CopyTests {
    @Test(arguments: [(UInt32(2), 32), (3, 32), (3, 8), (3, 4096)])
    func withoutChanges(version: UInt32, alignment: Int) throws {
        let folder = try Folder()
        var writer = GGUFWriter.sample
        if alignment != 32 { writer.align(to: alignment) }
        writer.version = version
        let source = try folder.file(writer.file)
        try source.writeCopy(to: folder.path("copy"), edit: GGUFEdit())
        writer.version = 3
        #expect(try folder.bytes("copy") == writer.padded)
        let copy = try GGUFFile(path: folder.path("copy"))
        #expect(copy.metadata == source.metadata)
        #expect(Set(copy.tensors.keys) == Set(source.tensors.keys))
        #expect(try folder.names == ["copy", "source"])
    }

    /// llama.cpp refuses a file whose tensors do not follow one another in the order of the table.
    @Test func tensorsInTheOrderOfTheTable() throws {
        let folder = try Folder()
        var writer = GGUFWriter.sample
        var scattered = writer
        for (index, offset) in [544, 256, 320, 0].enumerated() {
            scattered.tensors[index].offset = UInt64(offset)
        }
        var data = [UInt8](repeating: 0xEE, count: 1000)
        for tensor in scattered.tensors {
            let start = Int(try #require(tensor.offset))
            data.replaceSubrange(start..<start + tensor.data.count, with: tensor.data)
        }
        // The writer's data follow the header, whose size the offsets do not change.
        let headerCount = writer.headerCount
        try folder.file(scattered.file[..<headerCount] + data)
            .writeCopy(to: folder.path("copy"), edit: GGUFEdit())
        #expect(try folder.bytes("copy") == writer.padded)

        // A smaller table of two tensors, of which neither is the first in the file.
        writer.tensors.removeSubrange(2...)
        var edit = GGUFEdit()
        edit.removeTensor("last")
        edit.removeTensor("quantised")
        try GGUFFile(path: folder.path("source")).writeCopy(to: folder.path("two"), edit: edit)
        #expect(try folder.bytes("two") == writer.padded)
    }

    @Test func valuesOfEveryType() throws {
        let folder = try Folder()
        var writer = GGUFWriter.sample
        let values: [(GGUFEdit.Value, GGUFWriter.Value)] = [
            (.uint32(.max), .uint32(.max)), (.int32(.min), .int32(.min)), (.uint64(.max), .uint64(.max)),
            (.int64(.min), .int64(.min)), (.float32(0.1), .float32(0.1)), (.float64(0.1), .float64(0.1)),
            (.bool(true), .bool(1)), (.bool(false), .bool(0)), (.string("längrope"), .text("längrope")),
            (.string(""), .text("")),
            (.uint32s([1, .max]), .array([.uint32(1), .uint32(.max)], type: 4)),
            (.int32s([-1]), .array([.int32(-1)], type: 5)),
            (.uint64s([7, .max >> 1]), .array([.uint64(7), .uint64(.max >> 1)], type: 10)),
            (.int64s([.min]), .array([.int64(.min)], type: 11)),
            (.float32s([0.5, -.infinity]), .array([.float32(0.5), .float32(-.infinity)], type: 6)),
            (.float64s([0.1]), .array([.float64(0.1)], type: 12)),
            (.bools([true, false]), .array([.bool(1), .bool(0)], type: 7)),
            (.strings(["a", "", "ß"]), .array([.text("a"), .text(""), .text("ß")], type: 8)),
            (.strings([]), .array([], type: 8)),
        ]
        var edit = GGUFEdit()
        for (index, (value, written)) in values.enumerated() {
            edit.set("new.\(index)", value)
            writer.metadata.append(("new.\(index)", written))
        }
        // In place of values of every type, too.
        for (index, (value, written)) in values.enumerated()
        where index + 1 < GGUFWriter.sample.metadata.count {
            edit.set(writer.metadata[index + 1].0, value)
            writer.metadata[index + 1].1 = written
        }
        try folder.file(GGUFWriter.sample.file).writeCopy(to: folder.path("copy"), edit: edit)
        #expect(try folder.bytes("copy") == writer.padded)
        let copy = try GGUFFile(path: folder.path("copy"))
        #expect(copy.metadata["new.4"] == .float(Double(Float(0.1))))
        #expect(copy.metadata["new.5"] == .float(0.1))
        #expect(try copy.string("new.8") == "längrope")
        #expect(copy.metadata["new.15"] == .doubles([0.1]))
    }

    @Test func changesOfEveryKind() throws {
        let folder = try Folder()
        var edit = GGUFEdit()
        edit.set("z.new", .uint32(1))
        edit.remove("a.strings")
        edit.set("a.uint32", .uint32(131_072))
        edit.remove("a.true")
        edit.set("a.true", .bool(false))
        edit.set("a.false", .bool(true))
        edit.remove("a.false")
        edit.set("y.gone", .bool(true))
        edit.remove("y.gone")
        edit.remove("not.there")
        edit.set("y.newer", .string("x"))
        edit.set("z.new", .uint32(2))
        edit.setTensor("added", dimensions: [2, 1, 3], [1, 2, 3, 4, 5, 6])
        edit.setTensor("half", dimensions: [3], [0.5, .nan, -0.0])
        edit.removeTensor("plain")
        edit.removeTensor("not there")
        edit.setTensor("longest." + String(repeating: "x", count: 55), dimensions: [1], [7])

        var writer = GGUFWriter.sample
        writer.metadata.removeAll { ["a.strings", "a.false"].contains($0.0) }
        for index in writer.metadata.indices {
            if writer.metadata[index].0 == "a.uint32" { writer.metadata[index].1 = .uint32(131_072) }
            if writer.metadata[index].0 == "a.true" { writer.metadata[index].1 = .bool(0) }
        }
        writer.metadata += [("z.new", .uint32(2)), ("y.newer", .text("x"))]
        writer.tensors[1] = .floats("half", [3], [0.5, .nan, -0.0])
        writer.tensors.removeFirst()
        writer.tensors += [
            .floats("added", [2, 1, 3], [1, 2, 3, 4, 5, 6]),
            .floats("longest." + String(repeating: "x", count: 55), [1], [7]),
        ]
        for alignment in [32, 256] {
            var source = GGUFWriter.sample
            if alignment != 32 {
                // In the same place in both: before the keys that the edit adds.
                source.align(to: alignment)
                writer.metadata.insert(("general.alignment", .uint32(256)), at: writer.metadata.count - 2)
                writer.alignment = alignment
            }
            try folder.file(source.file)
                .writeCopy(to: folder.path("copy"), edit: edit, overwrite: alignment != 32)
            #expect(try folder.bytes("copy") == writer.padded)
        }
        let copy = try GGUFFile(path: folder.path("copy"))
        #expect(try copy.tensor("added").dimensions == [2, 1, 3])
        #expect(copy.tensors["plain"] == nil)
    }

    /// More than the writer gives to the system at once.
    @Test func largeTensor() throws {
        let folder = try Folder()
        var writer = GGUFWriter()
        let words: [UInt32] = (0..<(9 << 20) / 4 + 3).map { $0 &* 2_654_435_761 }
        writer.tensors = [
            .init(
                name: "x", dimensions: [UInt64(words.count)], type: 0,
                data: words.withUnsafeBytes { Array($0) })
        ]
        var edit = GGUFEdit()
        edit.setTensor("y", dimensions: [1], [1])
        try folder.file(writer.file).writeCopy(to: folder.path("copy"), edit: edit)
        writer.tensors.append(.floats("y", [1], [1]))
        #expect(try folder.bytes("copy") == writer.padded)
    }

    @Test func tinyPhi3WithOtherFactors() throws {
        let folder = try Folder()
        let source = try GGUFFile(path: Golden.path("tiny-phi3-longrope.gguf"))
        let factors = (0..<16).map { 1 + Float($0) / 3 }
        var edit = GGUFEdit()
        edit.setTensor("rope_factors_long.weight", dimensions: [16], factors)
        edit.set("phi3.context_length", .uint32(4096))
        edit.set("phi3.rope.scaling.attn_factor", .float32(1.25))
        edit.set("phi3.rope.scaling.type", .string("longrope"))
        try source.writeCopy(to: folder.path("copy"), edit: edit)
        let copy = try GGUFFile(path: folder.path("copy"))
        #expect(Set(copy.tensors.keys) == Set(source.tensors.keys))
        for (name, tensor) in copy.tensors {
            let old = try source.tensor(name)
            #expect(tensor.dimensions == old.dimensions)
            #expect(tensor.type == old.type)
            let isSame = tensor.withUnsafeBytes { new in old.withUnsafeBytes { new.elementsEqual($0) } }
            #expect(isSame == (name != "rope_factors_long.weight"), "\(name)")
        }
        let written = try copy.tensor("rope_factors_long.weight")
            .withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        #expect(written == factors)
        var metadata = source.metadata
        metadata["phi3.context_length"] = .uint(4096)
        metadata["phi3.rope.scaling.attn_factor"] = .float(1.25)
        metadata["phi3.rope.scaling.type"] = .string(Array("longrope".utf8))
        #expect(copy.metadata == metadata)
        #expect(copy.fingerprint() != source.fingerprint())

        // Back again: the file as it was, byte for byte.
        var back = GGUFEdit()
        for key in ["phi3.context_length", "phi3.rope.scaling.attn_factor"] {
            switch source.metadata[key] {
            case .uint(let value)?: back.set(key, .uint32(UInt32(value)))
            case .float(let value)?: back.set(key, .float32(Float(value)))
            default: back.remove(key)
            }
        }
        if source.metadata["phi3.rope.scaling.type"] == nil { back.remove("phi3.rope.scaling.type") }
        let old = try source.tensor("rope_factors_long.weight")
            .withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        back.setTensor("rope_factors_long.weight", dimensions: [16], old)
        try copy.writeCopy(to: folder.path("back"), edit: back)
        #expect(try folder.bytes("back") == [UInt8](Golden.data("tiny-phi3-longrope.gguf")))
    }
}

// MARK: What is refused

@Suite struct RefusedCopyTests {
    @Test func edits() throws {
        let folder = try Folder()
        let source = try folder.file(GGUFWriter.sample.file)
        func check(_ kind: GGUFError.Kind, _ part: String, _ change: (inout GGUFEdit) -> Void) throws {
            var edit = GGUFEdit()
            change(&edit)
            let error = #expect(throws: GGUFError.self) {
                try source.writeCopy(to: folder.path("copy"), edit: edit)
            }
            #expect(error?.kind == kind, "\(part)")
            #expect(error?.path == folder.path("copy"))
            #expect(error?.problem.contains(part) == true, "\(String(describing: error))")
            #expect(try folder.names == ["source"])
        }
        try check(.invalidEdit, "'general.alignment'") { $0.set("general.alignment", .uint32(64)) }
        try check(.invalidEdit, "'general.alignment'") { $0.remove("general.alignment") }
        try check(.invalidEdit, "has 0 bytes; 1 to 65,535 are possible") { $0.set("", .bool(true)) }
        try check(.invalidEdit, "has 65,536 bytes; 1 to 65,535") {
            $0.set(String(repeating: "k", count: 65_536), .bool(true))
        }
        try check(.invalidEdit, "has 0 bytes; 1 to 63") { $0.setTensor("", dimensions: [1], [1]) }
        try check(.invalidEdit, "has 64 bytes; 1 to 63") {
            $0.setTensor(String(repeating: "ß", count: 32), dimensions: [1], [1])
        }
        try check(.invalidEdit, "'t' has 0 dimensions; 1 to 4") { $0.setTensor("t", dimensions: [], [1]) }
        try check(.invalidEdit, "'t' has 5 dimensions; 1 to 4") {
            $0.setTensor("t", dimensions: [1, 1, 1, 1, 1], [1])
        }
        try check(.invalidEdit, "[0]; each must be 1") { $0.setTensor("t", dimensions: [0], []) }
        try check(.invalidEdit, "[-1, -1]; each must be 1") { $0.setTensor("t", dimensions: [-1, -1], [1]) }
        try check(.invalidEdit, "[2, 3], but 5 values") {
            $0.setTensor("t", dimensions: [2, 3], [1, 2, 3, 4, 5])
        }
        try check(.invalidEdit, "but 1 values") { $0.setTensor("t", dimensions: [1 << 32, 1 << 32], [1]) }
        // The reader's own limits.
        try check(.tooLarge, "'s'") { $0.set("s", .string(String(repeating: "x", count: 17 << 20))) }
        try check(.tooLarge, "'u'") { $0.set("u", .uint64s([.max])) }
        try check(.unsupported, "split model") { $0.set("split.count", .uint32(2)) }
        try check(.tooLarge, "65,537") { for index in 0..<65_517 { $0.set("k\(index)", .bool(true)) } }
    }

    @Test func existingFile() throws {
        let folder = try Folder()
        let source = try folder.file(GGUFWriter.sample.file)
        let old = Array("something else".utf8)
        try folder.write(old, to: "copy")
        try folder.check(.unwritable, "exists already and is kept") {
            try source.writeCopy(to: folder.path("copy"), edit: GGUFEdit())
        }
        #expect(try folder.bytes("copy") == old)
        try FileManager.default.createSymbolicLink(
            atPath: folder.path("link"), withDestinationPath: folder.path("copy"))
        try FileManager.default.createSymbolicLink(
            atPath: folder.path("loose"), withDestinationPath: folder.path("nowhere"))
        for name in ["link", "loose"] {
            try folder.check(.unwritable, "exists already and is kept") {
                try source.writeCopy(to: folder.path(name), edit: GGUFEdit())
            }
        }
        try source.writeCopy(to: folder.path("link"), edit: GGUFEdit(), overwrite: true)
        #expect(try folder.bytes("copy") == GGUFWriter.sample.padded)
        #expect(
            try FileManager.default.destinationOfSymbolicLink(atPath: folder.path("link"))
                == folder.path("copy"))
        try folder.write(old, to: "copy")
        try source.writeCopy(to: folder.path("copy"), edit: GGUFEdit(), overwrite: true)
        #expect(try folder.bytes("copy") == GGUFWriter.sample.padded)
        #expect(try folder.names == ["copy", "link", "loose", "source"])
    }

    /// Header and tensors follow one another through a pipe, which stays one.
    @Test func pipes() throws {
        let folder = try Folder()
        let source = try folder.file(GGUFWriter.sample.file)
        #expect(mkfifo(folder.path("pipe"), 0o600) == 0)
        let reader = open(folder.path("pipe"), O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        try source.writeCopy(to: folder.path("pipe"), edit: GGUFEdit(), overwrite: true)
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(reader, &bytes, bytes.count)
        #expect(Array(bytes[..<max(0, count)]) == GGUFWriter.sample.padded)
        #expect(try folder.names == ["pipe", "source"])
    }

    @Test func sourceItself() throws {
        let folder = try Folder()
        let source = try folder.file(GGUFWriter.sample.file)
        try FileManager.default.createSymbolicLink(
            atPath: folder.path("link"), withDestinationPath: folder.path("source"))
        try FileManager.default.linkItem(atPath: folder.path("source"), toPath: folder.path("hard"))
        for name in ["source", "./source", "link", "hard"] {
            for overwrite in [false, true] {
                try folder.check(.unwritable, "is the file that is copied") {
                    try source.writeCopy(to: folder.path(name), edit: GGUFEdit(), overwrite: overwrite)
                }
            }
        }
        // The file that has come to the source's name since it was opened.
        try FileManager.default.removeItem(atPath: folder.path("source"))
        try folder.write([1], to: "source")
        try folder.check(.unwritable, "is the file that is copied") {
            try source.writeCopy(to: folder.path("source"), edit: GGUFEdit(), overwrite: true)
        }
        #expect(try folder.bytes("hard") == GGUFWriter.sample.file)
    }

    @Test func placesThatCannotBe() throws {
        let folder = try Folder()
        let source = try folder.file(GGUFWriter.sample.file)
        for (path, part) in [
            (folder.path("no/copy"), "The folder '\(folder.path("no"))' does not exist"),
            (folder.path("source/copy"), "Not a directory"),
            (folder.path("source/"), "is not the name of a file"), ("", "is not the name of a file"),
            (folder.path("."), "Is a directory"), ("/dev/full", "No space left on device"),
            (folder.path(String(repeating: "x", count: 256)), "File name too long"),
        ] {
            let error = try folder.check(.unwritable, part) {
                try source.writeCopy(to: path, edit: GGUFEdit(), overwrite: true)
            }
            #expect(error?.path == path)
        }
    }

    @Test func namesOfEveryLength() throws {
        let folder = try Folder()
        let source = try folder.file(GGUFWriter.sample.file)
        for name in [String(repeating: "x", count: 255), String(repeating: "ß", count: 127), "ü"] {
            try source.writeCopy(to: folder.path(name), edit: GGUFEdit())
            #expect(try folder.bytes(name) == GGUFWriter.sample.padded)
        }
        #expect(try folder.names.count == 4)
        // In the working folder.
        let name = "lariat-\(UUID().uuidString).gguf"
        defer { try? FileManager.default.removeItem(atPath: name) }
        try source.writeCopy(to: name, edit: GGUFEdit())
        #expect(try GGUFFile(path: name).byteCount == GGUFWriter.sample.padded.count)
    }

    /// The system says so where the process itself would end with SIGBUS.
    @Test func sourceCutShort() throws {
        let folder = try Folder()
        var writer = GGUFWriter()
        writer.tensors = [
            .init(name: "x", dimensions: [1 << 18], type: 0, data: [UInt8](repeating: 1, count: 1 << 20))
        ]
        let source = try folder.file(writer.file)
        let handle = try #require(FileHandle(forWritingAtPath: folder.path("source")))
        try handle.truncate(atOffset: 300_000)
        try handle.close()
        let error = try folder.check(.unreadable, "became shorter") {
            try source.writeCopy(to: folder.path("copy"), edit: GGUFEdit())
        }
        #expect(error?.path == folder.path("source"))
    }

    /// Before the copy, from the free space, and during it, from the system. The file that was there stays.
    @Test func fullDisk() throws {
        let folder = try Folder()
        var writer = GGUFWriter()
        writer.tensors = [
            .init(name: "x", dimensions: [1 << 16], type: 0, data: [UInt8](repeating: 1, count: 1 << 18))
        ]
        let source = try folder.file(writer.file)
        try FileManager.default.createDirectory(
            atPath: folder.path("small"), withIntermediateDirectories: false)
        guard run("mount", "-t", "tmpfs", "-o", "size=64k", "lariat", folder.path("small")) else {
            withKnownIssue("only root may mount a small disk") { Issue.record("a full disk was not tried") }
            return
        }
        defer { #expect(run("umount", folder.path("small"))) }
        let old = Array("something else".utf8)
        try folder.write(old, to: "small/copy")
        for (checkingSpace, part) in [(true, ", 61,440 are free)"), (false, "needed): ")] {
            let error = #expect(throws: GGUFError.self) {
                try source.writeCopy(
                    to: folder.path("small/copy"), edit: GGUFEdit(), overwrite: true,
                    checkingSpace: checkingSpace)
            }
            #expect(error?.kind == .unwritable)
            #expect(error?.path == folder.path("small/copy"))
            for part in [
                "\(writer.padded.count.grouped) bytes are needed", part, "No space left on device",
                "Make room in '\(folder.path("small"))'",
            ] {
                #expect(error?.problem.contains(part) == true, "\(String(describing: error))")
            }
            #expect(try folder.bytes("small/copy") == old)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path("small")) == ["copy"])
        }
        // What fits is written.
        try Folder().file(GGUFWriter.sample.file)
            .writeCopy(to: folder.path("small/copy"), edit: GGUFEdit(), overwrite: true)
        #expect(try folder.bytes("small/copy") == GGUFWriter.sample.padded)
    }

    private func run(_ command: String...) -> Bool {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = command
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}

// MARK: Files for these tests

/// A folder for one test, gone with it.
private final class Folder {
    private let url = FileManager.default.temporaryDirectory.appending(
        component: "lariat-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.path + "/" + name }

    func write(_ bytes: [UInt8], to name: String) throws {
        try Data(bytes).write(to: URL(filePath: path(name)))
    }

    /// The bytes as the file "source", opened.
    func file(_ bytes: [UInt8]) throws -> GGUFFile {
        try? FileManager.default.removeItem(atPath: path("source"))
        try write(bytes, to: "source")
        return try GGUFFile(path: path("source"))
    }

    func bytes(_ name: String) throws -> [UInt8] {
        try [UInt8](Data(contentsOf: URL(filePath: path(name))))
    }

    var names: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: url.path).sorted() }
    }

    /// Checks that `body` throws such an error and that the folder holds afterwards what it held before.
    @discardableResult
    func check(
        _ kind: GGUFError.Kind, _ part: String, _ body: () throws -> Void,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> GGUFError? {
        let before = try names
        let error = #expect(throws: GGUFError.self, sourceLocation: sourceLocation, performing: body)
        #expect(error?.kind == kind, sourceLocation: sourceLocation)
        #expect(
            error?.problem.contains(part) == true, "\(String(describing: error))",
            sourceLocation: sourceLocation)
        #expect(try names == before, sourceLocation: sourceLocation)
        return error
    }
}

extension GGUFWriter {
    /// The file with the padding behind its last tensor that a copy has.
    fileprivate var padded: [UInt8] {
        var file = file
        while file.count % alignment != 0 { file.append(0) }
        return file
    }

    /// The bytes before the data of the first tensor.
    fileprivate var headerCount: Int {
        var empty = self
        for index in empty.tensors.indices { empty.tensors[index].data = [] }
        return empty.file.count
    }

    fileprivate mutating func align(to alignment: Int) {
        self.alignment = alignment
        metadata.append(("general.alignment", .uint32(UInt32(alignment))))
    }
}

extension GGUFWriter.Tensor {
    fileprivate static func floats(_ name: String, _ dimensions: [UInt64], _ values: [Float]) -> Self {
        Self(
            name: name, dimensions: dimensions, type: 0,
            data: values.flatMap { GGUFWriter.bytes($0.bitPattern) })
    }
}
