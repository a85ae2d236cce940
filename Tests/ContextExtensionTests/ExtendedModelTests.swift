// The written file: what llama.cpp reads, what Lariat reads, and nothing else changed.
import ContextExtension
import Foundation
import GGUF
import LongRoPE
import TestSupport
import Testing
import Transformer

@Suite("Extended model files")
struct ExtendedModelTests {
    private static let tables = [
        RotaryTable(window: 64, factors: Array(repeating: 1, count: 16), attentionFactor: 1),
        RotaryTable(
            window: 128, factors: (0..<16).map { 1 + 0.05 * Double($0) }, startTokens: 4,
            attentionFactor: 1.03),
        RotaryTable(window: 512, factors: (0..<16).map { 1 + 0.5 * Double($0) }, attentionFactor: 1.11),
    ]

    @Test(
        "Both sets of factors, the attention factor and the lengths that llama.cpp reads, and every table for Lariat"
    )
    func written() throws {
        let folder = try Folder()
        let source = try GGUFFile(path: Golden.path("tiny-phi3-longrope.gguf"))
        let path = folder.file("extended.gguf")
        try ExtendedModel(source, tables: Self.tables, originalContext: 64).write(
            source, to: path, overwrite: false)
        let file = try GGUFFile(path: path)
        #expect(try file.string("phi3.rope.scaling.type") == "longrope")
        #expect(try file.integer("phi3.rope.scaling.original_context_length") == 64)
        #expect(try file.integer("phi3.context_length") == 512)
        #expect(try Float(file.real("phi3.rope.scaling.attn_factor")) == 1.11)
        #expect(file.metadata["phi3.rope.scaling.factor"] == nil)
        #expect(try file.tensor("rope_factors_long.weight").dimensions == [16])
        let scaling = try Model(path: path).scaling
        #expect(scaling.longFactors?.map(Float.init) == Self.tables[2].factors.map(Float.init))
        #expect(scaling.shortFactors == Self.tables[0].factors)
        for (total, table) in [(64, 0), (65, 1), (128, 1), (129, 2), (512, 2)] {
            let profile = try scaling.profile(promptTokens: total, reservedTokens: 0)
            #expect(
                profile.factors == Self.tables[table].factors && profile.window == Self.tables[table].window)
            #expect(profile.startTokens == Self.tables[table].startTokens)
            #expect(profile.attentionFactor == Self.tables[table].attentionFactor)
        }
        #expect(throws: GGUFError.self) {
            try ExtendedModel(source, tables: Self.tables, originalContext: 64)
                .write(source, to: path, overwrite: false)
        }
        #expect(throws: ExtensionError.self) { try ExtendedModel(source, tables: [], originalContext: 64) }
    }

    @Test("Damaged tables in a file are refused with the figures")
    func damaged() throws {
        let folder = try Folder()
        let source = try GGUFFile(path: Golden.path("tiny-phi3-longrope.gguf"))
        var edit = GGUFEdit()
        edit.set(RotaryKeys.windows, .uint32s([64, 128]))
        edit.set(RotaryKeys.startTokens, .uint32s([0, 0]))
        edit.set(RotaryKeys.attentionFactors, .float64s([1, 1]))
        edit.set(RotaryKeys.factors, .float64s(Array(repeating: 1, count: 31)))
        let path = folder.file("damaged.gguf")
        try source.writeCopy(to: path, edit: edit)
        let error = #expect(throws: ModelError.self) { try Model(path: path) }
        #expect("\(error.map { "\($0)" } ?? "")".contains("31 factors"))
        // Tables without their lengths are no reason to go without them.
        edit.remove(RotaryKeys.windows)
        let part = folder.file("part.gguf")
        try source.writeCopy(to: part, edit: edit)
        #expect(throws: ModelError.self) { try Model(path: part) }
    }
}
