// Files with faults: each gives an error that says what is wrong, none ends the process.
import GGUF
import Testing

@Suite struct DamagedFileTests {
    @Test func everyLengthIsRefusedButTheWhole() throws {
        let file = GGUFWriter.sample.file
        for count in 0..<file.count {
            let error = try #require(problem(Array(file[..<count])), "\(count) bytes were accepted")
            #expect(error.kind == (count == 0 ? .unreadable : .truncated), "\(count) bytes: \(error)")
        }
        #expect(problem(file) == nil)
    }

    /// Thousands of damaged files: opened or refused, every byte of every tensor can be read.
    @Test func randomDamage() throws {
        var random = SplitMix(state: 2)
        let file = GGUFWriter.sample.file
        var opened = 0
        for _ in 0..<6000 {
            var damaged = file
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                // Most of the damage to the header, where it hurts.
                let place = Int.random(
                    in: 0..<(Bool.random(using: &random) ? file.count : 900), using: &random)
                damaged[place] =
                    [0, 1, 0x7F, 0x80, 0xFF, .random(in: 0...255, using: &random)].randomElement(
                        using: &random) ?? 0
            }
            guard let readable = try? open(damaged) else { continue }
            opened += 1
            for tensor in readable.tensors.values {
                let sum = tensor.withUnsafeBytes { $0.reduce(0) { $0 + Int($1) } }
                #expect(sum >= 0)
                #expect(tensor.bytesPerRow * tensor.rows == tensor.byteCount)
            }
            _ = readable.fingerprint()
        }
        #expect(opened > 100 && opened < 5900)
    }

    @Test func cutShortOnDisk() throws {
        let file = GGUFWriter.sample.file
        for count in [0, 3, 100, 900, file.count - 1] {
            #expect(throws: GGUFError.self) { try openOnDisk(Array(file[..<count])) }
        }
    }

    @Test func startOfTheFile() {
        var writer = GGUFWriter.sample
        writer.magic = 0x1234_5678
        #expect(problem(writer.file)?.kind == .notGGUF)
        writer = .sample
        for version: UInt32 in [0, 1, 4] {
            writer.version = version
            let error = problem(writer.file)
            #expect(error?.kind == .unsupported)
            #expect(error?.problem.contains("version \(version)") == true)
        }
        writer.version = UInt32(3).byteSwapped
        #expect(problem(writer.file)?.problem.contains("big-endian") == true)
        writer = .sample
        writer.metadata.append(("split.count", .uint16(3)))
        #expect(problem(writer.file)?.problem.contains("3 parts") == true)
    }

    @Test func filesThatAreNone() throws {
        func kind(_ path: String) -> GGUFError.Kind? {
            do {
                _ = try GGUFFile(path: path)
                return nil
            } catch { return error.kind }
        }
        #expect(kind("/nonexistent/model.gguf") == .unreadable)
        #expect(kind("/") == .unreadable)
        #expect(kind("/dev/null") == .unreadable)
    }

    /// Counts of this size would need more memory than any machine has.
    @Test(arguments: [UInt64.max, UInt64(Int64.max), 1 << 40, 1 << 20]) func hugeCounts(count: UInt64) throws
    {
        let kinds: Set<GGUFError.Kind> = [.tooLarge, .truncated]
        func check(_ change: (inout GGUFWriter) -> Void) throws {
            var writer = GGUFWriter.sample
            change(&writer)
            let error = try #require(problem(writer.file))
            #expect(kinds.contains(error.kind), "\(error)")
        }
        let eight = GGUFWriter.bytes(count)
        try check { $0.tensorCount = count }
        try check { $0.metadataCount = count }
        try check { $0.metadata.append(("x", .raw(eight, type: 8))) }
        for type: UInt32 in [0, 5, 7, 8, 10, 12] {
            try check { $0.metadata.append(("x", .raw(GGUFWriter.bytes(type) + eight, type: 9))) }
        }
    }

    @Test func metadata() throws {
        func check(_ key: String, _ value: GGUFWriter.Value, _ kind: GGUFError.Kind, _ words: String) throws {
            var writer = GGUFWriter.sample
            writer.metadata.append((key, value))
            let error = try #require(problem(writer.file))
            #expect(error.kind == kind, "\(error)")
            #expect(error.problem.contains(words), "\(error)")
        }
        try check("nested", .array([.array([], type: 4)], type: 9), .unsupported, "'nested'")
        try check("strange", .raw([], type: 13), .malformed, "'strange'")
        try check("strange", .raw(GGUFWriter.bytes(UInt32(99)), type: 9), .malformed, "'strange'")
        try check("a.true", .bool(1), .malformed, "'a.true' occurs twice")
        try check("maybe", .bool(2), .malformed, "'maybe'")
        try check("", .bool(1), .malformed, "empty")
        try check("big", .array([.uint64(.max)], type: 10), .tooLarge, "'big'")
        for value: GGUFWriter.Value in [
            .uint32(0), .uint32(24), .uint32(.max), .text("32"), .uint64(1 << 40),
        ] {
            try check("general.alignment", value, .malformed, "power of two")
        }
    }

    @Test func tensors() throws {
        func check(_ kind: GGUFError.Kind, _ words: String, _ change: (inout GGUFWriter.Tensor) -> Void)
            throws
        {
            var writer = GGUFWriter.sample
            change(&writer.tensors[2])
            let error = try #require(problem(writer.file))
            #expect(error.kind == kind, "\(error)")
            #expect(error.problem.contains("'\(writer.tensors[2].name)'"), "\(error)")
            #expect(error.problem.contains(words), "\(error)")
        }
        try check(.malformed, "twice") { $0.name = "half" }
        try check(.malformed, "0 dimensions") { $0.dimensions = [] }
        try check(.malformed, "5 dimensions") { $0.dimensions = [32, 1, 1, 1, 1] }
        try check(.malformed, "length 0") { $0.dimensions = [32, 0] }
        try check(.malformed, "more elements") { $0.dimensions = [1 << 32, 1 << 32] }
        try check(.malformed, "more elements") { $0.dimensions = [.max] }
        try check(.malformed, "any file") {
            $0.dimensions = [1 << 62]; $0.type = 0
        }
        try check(.malformed, "32 elements") { $0.dimensions = [33, 2] }
        try check(.unsupported, "the element type Q4_2 (number 4), which") { $0.type = 4 }
        try check(.unsupported, "Q4_1 (3)") { $0.type = 16 }
        for (number, name) in [
            (11, "Q3_K"), (10, "Q2_K"), (16, "IQ2_XXS"), (20, "IQ4_NL"), (23, "IQ4_XS"), (39, "MXFP4"),
        ] {
            try check(.unsupported, "type \(name) (number \(number)), ") { $0.type = UInt32(number) }
        }
        try check(.unsupported, "the element type number 1000, which") { $0.type = 1000 }
        try check(.malformed, "alignment 32") { $0.offset = 33 }
        try check(.truncated, "outside") { $0.offset = 1 << 40 }
        try check(.malformed, "outside") { $0.offset = UInt64.max - 31 }
        try check(.truncated, "outside") { $0.offset = UInt64(Int64.max) - 255 }
        try check(.truncated, "outside") { $0.dimensions = [320_000] }
        try check(.malformed, "overlap") { $0.offset = 0 }
        try check(.malformed, "overlap") { $0.dimensions = [96, 2, 1, 2] }
    }
}

/// A random number generator that gives the same numbers everywhere.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}
