// How a call ended: the 17 gRPC codes, and the mappings from HTTP/2 resets and HTTP statuses to them.

package import HTTP2
import Protobuf

/// The outcome of a call (gRPC status). Thrown when it is not `ok`.
public struct RPCStatus: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: Int, Sendable, CaseIterable {
        case ok = 0
        case cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied
        case resourceExhausted, failedPrecondition, aborted, outOfRange, unimplemented, `internal`
        case unavailable, dataLoss, unauthenticated

        /// As gRPC writes it: RESOURCE_EXHAUSTED.
        public var name: String {
            var text = ""
            for character in "\(self)" {
                if character.isUppercase { text.append("_") }
                text.append(character.uppercased())
            }
            return self == .ok ? "OK" : text
        }
    }

    public var code: Code
    /// Plain words for a person: the thing, the limit, the remedy.
    public var message: String

    public init(_ code: Code, _ message: String = "") {
        self.code = code
        self.message = message
    }

    public static let ok = RPCStatus(.ok)

    public var isOK: Bool { code == .ok }

    public var description: String { message.isEmpty ? code.name : "\(code.name): \(message)" }
}

extension RPCStatus {
    /// What a reset means to the caller (gRPC over HTTP/2, "Errors"). REFUSED_STREAM is safe to retry.
    package init(reset code: HTTP2ErrorCode) {
        switch code {
        case .refusedStream:
            self.init(.unavailable, "the server refused the call before starting it: try again")
        case .cancel: self.init(.cancelled, "the peer cancelled the call")
        case .enhanceYourCalm: self.init(.resourceExhausted, "the peer asks for fewer or smaller calls")
        case .inadequateSecurity: self.init(.permissionDenied, "the peer asks for better transport security")
        default: self.init(.internal, "the peer reset the call (\(code))")
        }
    }

    /// For an answer that is not gRPC's (gRPC's http-grpc-status-mapping).
    package init(http status: String) {
        let code: Code =
            switch status {
            case "400": .internal
            case "401": .unauthenticated
            case "403": .permissionDenied
            case "404": .unimplemented
            case "429", "502", "503", "504": .unavailable
            default: .unknown
            }
        self.init(code, "the peer answered HTTP \(status) instead of a gRPC reply")
    }

    /// From the trailers of a call; nil if they hold no status.
    package init?(trailers: [HTTP2Field]) {
        guard let field = trailers.first(where: { $0.name == "grpc-status" }) else { return nil }
        let code = Int(field.value).flatMap(Code.init(rawValue:)) ?? .unknown
        let message = trailers.first { $0.name == "grpc-message" }?.value ?? ""
        self.init(code, Self.percentDecoded(message))
    }

    /// Trailers that carry this status.
    package var trailers: [HTTP2Field] {
        var fields = [HTTP2Field("grpc-status", String(code.rawValue))]
        if !message.isEmpty { fields.append(HTTP2Field("grpc-message", Self.percentEncoded(message))) }
        return fields
    }

    /// Any error of a handler as a status.
    package init(error: any Error) {
        switch error {
        case let status as RPCStatus: self = status
        case is CancellationError: self.init(.cancelled, "the call was cancelled")
        case let error as MessageError: self.init(.internal, "\(error)")
        default: self = .unforeseen
        }
    }

    /// For errors that are not worded for clients: they may name files, or what others sent.
    package static let unforeseen = RPCStatus(.unknown, "the server failed to answer; its log says why")

    /// Longest `grpc-message` sent. Past a client's header limit the true error would be lost.
    package static let messageLimit = 4096

    /// Printable ASCII except `%` stays; cut to whole characters of the encoding within `messageLimit` bytes.
    package static func percentEncoded(_ text: String) -> String {
        var out: [UInt8] = []
        out.reserveCapacity(min(text.utf8.count, messageLimit))
        let digits = Array("0123456789ABCDEF".utf8)
        for scalar in text.unicodeScalars {
            let start = out.count
            for byte in String(scalar).utf8 {
                if (0x20...0x7e).contains(byte), byte != UInt8(ascii: "%") {
                    out.append(byte)
                } else {
                    out += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
                }
            }
            if out.count > messageLimit {
                out.removeSubrange(start...)
                break
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// Never fails: what is not an escape stays as it is.
    package static func percentDecoded(_ text: String) -> String {
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        var i = 0
        while i < bytes.count {
            if bytes[i] == UInt8(ascii: "%"), i + 2 < bytes.count,
                let high = Character(UnicodeScalar(bytes[i + 1])).hexDigitValue,
                let low = Character(UnicodeScalar(bytes[i + 2])).hexDigitValue
            {
                out.append(UInt8(high << 4 | low))
                i += 3
            } else {
                out.append(bytes[i])
                i += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
