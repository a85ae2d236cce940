// Answers as bytes: each file of Tests/OpenAI/bytes is what one of these cases must give. The `openai` package reads the
// same files (Tests/OpenAI/run). OPENAI_BYTES names a folder to write them to.

import Foundation
import OpenAI
import Testing

private func request(_ form: CompletionRequest.Form, _ members: String = "") throws -> CompletionRequest {
    let input = form == .chat ? #""messages":[{"role":"user","content":"hi"}]"# : #""prompt":"hi""#
    return try CompletionRequest(form, json: Array(#"{"model":"smol",\#(input)\#(members)}"#.utf8))
}

private func identity(_ form: CompletionRequest.Form, _ members: String = "") throws -> ResponseIdentity {
    ResponseIdentity(try request(form, members), job: "j7", created: 1_700_000_000)
}

private func token(_ bytes: [UInt8], _ logprob: Float, _ others: [([UInt8], Float)] = []) -> TokenLogprob {
    TokenLogprob(
        chosen: .init(bytes: bytes, logprob: logprob), top: others.map { .init(bytes: $0.0, logprob: $0.1) })
}

/// "Hé 😀": the last character is two tokens, and the first of its alternatives is half a character too.
private let answer: [ResponseEvent] = [
    .started(fingerprint: "f00d"),
    .tokens(
        text: "Hé", ids: [40, 41],
        logprobs: [
            token(Array("H".utf8), -0.25, [(Array("H".utf8), -0.25), (Array("\"\n".utf8), -1.5)]),
            token(Array("é".utf8), -2, [([0xc3], -0.125), (Array("é".utf8), -2)]),
        ]),
    .tokens(text: "", ids: [42], logprobs: [token([0x20, 0xf0, 0x9f], -0.1, [([0x20, 0xf0, 0x9f], -0.1)])]),
    .tokens(text: " 😀", ids: [43], logprobs: [token([0x98, 0x80], -.infinity, [(Array("x".utf8), -0.5)])]),
    .ended(.length, Usage(promptTokens: 11, completionTokens: 4)),
]

private func streamed(_ identity: ResponseIdentity, _ events: [ResponseEvent]) -> [UInt8] {
    var stream = ResponseStream(identity)
    return events.flatMap { stream.receive($0) }
}

private func whole(_ identity: ResponseIdentity, _ events: [ResponseEvent]) throws -> Reply {
    var response = WholeResponse(identity)
    let replies = events.compactMap { response.receive($0) }
    #expect(replies.count == 1)
    return try #require(replies.last)
}

@Suite struct ResponseTests {
    private func compare(_ bytes: [UInt8], with name: String) throws {
        if let folder = ProcessInfo.processInfo.environment["OPENAI_BYTES"] {
            try Data(bytes).write(to: URL(filePath: folder).appending(path: name))
        }
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "OpenAI/bytes/\(name)")
        let expected = try String(contentsOf: file, encoding: .utf8)
        #expect(String(decoding: bytes, as: UTF8.self) == expected, "\(name)")
    }

    private let chatLogprobs = #","logprobs":true,"top_logprobs":2"#
    private let usage = #","stream":true,"stream_options":{"include_usage":true}"#

    @Test func wholeAnswers() throws {
        for (name, form, members) in [
            ("chat.json", .chat, ""), ("chat-logprobs.json", .chat, chatLogprobs),
            ("chat-token-ids.json", .chat, #","return_token_ids":true"#), ("text.json", .text, ""),
            ("text-logprobs.json", .text, #","logprobs":2"#),
        ] as [(String, CompletionRequest.Form, String)] {
            let reply = try whole(try identity(form, members), answer)
            #expect(reply.status == 200)
            try compare(reply.body, with: name)
        }
    }

    @Test func streams() throws {
        for (name, form, members) in [
            ("chat.sse", .chat, #","stream":true"#), ("chat-usage.sse", .chat, usage),
            ("chat-logprobs.sse", .chat, usage + chatLogprobs), ("text.sse", .text, #","stream":true"#),
            ("text-logprobs.sse", .text, usage + #","logprobs":2,"return_token_ids":true"#),
        ] as [(String, CompletionRequest.Form, String)] {
            try compare(streamed(try identity(form, members), answer), with: name)
        }
    }

    /// With lines that only keep a connection open, while nothing is said and between pieces.
    @Test func streamWithPauses() throws {
        var stream = ResponseStream(try identity(.chat, usage + chatLogprobs))
        var bytes: [UInt8] = []
        for event in answer.dropLast() { bytes += ResponseStream.keepAlive + stream.receive(event) }
        bytes += stream.receive(.ended(.stop, Usage(promptTokens: 11, completionTokens: 4)))
        try compare(bytes, with: "chat-pauses.sse")
    }

    /// The status is sent already when a job fails in the middle.
    @Test func failedStream() throws {
        let failure = APIError(.internalFault, "worker beta was lost")
        try compare(
            streamed(try identity(.chat), Array(answer.prefix(2)) + [.failed(failure)]),
            with: "chat-failed.sse")
        #expect(try whole(try identity(.chat), Array(answer.prefix(2)) + [.failed(failure)]) == failure.reply)
    }

    @Test func modelsAndErrors() throws {
        let model = ServedModel(id: "smol", created: 1_700_000_000, window: 8192)
        try compare(ServedModel.list([model]).body, with: "models.json")
        try compare(model.reply.body, with: "model.json")
        try compare(APIError.modelNotFound("gpt", serving: "smol").reply.body, with: "error-404.json")
        try compare(APIError.unauthenticated("the token is wrong").reply.body, with: "error-401.json")
        try compare(APIError(.exhausted, "1000 jobs are waiting").reply.body, with: "error-429.json")
        try compare(APIError(.internalFault, "the journal is broken").reply.body, with: "error-500.json")
        let error = #expect(throws: APIError.self) { try request(.chat, #","n":2"#) }
        try compare(try #require(error).reply.body, with: "error-400.json")
        let long = APIError.contextLength(promptTokens: 9000, reserved: 256, window: 8192, form: .text)
        try compare(long.reply.body, with: "error-400-context.json")
    }

    /// However the tokens were grouped, the stream says the same as the whole answer.
    @Test func streamAddsUpToTheWhole() throws {
        let bytes = streamed(try identity(.text, #","stream":true,"logprobs":1"#), answer)
        var text = ""
        var offsets: [Int] = []
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n\n").dropLast() {
            #expect(line.hasPrefix("data: "))
            let object =
                try JSONSerialization.jsonObject(with: Data(line.dropFirst(6).utf8)) as? [String: Any]
            let choice = try #require((object?["choices"] as? [[String: Any]])?.first)
            text += choice["text"] as? String ?? ""
            offsets += (choice["logprobs"] as? [String: Any])?["text_offset"] as? [Int] ?? []
        }
        #expect(text == "Hé 😀")
        // The last token goes on with the character at 3 that the one before began, after a space.
        #expect(offsets == [0, 1, 2, 3])
    }

    @Test func nothingAfterTheEnd() throws {
        var stream = ResponseStream(try identity(.chat))
        for event in answer { _ = stream.receive(event) }
        #expect(stream.isOver)
        for event in answer + [.failed(.invalid("late"))] { #expect(stream.receive(event) == []) }
        var response = WholeResponse(try identity(.chat))
        for event in answer { _ = response.receive(event) }
        for event in answer + [.failed(.invalid("late"))] { #expect(response.receive(event) == nil) }
    }

    /// Chat's first piece says who speaks, once, even if nobody said that the job has started.
    @Test func roleComesFirstAndOnce() throws {
        for events in [
            answer, Array(answer.dropFirst()), [answer[0], .started(fingerprint: "beef"), answer[4]],
            [answer[4]],
        ] {
            let text = String(decoding: streamed(try identity(.chat), events), as: UTF8.self)
            let pieces = text.split(separator: "\n\n")
            #expect(pieces[0].contains(#""delta":{"role":"assistant","content":"","refusal":null}"#))
            #expect(pieces.count { $0.contains("assistant") } == 1)
            #expect(text.hasSuffix("data: [DONE]\n\n"))
        }
    }

    /// A job that started on other workers in the meantime does not change what was said before.
    @Test func oneFingerprintInAStream() throws {
        let events = Array(answer.prefix(2)) + [.started(fingerprint: "beef"), answer[4]]
        let text = String(decoding: streamed(try identity(.chat), events), as: UTF8.self)
        #expect(text.contains(#""system_fingerprint":"f00d""#) && !text.contains("beef"))
        let unknown = String(decoding: streamed(try identity(.chat), [answer[4]]), as: UTF8.self)
        #expect(unknown.contains(#""system_fingerprint":null"#))
    }

    /// What the request did not ask for is not sent, and a piece that would say nothing neither.
    @Test func unwantedPartsAreLeftOut() throws {
        var stream = ResponseStream(try identity(.text))
        #expect(stream.receive(answer[0]) == [])
        #expect(stream.receive(answer[2]) == [])
        let bytes = String(decoding: stream.receive(answer[1]), as: UTF8.self)
        #expect(
            bytes.contains(#""logprobs":null"#) && !bytes.contains("token_ids") && !bytes.contains("usage"))
    }

    @Test func wholeAnswerIsLimited() throws {
        var response = WholeResponse(try identity(.chat), limit: 100)
        let piece = ResponseEvent.tokens(text: String(repeating: "x", count: 50), ids: [1])
        let replies = [response.receive(piece), response.receive(piece), response.receive(piece)]
        #expect(replies[0] == nil && replies[1] == nil)
        let reply = try #require(replies[2])
        #expect(
            reply.status == 400 && String(decoding: reply.body, as: UTF8.self).contains("response_too_large"))
        #expect(response.receive(answer[4]) == nil)
        var withLogprobs = WholeResponse(try identity(.chat, chatLogprobs), limit: 300)
        #expect(withLogprobs.receive(answer[1]) != nil)
    }
}
