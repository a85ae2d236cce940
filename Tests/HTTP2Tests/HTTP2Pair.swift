// A client and a server session joined in memory, and frames made by hand for the rude ones.

import HTTP2

/// A session with the body queues that its owner keeps.
final class End {
    var session: HTTP2Session
    var bodies: [Int32: [UInt8]] = [:]
    var events: [HTTP2Event] = []
    /// Body bytes received, by stream.
    var received: [Int32: [UInt8]] = [:]
    /// Give received bytes back at once.
    var consumes = true
    var now: UInt64 = 1_000_000_000

    init(_ role: HTTP2Role, _ limits: HTTP2Limits = HTTP2Limits()) throws {
        session = try HTTP2Session(role: role, limits: limits)
    }

    var isFinished: Bool { session.isFinished }
    var openBodies: Int { session.openBodies }

    func submit(_ stream: Int32, _ bytes: [UInt8]) throws {
        bodies[stream, default: []] += bytes
        try session.submitBody(stream: stream, count: bytes.count, now: now)
    }

    /// Everything the session wants to send, up to `limit`, with bodies filled in.
    func pump(limit: Int = 1 << 20) throws -> [UInt8] {
        var output = HTTP2Output()
        defer { events += session.takeEvents() }
        do { try session.pump(into: &output, limit: limit, now: now) } catch {
            return bytes(of: output)
        }
        return bytes(of: output)
    }

    private func bytes(of output: HTTP2Output) -> [UInt8] {
        var result: [UInt8] = []
        for segment in output.segments {
            switch segment {
            case .frames(let range): result += output.bytes[range]
            case .body(let stream, let count):
                result += bodies[stream, default: []].prefix(count)
                bodies[stream]?.removeFirst(count)
            }
        }
        return result
    }

    func receive(_ bytes: [UInt8], chunk: Int = .max) throws {
        var start = 0
        while start < bytes.count {
            let end = start + min(chunk, bytes.count - start)
            let part = Array(bytes[start..<end])
            defer { start = end }
            do { try session.receive(part.span, now: now) } catch {
                take(part)
                throw error
            }
            take(part)
        }
    }

    private func take(_ bytes: [UInt8]) {
        for event in session.takeEvents() {
            events.append(event)
            guard case .data(let stream, let range) = event else { continue }
            received[stream, default: []] += bytes[range]
            if consumes { try? session.consume(stream: stream, count: range.count) }
        }
    }

    func headers(_ stream: Int32, _ kind: HTTP2HeaderKind) -> [HTTP2Field]? {
        for case .headers(stream, kind, let fields) in events { return fields }
        return nil
    }

    func closed(_ stream: Int32) -> HTTP2ErrorCode? {
        for case .streamClosed(stream, let code) in events { return code }
        return nil
    }
}

/// Carries bytes both ways until both are silent.
func exchange(_ a: End, _ b: End, chunk: Int = .max, rounds: Int = 10_000) throws {
    for _ in 0..<rounds {
        let fromA = try a.pump()
        let fromB = try b.pump()
        if fromA.isEmpty, fromB.isEmpty { return }
        try b.receive(fromA, chunk: chunk)
        try a.receive(fromB, chunk: chunk)
    }
}

let request = [
    HTTP2Field(":method", "POST"), HTTP2Field(":scheme", "http"), HTTP2Field(":path", "/a.B/C"),
    HTTP2Field(":authority", "host"), HTTP2Field("te", "trailers"),
    HTTP2Field("content-type", "application/grpc"),
]
let response = [HTTP2Field(":status", "200"), HTTP2Field("content-type", "application/grpc")]

/// Frames as a peer without manners writes them.
enum Raw {
    static let magic = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8]
    {
        let length = payload.count
        return [UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags]
            + word(stream)
            + payload
    }

    static func word(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    static let settings = frame(4)
    static let preface = magic + settings
    /// :method POST, :scheme http, :path / and :authority a, HPACK without the dynamic table.
    static let post: [UInt8] = [0x83, 0x86, 0x84, 0x01, 0x01, 0x61]
    static func literal(_ name: String, _ value: String) -> [UInt8] {
        [0x00, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8)
    }

    /// Types of the frames in `bytes`, with the error code of GOAWAY and RST_STREAM.
    static func parse(_ bytes: [UInt8]) -> [(type: UInt8, stream: UInt32, code: UInt32)] {
        var result: [(UInt8, UInt32, UInt32)] = []
        var i = 0
        func word(_ at: Int) -> UInt32 { bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }
        while i + 9 <= bytes.count {
            let length = Int(bytes[i]) << 16 | Int(bytes[i + 1]) << 8 | Int(bytes[i + 2])
            guard i + 9 + length <= bytes.count else { break }
            let type = bytes[i + 3]
            let code = type == 7 ? word(i + 13) : type == 3 ? word(i + 9) : 0
            result.append((type, word(i + 5), code))
            i += 9 + length
        }
        return result
    }

    static func goAway(_ bytes: [UInt8]) -> UInt32? { parse(bytes).last { $0.type == 7 }?.code }
}

/// SplitMix64: the same bytes in every run.
struct Random: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
