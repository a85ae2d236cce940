// Admission, the queue and plans: what is refused, in which words, and who computes what.
import Coordinator
import Messages
import Protobuf
import RingAttention
import Testing

@Suite struct AdmissionTests {
    private let admission = Admission(model: ByteModel())

    private func refusal(
        _ count: Int, members: [MemberRecord] = [], token: UInt32 = 1,
        _ set: (inout JobOptions) -> Void = { _ in }
    ) -> String {
        var options = JobOptions()
        set(&options)
        do throws(CoordinatorError) {
            _ = try admission.admit(
                options, prompt: [UInt32](repeating: token, count: count), members: members, seed: 1)
            return ""
        } catch { return error.message }
    }

    @Test func theWindow() {
        #expect(refusal(744) == "")
        #expect(
            refusal(745)
                == "the prompt has 745 tokens and 256 are reserved for the answer, 1 more than the window of bytes, "
                + "1,000: shorten the prompt, set --max-tokens to 255 or less, extend the window with --rope, or allow it "
                + "with --beyond-window (answers get worse there unless the model was extended)")
        #expect(!refusal(1500).contains("--max-tokens"))
        #expect(refusal(1500) { $0.beyondWindow = true } == "")
        #expect(refusal(1000) { $0.kind = .score } == "")
        #expect(refusal(1001) { $0.kind = .score }.contains("1 more than the window"))
        #expect(refusal(10) { $0.maxTokens = .max }.contains("limit"))
    }

    /// A model with a sliding window is exact up to it; the last token of an answer needs no place in it.
    @Test func theSlidingWindow() {
        var model = ByteModel()
        model.slidingWindow = 100
        func refusal(_ count: Int, _ set: (inout JobOptions) -> Void) -> String {
            var options = JobOptions()
            set(&options)
            do throws(CoordinatorError) {
                _ = try Admission(model: model).admit(
                    options, prompt: [UInt32](repeating: 1, count: count), members: [], seed: 1)
                return ""
            } catch { return error.kind == .beyondWindow ? error.message : "of another kind" }
        }
        #expect(refusal(60) { $0.maxTokens = 41 } == "")
        #expect(refusal(100) { $0.kind = .score } == "")
        let tooLong = refusal(60) {
            $0.maxTokens = 42
            $0.beyondWindow = true
        }
        #expect(
            tooLong.contains("sliding window of 100 tokens") && tooLong.contains("this job has 101"),
            "\(tooLong)")
        #expect(refusal(101) { $0.kind = .score }.contains("this job has 101"))
    }

    @Test func aRotaryMethodBringsItsOwnWindow() {
        #expect(refusal(1500) { $0.rope = .with { $0.name = "yarn:2" } } == "")
        let tooLong = refusal(2500) { $0.rope = .with { $0.name = "yarn:2" } }
        #expect(
            tooLong.contains("756 more than the window of the rotary table \"yarn:2\", 2,000"), "\(tooLong)")
        #expect(
            refusal(10) { $0.rope = .with { $0.tables = Array(repeating: RotaryTableMessage(), count: 65) } }
                == "rotary tables: 65; the limit is 64")
        #expect(
            refusal(10) {
                $0.rope = .with { $0.tables = [.with { $0.factors = Array(repeating: 1, count: 2049) }] }
            } == "factors of a rotary table: 2,049; the limit is 2,048")
    }

    @Test func memory() {
        #expect(refusal(700) == "", "no workers is no reason to refuse")
        let small = [member("a", memory: 300_000), member("b", memory: 300_000)]
        #expect(
            refusal(700, members: small)
                == "the keys and values of 956 tokens need 933.6 KiB over 2 workers; the cluster has 585.9 KiB, enough "
                + "for 600 tokens. Start more workers, give them more memory, or submit a shorter prompt.")
        #expect(refusal(344, members: small) == "")
    }

    @Test func tokensAndOptions() {
        #expect(
            refusal(3, token: 256)
                == "token id 256 at index 0 is out of range: bytes has 256 tokens, 0 to 255")
        #expect(refusal(0).contains("empty"))
        #expect(refusal(1) { $0.kind = .score }.contains("at least two tokens"))
        #expect(refusal(3) { $0.sampling = .with { $0.temperature = -1 } }.contains("temperature is -1.0"))
        #expect(refusal(3) { $0.sampling = .with { $0.topP = .nan } }.contains("top-p"))
        #expect(refusal(3) { $0.stop = [""] }.contains("stop string"))
        #expect(refusal(3) { $0.stop = Array(repeating: "a", count: 65) }.contains("limit is 64"))
    }

    /// Of what people read; what they are to type has its digits together.
    @Test(arguments: [false, true]) func figuresOfFourDigitsAreGrouped(isScore: Bool) {
        let kind: JobKind = isScore ? .score : .generate
        var texts = [
            refusal(45_000) { $0.kind = kind },
            refusal(3) { $0.system = String(repeating: "x", count: 1_048_577) },
            refusal(45_000, members: [member("a", memory: 1_500_000)]) {
                $0.kind = kind
                $0.beyondWindow = true
            },
        ]
        if !isScore { texts.append(refusal(3) { $0.maxTokens = 2_147_483_647 }) }
        for text in texts {
            #expect(text.contains(/\d,\d{3}/) && !text.contains(/\d{4}/), "\(text)")
        }
        #expect(
            WindowExcess(prompt: PromptLength(tokens: 1200), reserved: 9000, window: 8192, of: "m")
                .commandLineText
                .hasPrefix(
                    "the prompt has 1,200 tokens and 9,000 are reserved for the answer, 2,008 more than the window of m, "
                        + "8,192: shorten the prompt, set --max-tokens to 6992 or less, "))
    }

    @Test func defaultsAreRecorded() throws {
        let admitted = try admission.admit(
            .with { $0.sampling = .with { $0.temperature = 1 } }, prompt: [1], members: [], seed: 77)
        #expect(admitted.options.kind == .generate && admitted.options.maxTokens == 256)
        #expect(admitted.options.sampling?.seed == 77)
        #expect(admitted.kvBytes == 257_000)
    }

    @Test func theQueueIsBoundedAndInOrder() throws {
        var queue = JobQueue(limit: 2)
        try queue.reserve()
        try queue.reserve()
        #expect(throws: CoordinatorError.self) { try queue.reserve() }
        // The second is written down first.
        queue.enqueue("j2", sequence: 2)
        queue.enqueue("j1", sequence: 1)
        #expect(queue.ids == ["j1", "j2"])
        #expect(queue.position("j2") == 2 && queue.position("j9") == 0)
        #expect(queue.remove("j1") && !queue.remove("j1"))
        try queue.reserve()
        queue.release()
        #expect(queue.count == 1 && queue.first == "j2")
    }

    @Test func plansCoverEveryTokenOnce() throws {
        let members = [member("a", threads: 4), member("b"), member("c", threads: 2)]
        let prompt = (0..<997).map { UInt32($0 % 256) }
        let plan = try JobPlan(
            prompt: 997, reserved: 10, members: members, admission: admission)
        let job = JobRecord.with {
            $0.id = "j1"
            $0.options = .with {
                $0.kind = .score
                $0.sampling = .with {
                    $0.repetitionPenalty = 1.1
                    $0.repetitionWindow = 5
                }
            }
        }
        var seen: [UInt32] = []
        for rank in 0..<3 {
            let message = plan.message(
                rank: rank, job: job, prompt: prompt, profile: ProfileMessage(), epoch: 9, stallSeconds: 5,
                runKey: "0123456789abcdef")
            #expect(message.recent == (rank == plan.leader ? Array(prompt.suffix(5)) : []))
            let parts = plan.tokenParts(rank: rank, prompt: prompt, kind: .score)
            let tokens = parts.flatMap(\.tokens)
            #expect(tokens.count == Int(message.tokenCount) && parts.flatMap(\.next).count == tokens.count)
            // As the worker finds it from what it is told.
            let layout = try Layout(
                stripeTokens: Int(message.stripeTokens), weights: message.members.map { Int($0.weight) })
            let positions = layout.positions(of: rank, in: 997).flatMap { Array($0) }
            #expect(tokens == positions.map { prompt[$0] })
            seen += positions.map { UInt32($0) }
        }
        #expect(seen.sorted() == Array(0..<997))
        #expect(plan.shares.map(\.tokens).max() == plan.shares[0].tokens)
        // The last token of all has nothing after it.
        let last = plan.tokenParts(rank: plan.leader, prompt: prompt, kind: .score).flatMap(\.next).last
        #expect(last == 0)
    }

    @Test func partsAreCheckedAsTheyCome() throws {
        var parts = PromptParts(limit: 10)
        #expect(throws: CoordinatorError.self) { try parts.add(.with { $0.text = [65] }) }
        try parts.add(.with { $0.options = JobOptions() })
        try parts.add(.with { $0.text = Array("häß".utf8.prefix(2)) })
        try parts.add(.with { $0.text = Array("häß".utf8.dropFirst(2)) })
        #expect(throws: CoordinatorError.self) { try parts.add(.with { $0.options = JobOptions() }) }
        #expect(try parts.whole(hasChatTemplate: false).prompt == .text("häß"))
        #expect(throws: CoordinatorError.self) {
            try parts.add(.with { $0.text = [UInt8](repeating: 65, count: 6) })
        }
        #expect(throws: CoordinatorError.self) { try parts.add(.with { $0.tokens = [1] }) }
        var broken = PromptParts(limit: 10)
        try broken.add(
            .with {
                $0.options = JobOptions()
                $0.text = [0xff]
            })
        #expect(throws: CoordinatorError(.invalid, "the prompt is not UTF-8 text")) {
            try broken.whole(hasChatTemplate: false)
        }
    }

    /// A text becomes a user's message where the model has a template and the client does not mind; the options say so.
    @Test(arguments: [
        (false, false, true, "Hi", false), (false, true, true, "<|Hi>", true),
        (false, true, false, "Hi", false), (true, false, true, "<|Hi>", true),
    ])
    func chatWhereThereIsATemplate(
        chat: Bool, ifTemplate: Bool, has: Bool, text: String, applied: Bool
    ) throws {
        var parts = PromptParts(limit: 100)
        try parts.add(
            .with {
                $0.options = .with {
                    $0.chat = chat
                    $0.chatIfTemplate = ifTemplate
                }
                $0.text = Array("Hi".utf8)
            })
        var model = ByteModel()
        model.hasChatTemplate = has
        let (options, prompt) = try parts.whole(hasChatTemplate: has)
        let encoder = PromptEncoder(admission: Admission(model: model), members: [])
        #expect(encoder.hasChatTemplate == has)
        let tokens = try encoder.tokens(of: prompt, options)
        #expect(tokens == text.utf8.map { UInt32($0) })
        #expect(options.chat == applied)
    }

    @Test(arguments: ["", " ", "\n \t\u{2003}"]) func aPromptOfWhiteSpaceIsRefused(text: String) throws {
        var parts = PromptParts(limit: 100)
        try parts.add(
            .with {
                $0.options = JobOptions()
                $0.text = Array(text.utf8)
            })
        #expect(throws: CoordinatorError.self) { try parts.whole(hasChatTemplate: true) }
    }

    /// A conversation in pieces: a turn may be cut anywhere, its last is the text.
    @Test func whatWasSaidBeforeStandsBeforeTheText() throws {
        func turn(_ role: ChatTurn.Role, _ content: some Sequence<UInt8>) -> ChatTurn {
            .with {
                $0.role = role
                $0.content = Array(content)
            }
        }
        var parts = PromptParts(limit: 1000)
        #expect(throws: CoordinatorError.self) {
            var parts = parts
            try parts.add(
                .with {
                    $0.options = JobOptions()
                    $0.turns = [turn(.unspecified, "x".utf8)]
                })
        }
        try parts.add(
            .with {
                $0.options = .with {
                    $0.chat = true
                    $0.system = "Be brief."
                }
                $0.turns = [turn(.user, "Hi".utf8), turn(.assistant, "Grüße".utf8.prefix(3))]
            })
        try parts.add(
            .with {
                $0.turns = [turn(.unspecified, "Grüße".utf8.dropFirst(3))]
                $0.text = Array("And now?".utf8)
            })
        #expect(
            try parts.whole(hasChatTemplate: true).prompt
                == .conversation([
                    ConversationTurn(role: .system, content: "Be brief."),
                    ConversationTurn(role: .user, content: "Hi"),
                    ConversationTurn(role: .assistant, content: "Grüße"),
                    ConversationTurn(role: .user, content: "And now?"),
                ]))
        // They count towards the limit, also when they are empty.
        let many = SubmitPart.with { $0.turns = Array(repeating: turn(.user, []), count: 20) }
        #expect(throws: CoordinatorError.self) { try parts.add(many) }
        #expect(throws: CoordinatorError.self) { try parts.add(.with { $0.tokens = [1] }) }
        #expect(throws: CoordinatorError.self) { try parts.add(.with { $0.turns = [turn(.unknown, [])] }) }
    }

    @Test func aConversationNeedsTheChatTemplate() throws {
        var parts = PromptParts(limit: 1000)
        try parts.add(
            .with {
                $0.options = JobOptions()
                $0.text = Array("Hi".utf8)
                $0.turns = [
                    .with {
                        $0.role = .user
                        $0.content = [0xff]
                    }
                ]
            })
        #expect(throws: CoordinatorError.self) { try parts.whole(hasChatTemplate: true) }
    }
}
