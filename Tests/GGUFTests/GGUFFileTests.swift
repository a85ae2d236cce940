// Correct files: every kind of value, tensors where they belong, the model files of other makers.
import Foundation
import GGUF
import TestSupport
import Testing

@Suite struct GGUFFileTests {
    @Test(arguments: [UInt32(2), 3]) func valuesAndTensors(version: UInt32) throws {
        var writer = GGUFWriter.sample
        writer.version = version
        let file = try openOnDisk(writer.file)
        #expect(try file.string("general.architecture") == "llama")
        #expect(file.metadata["a.uint8"] == .uint(200))
        #expect(file.metadata["a.int8"] == .int(-100))
        #expect(file.metadata["a.uint16"] == .uint(60_000))
        #expect(file.metadata["a.int16"] == .int(-30_000))
        #expect(try file.integer("a.uint32") == 4_000_000_000)
        #expect(try file.integer("a.int32") == -2_000_000_000)
        #expect(file.metadata["a.uint64"] == .uint(.max))
        #expect(try file.integer("a.int64") == Int.min)
        #expect(try file.real("a.float32") == 1.5)
        #expect(try file.real("a.float64") == 0.1)
        #expect(try file.real("a.int16") == -30_000)
        #expect(try file.bool("a.true"))
        #expect(try !file.bool("a.false"))
        #expect(file.metadata["a.bytes"] == .string([0xFF, 0xFE]))
        #expect(try file.strings("a.strings") == [Array("one".utf8), [], [0x80]])
        #expect(try file.integers("a.integers") == [-1, 7])
        #expect(try file.floats("a.floats") == [0.25, -2])
        #expect(file.metadata["a.doubles"] == .doubles([0.1]))
        #expect(file.metadata["a.bools"] == .bools([true, false]))
        #expect(try file.strings("a.empty") == [])
        #expect(file.metadata.count == writer.metadata.count)

        #expect(Set(file.tensors.keys) == ["plain", "half", "quantised", "last"])
        for written in writer.tensors {
            let tensor = try file.tensor(written.name)
            #expect(tensor.dimensions == written.dimensions.map(Int.init))
            #expect(tensor.type.rawValue == written.type)
            #expect(tensor.withUnsafeBytes { Array($0) } == written.data)
            #expect(tensor.byteCount == written.data.count)
            #expect(tensor.bytesPerRow * tensor.rows == tensor.byteCount)
        }
        let quantised = try file.tensor("quantised")
        #expect(quantised.rows == 4)
        #expect(quantised.columns == 64)
        #expect(quantised.bytesPerRow == 40)
    }

    @Test func tensorOutlivesFile() throws {
        var file: GGUFFile? = try openOnDisk(GGUFWriter.sample.file)
        let tensor = try #require(try file?.tensor("plain"))
        file = nil
        #expect(tensor.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 20, as: Float.self) } == 5)
    }

    @Test func errorsOfBodyComeThrough() throws {
        struct Mine: Error {}
        let tensor = try open(GGUFWriter.sample.file).tensor("plain")
        #expect(throws: Mine.self) { try tensor.withUnsafeBytes { _ throws(Mine) in throw Mine() } }
    }

    @Test func missingAndWrongType() throws {
        let file = try open(GGUFWriter.sample.file)
        func check(_ kind: GGUFError.Kind, _ name: String, _ body: () throws -> Void) {
            let error = #expect(throws: GGUFError.self, performing: body)
            #expect(error?.kind == kind)
            #expect(error?.description.contains("'\(name)'") == true)
        }
        check(.missing, "no.tensor") { _ = try file.tensor("no.tensor") }
        check(.missing, "x.y") { _ = try file.string("x.y") }
        check(.missing, "x.y") { _ = try file.integer("x.y") }
        check(.missing, "x.y") { _ = try file.real("x.y") }
        check(.missing, "x.y") { _ = try file.bool("x.y") }
        check(.missing, "x.y") { _ = try file.strings("x.y") }
        check(.missing, "x.y") { _ = try file.integers("x.y") }
        check(.missing, "x.y") { _ = try file.floats("x.y") }
        check(.wrongType, "a.true") { _ = try file.string("a.true") }
        check(.wrongType, "a.float32") { _ = try file.integerIfPresent("a.float32") }
        check(.wrongType, "a.strings") { _ = try file.real("a.strings") }
        check(.wrongType, "a.uint8") { _ = try file.boolIfPresent("a.uint8") }
        check(.wrongType, "a.integers") { _ = try file.stringsIfPresent("a.integers") }
        check(.wrongType, "a.doubles") { _ = try file.floats("a.doubles") }
        check(.wrongType, "a.floats") { _ = try file.integers("a.floats") }
        check(.tooLarge, "a.uint64") { _ = try file.integer("a.uint64") }
        check(.malformed, "a.bytes") { _ = try file.string("a.bytes") }
        #expect(try file.stringIfPresent("x.y") == nil)
        #expect(try file.integerIfPresent("x.y") == nil)
        #expect(try file.realIfPresent("x.y") == nil)
        #expect(try file.boolIfPresent("x.y") == nil)
        #expect(try file.stringsIfPresent("x.y") == nil)
    }

    @Test func alignmentOfTheFile() throws {
        var writer = GGUFWriter.sample
        writer.metadata.append(("general.alignment", .uint32(256)))
        writer.alignment = 256
        let tensor = try open(writer.file).tensor("last")
        #expect(tensor.withUnsafeBytes { Array($0) } == Array(repeating: 9, count: 210))
    }

    @Test func fingerprint() throws {
        let sample = GGUFWriter.sample
        let original = try openOnDisk(sample.file).fingerprint()
        #expect(original.count == 64)
        #expect(original.allSatisfy { $0.isHexDigit && !$0.isUppercase })
        #expect(try open(sample.file).fingerprint() == original)
        // Every byte of a small file counts, except padding between tensors and the file's magic and counts.
        for place in sample.file.indices {
            var file = sample.file
            file[place] ^= 1
            guard let other = try? open(file).fingerprint(), other == original else { continue }
            let isPadding = sample.file.count - place <= 210 + 160 + 10 + 24 + 64 && sample.file[place] == 0
            #expect(isPadding, "byte \(place)")
        }
        var longer = sample.file
        longer.append(0)
        #expect(try open(longer).fingerprint() != original)
    }

    @Test func fingerprintSamplesLargeTensors() throws {
        var writer = GGUFWriter()
        let count = 100_000
        writer.tensors = [
            .init(
                name: "x", dimensions: [UInt64(count)], type: 1, data: [UInt8](repeating: 0, count: 2 * count)
            )
        ]
        let file = writer.file
        let original = try open(file).fingerprint()
        let step = (2 * count - 1024) / 15
        for (place, isSeen) in [
            (0, true), (1023, true), (1024, false), (step - 1, false), (step, true), (7 * step + 1023, true),
            (2 * count - 1024, true), (2 * count - 1, true),
        ] {
            var changed = file
            changed[file.count - 2 * count + place] = 1
            #expect(try (open(changed).fingerprint() != original) == isSeen, "byte \(place)")
        }
    }

    /// The digest was computed with Python's hashlib from the documented recipe.
    @Test func fingerprintOfTinyPhi3() throws {
        let file = try GGUFFile(path: Golden.path("tiny-phi3-longrope.gguf"))
        #expect(file.fingerprint() == "bbb17a06992e366cdd66dc5e689d528ff5e51a5be06742a3f0c0b9b8a21ef820")
    }

    @Test func tinyPhi3() throws {
        let file = try GGUFFile(path: Golden.path("tiny-phi3-longrope.gguf"))
        #expect(try file.string("general.architecture") == "phi3")
        #expect(try file.integer("phi3.rope.scaling.original_context_length") == 64)
        #expect(try file.integer("phi3.attention.head_count_kv") == 2)
        #expect(try abs(file.real("phi3.rope.scaling.attn_factor") - 1.224744916) < 1e-8)
        #expect(try file.strings("tokenizer.ggml.tokens").count == 320)
        #expect(file.tensors.count == 23)
        let fused = try file.tensor("blk.0.attn_qkv.weight")
        #expect(fused.dimensions == [128, 256])
        #expect(fused.type == .f32)
        #expect(fused.byteCount == 128 * 256 * 4)
        #expect(try file.tensor("rope_factors_short.weight").dimensions == [16])
    }

    @Test func smolLM2() throws {
        guard let path = TestModel.smolLM2 else {
            withKnownIssue("the SmolLM2 file is not in the cache (Ops/quickstart fetches it)") {
                Issue.record("SmolLM2 not found")
            }
            return
        }
        let file = try GGUFFile(path: path)
        #expect(try file.string("general.architecture") == "llama")
        #expect(try file.integer("llama.block_count") == 30)
        #expect(try file.integer("llama.context_length") == 8192)
        #expect(try file.real("llama.rope.freq_base") == 100_000)
        #expect(try file.bool("tokenizer.ggml.add_bos_token") == false)
        #expect(try file.strings("tokenizer.ggml.tokens").count == 49_152)
        #expect(try file.strings("tokenizer.ggml.merges").count == 48_900)
        #expect(try file.integers("tokenizer.ggml.token_type").count == 49_152)
        #expect(file.tensors.count == 272)
        let embedding = try file.tensor("token_embd.weight")
        #expect(embedding.type == .q8_0)
        #expect(embedding.dimensions == [576, 49_152])
        #expect(embedding.byteCount == 49_152 * 18 * 34)
        let down = try file.tensor("blk.29.ffn_down.weight")
        #expect(down.type == .q4_1)
        #expect((down.columns, down.rows) == (1536, 576))
        #expect(file.fingerprint().count == 64)
    }

    @Test func blockSizes() {
        // ggml's own figures, in bits per element.
        let bits: [GGUFTensorType: Double] = [
            .f32: 32, .f16: 16, .bf16: 16, .q4_0: 4.5, .q4_1: 5, .q5_0: 5.5, .q5_1: 6, .q8_0: 8.5, .q4_K: 4.5,
            .q5_K: 5.5, .q6_K: 6.5625,
        ]
        for type in GGUFTensorType.allCases {
            #expect(Double(type.bytesPerBlock * 8) / Double(type.elementsPerBlock) == bits[type], "\(type)")
        }
    }
}
