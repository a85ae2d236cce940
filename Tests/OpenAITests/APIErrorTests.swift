// Errors: their form, their statuses, and which of the coordinator's become which.

import OpenAI
import Testing

@Suite struct APIErrorTests {
    @Test func errorHasOpenAIsForm() {
        let error = APIError.invalid("\"n\" is wrong", param: "n")
        #expect(
            String(decoding: error.reply.body, as: UTF8.self)
                == #"{"error":{"message":"\"n\" is wrong","type":"invalid_request_error","param":"n","code":null}}"#
        )
        #expect(error.reply.status == 400)
    }

    @Test(
        arguments: [
            (.invalid, 400, "invalid_request_error", nil),
            (.beyondWindow, 400, "invalid_request_error", "context_length_exceeded"),
            (.notFound, 404, "not_found_error", "not_found"),
            (.notPossible, 400, "invalid_request_error", "not_possible"),
            (.exhausted, 429, "rate_limit_error", "limit_reached"),
            (.unavailable, 503, "server_error", "unavailable"),
            (.internalFault, 500, "server_error", "internal_error"),
        ] as [(Refusal, Int, String, String?)])
    func refusals(refusal: Refusal, status: Int, type: String, code: String?) {
        let error = APIError(refusal, "because")
        #expect(error.status == status && error.kind.rawValue == type && error.code == code)
        #expect(error.message == "because")
    }

    @Test func contextLengthSaysHowMuch() {
        let error = APIError.contextLength(promptTokens: 3000, reserved: 256, window: 2048, form: .chat)
        #expect(error.status == 400 && error.code == "context_length_exceeded" && error.param == "messages")
        for number in ["3256", "3000", "256", "2048"] { #expect(error.message.contains(number)) }
        let guessed = APIError.contextLength(
            promptTokens: 3000, isAtLeast: true, reserved: 256, window: 2048, form: .text)
        #expect(guessed.message.contains("has at least 3256"), "\(guessed.message)")
        _ = APIError.contextLength(promptTokens: .max, reserved: .max, window: 1, form: .text)
    }

    @Test func aConversationThatCannotBeWritten() {
        let error = APIError.conversation("there is no template")
        #expect(error.status == 400 && error.param == "messages")
        #expect(error.message == "there is no template. /v1/completions takes plain text")
    }

    @Test func otherModel() throws {
        let model = ServedModel(id: "smol", created: 1, window: 8192)
        try model.check("smol")
        let error = #expect(throws: APIError.self) { try model.check(String(repeating: "x", count: 10_000)) }
        #expect(error?.status == 404 && error?.code == "model_not_found" && error?.param == "model")
        #expect((error?.message.count ?? .max) < 200)
    }
}
