// factors.json: LongRoPE factors in the form of Hugging Face's `rope_scaling`, read and written.
public import Foundation
import Numerals

/// LongRoPE factors in a file.
///
/// The form is the `rope_scaling` of transformers' configurations, alone or inside a config.json (there also as
/// `rope_parameters`): `rope_type` or `type` (longrope, or su), `short_factor`, `long_factor`, `attention_factor` or
/// `long_mscale` and `short_mscale`, `factor`, and `original_max_position_embeddings` beside or inside it. Lariat adds
/// a member `lariat`: tables for more lengths than two, and n-hat; others ignore it.
public struct FactorFile: Sendable, Hashable {
    /// L: the positions the model was trained for.
    public var originalContext: Int
    /// By window, smallest first.
    public var tables: [RotaryTable]

    /// Files longer than this are refused before they are parsed, in bytes.
    public static let largestFile = 8 << 20

    public init(originalContext: Int, tables: [RotaryTable]) {
        self.originalContext = originalContext
        self.tables = tables
    }

    /// The method that the file describes.
    public func method() throws(LongRoPEError) -> LongRoPETables { try LongRoPETables(tables: tables) }

    /// Reads a file's bytes.
    /// - Parameter name: of the file, for messages.
    /// - Throws: `invalidMethod` with what is missing or wrong.
    public init(json data: Data, name: String) throws(LongRoPEError) {
        func fail(_ problem: String) -> LongRoPEError { LongRoPEError(.invalidMethod, "\(name): \(problem)") }
        guard data.count <= Self.largestFile else {
            throw fail(
                "has \(data.count.grouped) bytes; a file of rotary factors has at most \(Self.largestFile.grouped)"
            )
        }
        let file: Configuration
        do { file = try JSONDecoder().decode(Configuration.self, from: data) } catch {
            throw fail("is no file of rotary factors: \(Self.text(error))")
        }
        guard let scaling = file.rope_scaling ?? file.rope_parameters ?? file.itself else {
            throw fail("has no rope_scaling, long_factor or lariat")
        }
        if let type = scaling.rope_type ?? scaling.type, !["longrope", "su", "yarn"].contains(type) {
            throw fail("describes rotary scaling \"\(type.prefix(40))\"; factors are of type longrope")
        }
        guard
            let original = scaling.original_max_position_embeddings ?? file.original_max_position_embeddings
        else {
            throw fail("has no original_max_position_embeddings, the length the model was trained for")
        }
        guard (1...Int(Int32.max)).contains(original) else {
            throw fail("original_max_position_embeddings is \(original); it must be from 1 to \(Int32.max)")
        }
        originalContext = original
        if let own = scaling.lariat {
            tables = own.tables.map {
                RotaryTable(
                    name: $0.name ?? "", window: $0.window, factors: $0.factors,
                    startTokens: $0.start_tokens ?? 0,
                    attentionFactor: $0.attention_factor)
            }
        } else {
            guard let long = scaling.long_factor else { throw fail("has no long_factor") }
            let scale =
                scaling.factor
                ?? file.max_position_embeddings.map { Double($0) / Double(original) }
            guard let scale, scale >= 1, scale <= RotaryScale.range.upperBound else {
                throw fail(
                    "says nothing of the length its long factors are for: it needs factor, from 1 to 1,000,000, or "
                        + "max_position_embeddings of at least original_max_position_embeddings")
            }
            let formula = RotaryScaling.attentionFactor(originalContext: original, scale: scale)
            let window = Int(min((Double(original) * scale).rounded(.down), Double(Int32.max)))
            tables = []
            if let short = scaling.short_factor, window > original {
                tables.append(
                    RotaryTable(
                        name: "short", window: original, factors: short,
                        attentionFactor: scaling.short_mscale ?? scaling.attention_factor ?? formula))
            }
            tables.append(
                RotaryTable(
                    name: "long", window: window, factors: long,
                    attentionFactor: scaling.long_mscale ?? scaling.attention_factor ?? formula))
        }
        // What is wrong with one table is told now, with the file's name, and not when a job is submitted.
        do throws(LongRoPEError) {
            for table in try method().tables {
                _ = try RotaryProfile(
                    name: table.name, theta: 10000, rotaryDimension: 2 * table.factors.count,
                    factors: table.factors, startTokens: table.startTokens,
                    attentionFactor: table.attentionFactor ?? 1, window: table.window)
            }
        } catch { throw fail(error.description) }
        tables.sort { $0.window < $1.window }
    }

    /// The file's text: `long_factor` and `attention_factor` are those of the largest table, `short_factor` those of the
    /// smallest, for readers that know two.
    public func json() throws -> Data {
        var scaling = Scaling()
        scaling.rope_type = "longrope"
        scaling.original_max_position_embeddings = originalContext
        if let last = tables.last {
            scaling.factor = Double(last.window) / Double(originalContext)
            scaling.long_factor = last.factors
            scaling.short_factor =
                tables.count > 1 ? tables.first?.factors : Array(repeating: 1, count: last.factors.count)
            scaling.attention_factor = last.attentionFactor
        }
        scaling.lariat = Tables(
            tables: tables.map {
                Table(
                    name: $0.name, window: $0.window, factors: $0.factors, start_tokens: $0.startTokens,
                    attention_factor: $0.attentionFactor)
            })
        var file = Configuration()
        file.rope_scaling = scaling
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return try encoder.encode(file)
    }

    private static func text(_ error: any Error) -> String {
        switch error {
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
            DecodingError.keyNotFound(_, let context):
            return context.codingPath.map(\.stringValue).joined(separator: ".")
                + ": \(context.debugDescription)"
        default: return "it is not JSON"
        }
    }

    // The names in the file.
    private struct Configuration: Codable {
        var rope_scaling: Scaling?
        var rope_parameters: Scaling?
        var original_max_position_embeddings: Int?
        var max_position_embeddings: Int?
        /// The file is a `rope_scaling` alone.
        var itself: Scaling?

        init() {}

        enum CodingKeys: CodingKey {
            case rope_scaling, rope_parameters, original_max_position_embeddings, max_position_embeddings
        }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            rope_scaling = try values.decodeIfPresent(Scaling.self, forKey: .rope_scaling)
            rope_parameters = try values.decodeIfPresent(Scaling.self, forKey: .rope_parameters)
            original_max_position_embeddings =
                try values.decodeIfPresent(Int.self, forKey: .original_max_position_embeddings)
            max_position_embeddings = try values.decodeIfPresent(Int.self, forKey: .max_position_embeddings)
            let alone = try Scaling(from: decoder)
            itself = alone.long_factor == nil && alone.lariat == nil ? nil : alone
        }
    }

    private struct Scaling: Codable {
        var type: String?
        var rope_type: String?
        var short_factor: [Double]?
        var long_factor: [Double]?
        var short_mscale: Double?
        var long_mscale: Double?
        var attention_factor: Double?
        var factor: Double?
        var original_max_position_embeddings: Int?
        var lariat: Tables?
    }

    private struct Tables: Codable { var tables: [Table] }

    private struct Table: Codable {
        var name: String?
        var window: Int
        var factors: [Double]
        var start_tokens: Int?
        var attention_factor: Double?
    }
}
