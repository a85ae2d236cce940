// gRPC's 5-byte message prefix: one flag byte, then the length (big-endian).

package import NIOCore
import Numerals

package enum MessageFraming {
    package static let prefixLength = 5

    /// The prefix of a message of `length` bytes.
    package static func prefix(length: Int) throws(RPCStatus) -> [UInt8] {
        guard let length = UInt32(exactly: length) else {
            throw RPCStatus(
                .resourceExhausted, "a message of \(length.grouped) bytes cannot be sent: the limit is 4 GiB")
        }
        return [0] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) }
    }

    /// Prefix and message in one buffer.
    package static func frame(_ bytes: [UInt8]) throws(RPCStatus) -> ByteBuffer {
        let prefix = try prefix(length: bytes.count)
        var buffer = ByteBufferAllocator().buffer(capacity: prefix.count + bytes.count)
        buffer.writeBytes(prefix)
        buffer.writeBytes(bytes)
        return buffer
    }
}

/// Cuts a stream's body into messages. The limit is checked before a message is buffered.
package struct MessageDeframer {
    package let limit: Int
    /// Names the kind of message in errors.
    package let what: String
    private var prefix: [UInt8] = []
    private var message: ByteBuffer?
    private var length = 0

    /// Memory reserved on the word of a prefix alone. Untouched pages cost nothing, so a block is one allocation.
    private static let reserve = 2 << 20

    package init(limit: Int, what: String) {
        self.limit = limit
        self.what = what
    }

    /// Bytes of a message that is not complete yet, its prefix included.
    package var partial: Int { prefix.count + (message?.readableBytes ?? 0) }

    /// Takes all of `data`; appends what has become complete to `messages`.
    package mutating func append(_ data: inout ByteBuffer, to messages: inout [ByteBuffer]) throws(RPCStatus)
    {
        while data.readableBytes > 0 {
            if message == nil {
                while prefix.count < MessageFraming.prefixLength, let byte = data.readInteger(as: UInt8.self)
                {
                    prefix.append(byte)
                    if prefix.count == 1, byte != 0 {
                        throw byte == 1
                            ? RPCStatus(.internal, "a compressed message without grpc-encoding")
                            : RPCStatus(.internal, "bad message flag \(byte)")
                    }
                }
                guard prefix.count == MessageFraming.prefixLength else { return }
                length = prefix.dropFirst().reduce(0) { $0 << 8 | Int($1) }
                guard length <= limit else {
                    throw RPCStatus(
                        .resourceExhausted,
                        "\(what) of \(length.grouped) bytes is over the limit of \(limit.grouped) bytes: send it in smaller parts"
                    )
                }
                message = ByteBufferAllocator().buffer(capacity: min(length, Self.reserve))
            }
            if var part = message {
                message = nil  // else the write below would copy
                let missing = length - part.readableBytes
                if var slice = data.readSlice(length: min(missing, data.readableBytes)) {
                    part.writeBuffer(&slice)
                }
                message = part
            }
            flush(to: &messages)
        }
        flush(to: &messages)
    }

    private mutating func flush(to messages: inout [ByteBuffer]) {
        guard let whole = message, whole.readableBytes == length else { return }
        messages.append(whole)
        message = nil
        prefix.removeAll(keepingCapacity: true)
    }

    /// At the end of the stream: throws if a message is cut short.
    package func finish() throws(RPCStatus) {
        if partial > 0 {
            throw RPCStatus(.internal, "\(what) ends after \(partial.grouped) bytes: the stream was cut")
        }
    }
}
