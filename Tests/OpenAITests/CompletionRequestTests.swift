// Requests as clients send them: what is read, and what is refused with which words.

import Foundation
import JSONText
import OpenAI
import Testing

private func chat(_ members: String = "") throws(APIError) -> CompletionRequest {
    try CompletionRequest(
        .chat,
        json: Array(
            #"{"model":"m","messages":[{"role":"user","content":"hi"}]\#(members.isEmpty ? "" : ",")\#(members)}"#
                .utf8))
}

private func text(_ members: String = "") throws(APIError) -> CompletionRequest {
    try CompletionRequest(
        .text, json: Array(#"{"model":"m","prompt":"hi"\#(members.isEmpty ? "" : ",")\#(members)}"#.utf8))
}

private func prompt(_ json: String) throws(APIError) -> CompletionRequest.Input {
    try CompletionRequest(.text, json: Array(#"{"model":"m","prompt":\#(json)}"#.utf8)).input
}

private func messages(_ json: String) throws(APIError) -> [CompletionRequest.Message] {
    let request = try CompletionRequest(.chat, json: Array(#"{"model":"m","messages":\#(json)}"#.utf8))
    guard case .messages(let messages) = request.input else { return [] }
    return messages
}

@Suite struct CompletionRequestTests {
    @Test func defaults() throws {
        for request in [try chat(), try text()] {
            #expect(request.model == "m")
            #expect(request.maxTokens == nil)
            #expect(request.sampling == CompletionRequest.Sampling())
            #expect(
                request.sampling.temperature == 1 && request.sampling.topP == 1 && request.sampling.seed == 0)
            #expect(
                request.stop == [] && !request.streams && !request.includesUsage && request.logprobs == nil)
            #expect(
                request.user == "" && !request.isStored && !request.ignoresEnd && !request.returnsTokenIDs)
            #expect(
                request.rope == nil && request.workers == 0 && !request.beyondWindow && request.context == "")
        }
        #expect(try text().input == .text("hi"))
    }

    @Test func everything() throws {
        let request = try chat(
            #"""
            "max_completion_tokens":7,"temperature":0.5,"top_p":0.25,"top_k":40,"min_p":0.125,
            "repetition_penalty":1.5,"repetition_window":128,"seed":42,"stop":["a","bé"],"stream":true,
            "stream_options":{"include_usage":true,"include_obfuscation":false},"logprobs":true,"top_logprobs":3,
            "user":"ann","store":true,"ignore_eos":true,"return_token_ids":true,"rope":"yarn:8","workers":3,
            "beyond_window":true,"context":"book"
            """#)
        #expect(request.form == .chat && request.maxTokens == 7)
        let sampling = request.sampling
        #expect(
            sampling.temperature == 0.5 && sampling.topK == 40 && sampling.topP == 0.25
                && sampling.minP == 0.125)
        #expect(sampling.repetitionPenalty == 1.5 && sampling.repetitionWindow == 128 && sampling.seed == 42)
        #expect(
            request.stop == ["a", "bé"] && request.streams && request.includesUsage && request.logprobs == 3)
        #expect(request.user == "ann" && request.isStored && request.ignoresEnd && request.returnsTokenIDs)
        #expect(
            request.rope == "yarn:8" && request.workers == 3 && request.beyondWindow
                && request.context == "book")
    }

    @Test(
        arguments: [
            (#""a\u00e9\ud83d\ude00\u0000""#, .text("aé😀\u{0}")), (#"["one"]"#, .text("one")),
            ("[1,2,4294967295]", .tokens([1, 2, .max])), ("[[5]]", .tokens([5])), ("[1.0]", .tokens([1])),
        ] as [(String, CompletionRequest.Input)])
    func prompts(json: String, expected: CompletionRequest.Input) throws {
        #expect(try prompt(json) == expected)
    }

    @Test(
        arguments: [
            (#""""#, "empty"), ("[]", "empty"), (#"[""]"#, "empty"), ("[[]]", "empty"), ("null", "missing"),
            (#"["a","b"]"#, "2 prompts"), ("[[1],[2]]", "2 prompts"), ("[1,-1]", "token ids"),
            ("[4294967296]", "token ids"), ("[1.5]", "token ids"), (#"[1,"a"]"#, "token ids"),
            ("7", "token ids"),
            ("true", "token ids"), ("{}", "token ids"), ("[null]", "token ids"), ("[[[1]]]", "token ids"),
            (#""\ud800""#, "Unicode"),
        ])
    func wrongPrompts(json: String, words: String) {
        let error = #expect(throws: APIError.self) { try prompt(json) }
        #expect(error?.status == 400 && error?.param == "prompt" && error?.kind == .invalidRequest)
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }

    @Test func conversations() throws {
        let read = try messages(
            #"""
            [{"role":"developer","content":"be brief","name":"x"},
             {"role":"user","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}]},
             {"role":"assistant","content":"","tool_calls":[],"refusal":null},
             {"role":"system","content":[]}]
            """#)
        #expect(read.map(\.role) == [.system, .user, .assistant, .system])
        #expect(read.map(\.content) == ["be brief", "one\ntwo", "", ""])
    }

    @Test(
        arguments: [
            ("[]", "messages", "1 to 10,000"), ("{}", "messages", "array"), ("null", "messages", "missing"),
            (#"["hi"]"#, "messages[0]", "object"), (#"[{"content":"a"}]"#, "messages[0].role", "missing"),
            (#"[{"role":"tool","content":"a"}]"#, "messages[0].role", "assistant"),
            (#"[{"role":7,"content":"a"}]"#, "messages[0].role", "text"),
            (#"[{"role":"user","content":"a"},{"role":"user"}]"#, "messages[1].content", "missing"),
            (#"[{"role":"user","content":3}]"#, "messages[0].content", "text parts"),
            (#"[{"role":"user","content":"\udc00"}]"#, "messages[0].content", "Unicode"),
            (#"[{"role":"user","content":["a"]}]"#, "messages[0].content[0]", "object"),
            (
                #"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url"}]}]"#,
                "messages[0].content[1].type", "only \"text\""
            ),
            (#"[{"role":"user","content":[{"type":"text"}]}]"#, "messages[0].content[0].text", "missing"),
            (
                #"[{"role":"assistant","content":"a","tool_calls":[{"id":"1"}]}]"#, "messages[0].tool_calls",
                "not supported"
            ),
        ])
    func wrongConversations(json: String, param: String, words: String) {
        let error = #expect(throws: APIError.self) { try messages(json) }
        #expect(error?.status == 400 && error?.param == param, "\(String(describing: error))")
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }

    @Test func tooManyMessages() throws {
        let message = #"{"role":"user","content":"a"}"#
        func many(_ count: Int) -> String {
            "[\(Array(repeating: message, count: count).joined(separator: ","))]"
        }
        #expect(try messages(many(10_000)).count == 10_000)
        let error = #expect(throws: APIError.self) { try messages(many(10_001)) }
        #expect(error?.message.contains("10,001") == true)
    }

    /// In both forms, each beside an otherwise good request.
    @Test(
        arguments: [
            (#""max_tokens":0"#, "max_tokens"), (#""max_tokens":4294967296"#, "max_tokens"),
            (#""max_tokens":1.5"#, "max_tokens"), (#""max_tokens":"5""#, "max_tokens"),
            (#""max_tokens":1e400"#, "max_tokens"), (#""temperature":-0.1"#, "temperature"),
            (#""temperature":2.1"#, "temperature"), (#""temperature":"hot""#, "temperature"),
            (#""temperature":true"#, "temperature"), (#""temperature":1e999"#, "temperature"),
            (#""top_p":1.01"#, "top_p"), (#""top_k":-2"#, "top_k"), (#""top_k":2147483648"#, "top_k"),
            (#""min_p":2"#, "min_p"), (#""repetition_penalty":101"#, "repetition_penalty"),
            (#""repetition_window":65537"#, "repetition_window"), (#""seed":1.5"#, "seed"),
            (#""seed":18446744073709551616"#, "seed"), (#""seed":"1""#, "seed"), (#""stop":"""#, "stop"),
            (#""stop":["a",""]"#, "stop"), (#""stop":[1]"#, "stop[0]"), (#""stop":{}"#, "stop"),
            (#""stop":"\#(String(repeating: "x", count: 1025))""#, "stop"),
            (#""stop":["\#(String(repeating: "x", count: 1025))"]"#, "stop"),
            (#""stop":[\#(Array(repeating: "\"x\"", count: 65).joined(separator: ","))]"#, "stop"),
            (#""stream":1"#, "stream"), (#""stream":"true""#, "stream"),
            (#""stream_options":{"include_usage":true}"#, "stream_options"),
            (#""stream":true,"stream_options":[]"#, "stream_options"),
            (#""stream":true,"stream_options":{"include_usage":1}"#, "stream_options.include_usage"),
            (#""user":5"#, "user"), (#""store":"yes""#, "store"), (#""workers":-1"#, "workers"),
            (#""rope":["yarn"]"#, "rope"), (#""rope":"\#(String(repeating: "x", count: 257))""#, "rope"),
            (#""beyond_window":0"#, "beyond_window"), (#""ignore_eos":null,"n":2"#, "n"),
            // What is not supported.
            (#""n":0"#, "n"), (#""n":"1""#, "n"), (#""presence_penalty":0.5"#, "presence_penalty"),
            (#""frequency_penalty":-1"#, "frequency_penalty"), (#""logit_bias":{"5":1}"#, "logit_bias"),
            (#""echo":true"#, "echo"), (#""response_format":{"type":"json_object"}"#, "response_format"),
            (#""response_format":{}"#, "response_format"), (#""modalities":["text","audio"]"#, "modalities"),
            (#""min_tokens":1"#, "min_tokens"), (#""stop_token_ids":[2]"#, "stop_token_ids"),
            (#""guided_json":{}"#, "guided_json"), (#""grammar":"root ::= x""#, "grammar"),
            (#""use_beam_search":true"#, "use_beam_search"),
            (#""skip_special_tokens":false"#, "skip_special_tokens"),
        ])
    func refusals(members: String, param: String) {
        for read in [chat, text] {
            let error = #expect(throws: APIError.self) { try read(members) }
            #expect(error?.status == 400 && error?.param == param, "\(members): \(String(describing: error))")
            #expect(error?.message.contains("\"\(param)\"") == true)
        }
    }

    @Test(
        arguments: [
            (#""logprobs":1"#, "logprobs"), (#""top_logprobs":1"#, "top_logprobs"),
            (#""logprobs":false,"top_logprobs":2"#, "top_logprobs"),
            (#""logprobs":true,"top_logprobs":21"#, "top_logprobs"),
            (#""max_tokens":5,"max_completion_tokens":6"#, "max_tokens"),
            (#""tools":[{"type":"function"}]"#, "tools"), (#""tool_choice":"required""#, "tool_choice"),
            (#""tool_choice":{"type":"function"}"#, "tool_choice"), (#""functions":[{}]"#, "functions"),
            (#""audio":{}"#, "audio"), (#""web_search_options":{}"#, "web_search_options"),
        ])
    func chatRefusals(members: String, param: String) {
        let error = #expect(throws: APIError.self) { try chat(members) }
        #expect(error?.status == 400 && error?.param == param, "\(String(describing: error))")
    }

    @Test(
        arguments: [
            (#""logprobs":6"#, "logprobs"), (#""logprobs":true"#, "logprobs"), (#""best_of":2"#, "best_of"),
            (#""suffix":"end""#, "suffix"),
        ])
    func textRefusals(members: String, param: String) {
        let error = #expect(throws: APIError.self) { try text(members) }
        #expect(error?.status == 400 && error?.param == param, "\(String(describing: error))")
    }

    /// What asks for nothing, or cannot change the answer.
    @Test(
        arguments: [
            #""n":1,"presence_penalty":0,"frequency_penalty":0.0,"logit_bias":{},"echo":false"#,
            #""response_format":{"type":"text"},"modalities":["text"],"metadata":{"a":"b"}"#,
            #""service_tier":"auto","reasoning_effort":"none","parallel_tool_calls":true,"verbosity":"medium""#,
            #""prediction":{"type":"content","content":"x"},"safety_identifier":"u1","cache_prompt":true"#,
            #""mirostat":0,"mirostat_tau":5.0,"dry_multiplier":0.0,"dry_base":1.75,"priority":3,"lora":[]"#,
            #""no_such_member":null,"max_token":null"#,
            #""n":null,"stop":null,"seed":null,"max_tokens":null,"temperature":null,"stream":null,"tools":null"#,
            #""stop":[],"min_tokens":0,"skip_special_tokens":true,"stream_options":null,"user":null"#,
        ])
    func harmless(members: String) throws {
        #expect(try chat(members) == chat())
        #expect(try text(members) == text())
    }

    @Test func harmlessInOneForm() throws {
        #expect(try chat(#""tools":[],"tool_choice":"none","functions":[],"top_logprobs":0"#) == chat())
        #expect(try text(#""best_of":1,"suffix":"","tools":[],"top_logprobs":null"#) == text())
        #expect(try chat(#""max_tokens":5,"max_completion_tokens":5"#).maxTokens == 5)
    }

    /// A member that nobody knows is named, with the one that may be meant.
    @Test(
        arguments: [
            (#""max_token":5"#, "max_token", "did you mean \"max_tokens\""),
            (#""temprature":0"#, "temprature", "did you mean \"temperature\""),
            (#""repitition_penalty":1.1"#, "repitition_penalty", "did you mean \"repetition_penalty\""),
            (#""n_predict":5"#, "n_predict", "is called \"max_tokens\" here"),
            (#""max_new_tokens":5"#, "max_new_tokens", "is called \"max_tokens\" here"),
            (#""repeat_penalty":1.1"#, "repeat_penalty", "is called \"repetition_penalty\" here"),
            (#""reasoning_effort":"high""#, "reasoning_effort", "only \"none\" is"),
            (#""verbosity":"low""#, "verbosity", "only \"medium\" is"),
            (#""samplers":["top_k"]"#, "samplers", "the order is"),
            (#""chat_template_kwargs":{"enable_thinking":false}"#, "chat_template_kwargs", "leave it out"),
            (#""zzz":1,"an_option_of_next_year":{"deep":[[[]]]}"#, "an_option_of_next_year", "not a member"),
            (
                #""stream":true,"stream_options":{"include_use":true}"#, "stream_options.include_use",
                "include_usage"
            ),
            (#""response_format":{"type":"text","schema":{}}"#, "response_format.schema", "not a member"),
        ])
    func unknownMembers(members: String, param: String, words: String) {
        for read in [chat, text] {
            let error = #expect(throws: APIError.self) { try read(members) }
            #expect(error?.status == 400 && error?.param == param, "\(String(describing: error))")
            #expect(error?.message.contains("\"\(param)\"") == true)
            #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
            #expect(["unknown_parameter", "unsupported_parameter"].contains(error?.code))
        }
    }

    @Test(
        arguments: [
            (
                #"[{"role":"user","content":"a","contnt":"b"}]"#, "messages[0].contnt",
                "did you mean \"content\""
            ),
            (
                #"[{"role":"assistant","content":"a","reasoning_content":"b"}]"#,
                "messages[0].reasoning_content", "leave"
            ),
            (#"[{"role":"user","content":"a","tool_call_id":"b"}]"#, "messages[0].tool_call_id", "no tools"),
            (
                #"[{"role":"user","content":[{"type":"text","text":"a","image_url":{}}]}]"#,
                "messages[0].content[0].image_url", "not a member"
            ),
        ])
    func unknownMembersOfMessages(json: String, param: String, words: String) {
        let error = #expect(throws: APIError.self) { try messages(json) }
        #expect(error?.status == 400 && error?.param == param, "\(String(describing: error))")
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }

    /// What one form reads and the other does not, in words that say which.
    @Test func membersOfTheOtherForm() {
        let one = #expect(throws: APIError.self) { try text(#""max_completion_tokens":5"#) }
        #expect(one?.message.contains("/v1/chat/completions has it") == true, "\(one?.message ?? "")")
        let other = #expect(throws: APIError.self) { try chat(#""prompt":"hi""#) }
        #expect(other?.message.contains("/v1/completions has it") == true, "\(other?.message ?? "")")
    }

    /// An answer that comes back as part of a conversation is what the `openai` client keeps of it.
    @Test func anAnswerMayComeBack() throws {
        let read = try messages(
            #"""
            [{"role":"user","content":"a"},{"role":"assistant","content":"b","refusal":null,"annotations":[],
              "audio":null,"function_call":null,"tool_calls":null},
             {"role":"user","content":[{"type":"text","text":"c","cache_control":{"type":"ephemeral"}}]}]
            """#)
        #expect(read.map(\.content) == ["a", "b", "c"])
    }

    /// However many members there are, and however long their names.
    @Test func manyUnknownMembers() {
        let many = (0..<100_000).map { "\"x\($0)\":1" }.joined(separator: ",")
        let error = #expect(throws: APIError.self) { try text(many) }
        #expect(error?.param == "x0")
        let long = #expect(throws: APIError.self) {
            try text("\"\(String(repeating: "y", count: 1_000_000))\":1")
        }
        #expect((long?.message.utf8.count ?? .max) < 200 && (long?.param?.utf8.count ?? .max) < 100)
    }

    @Test(
        arguments: [
            (#""seed":1"#, 1), (#""seed":18446744073709551615"#, .max), (#""seed":-1"#, .max),
            (#""seed":-9223372036854775808"#, 1 << 63),
        ] as [(String, UInt64)])
    func seeds(members: String, seed: UInt64) throws { #expect(try text(members).sampling.seed == seed) }

    /// To the coordinator 0 is "choose one", but a client that says 0 wants the same answer each time.
    @Test func seedOfZeroIsASeed() throws { #expect(try text(#""seed":0"#).sampling.seed != 0) }

    /// To the coordinator 0 is "all tokens", to clients "as few as possible".
    @Test(arguments: ["0", "0.0", "1e-300"]) func topPOfZeroIsSmall(value: String) throws {
        let topP = try text(#""top_p":\#(value)"#).sampling.topP
        #expect(topP > 0 && topP < 1e-30)
    }

    @Test func longUserIsCutBetweenCharacters() throws {
        #expect(
            try text(#""user":"\#(String(repeating: "é", count: 200))""#).user
                == String(repeating: "é", count: 128))
        #expect(try text(#""user":"x\#(String(repeating: "é", count: 200))""#).user.utf8.count == 255)
        #expect(try text(#""user":"\#(String(repeating: "x", count: 256))""#).user.utf8.count == 256)
    }

    @Test func stopsUpToTheLimit() throws {
        let list = Array(repeating: "\"\(String(repeating: "x", count: 1024))\"", count: 64).joined(
            separator: ",")
        #expect(try text("\"stop\":[\(list)]").stop.count == 64)
    }

    @Test(arguments: [(#"{"prompt":"hi"}"#, "model"), (#"{"model":null,"prompt":"hi"}"#, "model")])
    func missing(json: String, param: String) {
        let error = #expect(throws: APIError.self) { try CompletionRequest(.text, json: Array(json.utf8)) }
        #expect(error?.param == param && error?.code == "missing_required_parameter")
    }

    @Test(
        arguments: [
            "", " ", "{", "[]", "7", "\"text\"", "null", "{}}", "{'model':'m'}",
            #"{"model":"m","prompt":"hi",}"#,
            #"{"model":"m","prompt":"hi"} x"#, #"{"model":"m" "prompt":"hi"}"#, #"{"model":"m","prompt":"hi"#,
            #"{"model":"m","prompt":"hi","\ud800":1}"#, "\u{0}", #"{"model":"m","prompt":hi}"#,
        ])
    func notARequest(json: String) {
        let error = #expect(throws: APIError.self) { try CompletionRequest(.text, json: Array(json.utf8)) }
        #expect(error?.status == 400 && error?.kind == .invalidRequest)
    }

    @Test func bytesThatAreNotUTF8() {
        for bad: [UInt8] in [
            [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82],
        ] {
            let body = Array(#"{"model":"m","prompt":""#.utf8) + bad + Array(#""}"#.utf8)
            let error = #expect(throws: APIError.self) { try CompletionRequest(.text, json: body) }
            #expect(error?.param == "prompt")
        }
    }

    /// Nothing of this may crash, hang or take memory out of proportion.
    @Test(
        arguments: [
            String(repeating: "[", count: 100_000), String(repeating: #"{"a":"#, count: 100_000),
            #"{"model":"m","prompt":\#(String(repeating: "[", count: 100_000))\#(String(repeating: "]", count: 100_000))}"#,
            #"{"model":"m","prompt":"hi","x":\#(String(repeating: "[", count: 65))\#(String(repeating: "]", count: 65))}"#,
            #"{"model":"m","prompt":"hi","temperature":\#(String(repeating: "1", count: 1_000_000))}"#,
            #"{"model":"m","prompt":"hi","max_tokens":1\#(String(repeating: "0", count: 1_000_000))}"#,
            #"{"model":"m","prompt":"hi","seed":1e\#(String(repeating: "9", count: 1_000_000))}"#,
            #"{"model":"\#(String(repeating: "m", count: 1_000_000))","prompt":"hi"}"#,
        ])
    func hostile(json: String) {
        let error = #expect(throws: APIError.self) { try CompletionRequest(.text, json: Array(json.utf8)) }
        #expect(error?.status == 400)
        #expect((error?.message.utf8.count ?? .max) < 500)
    }

    @Test func valuesAreLimited() throws {
        let limits = JSONLimits(depth: 8, values: 1000)
        func request(_ count: Int) throws(APIError) -> CompletionRequest {
            let list = Array(repeating: "1", count: count).joined(separator: ",")
            return try CompletionRequest(
                .text, json: Array(#"{"model":"m","prompt":[\#(list)]}"#.utf8), limits: limits)
        }
        #expect(try request(900).input == .tokens(Array(repeating: 1, count: 900)))
        let error = #expect(throws: APIError.self) { try request(1000) }
        #expect(error?.message.contains("more values") == true)
    }

    /// A member twice: the first counts, on every machine.
    @Test func twice() throws { #expect(try text(#""prompt":"ho""#).input == .text("hi")) }

    /// Noise put into a good request: read or refused, never a crash.
    @Test func noise() {
        var generator = SystemRandomNumberGenerator()
        let good = Array(
            #"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"\u00e9"}]}],"stop":["a"],"seed":-1e2}"#
                .utf8)
        for _ in 0..<2000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let at = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[at] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes.remove(at: at)
                default: bytes.insert(contentsOf: good[at % good.count..<min(at + 9, good.count)], at: at)
                }
            }
            do {
                let request = try CompletionRequest(.chat, json: bytes)
                #expect(request.model.utf8.count <= 256)
            } catch {
                #expect(error.status == 400)
            }
        }
    }
}
