// JSON of messages: read back by another parser, keys as in Proto/.

import Foundation
import JSONText
import Messages
import Protobuf
import Testing

@Suite struct MessageJSONTests {
    private func parsed(_ value: JSONValue) throws -> Any {
        try JSONSerialization.jsonObject(with: Data(value.text.utf8), options: [.fragmentsAllowed])
    }

    /// Every field of a job appears under the name that Proto/lariat.proto gives it.
    @Test func jobHasTheProtoNames() throws {
        var job = JobRecord()
        job.id = "j1"
        job.state = .prefill
        job.options = JobOptions()
        job.profile = ProfileMessage()
        job.shares = [.with { $0.steps = [RingStepRecord()] }]
        job.text = [0x68, 0xff]
        let object = try #require(try parsed(job.json) as? [String: Any])
        #expect(object["state"] as? String == "PREFILL")
        #expect(object["text"] as? String == "h\u{fffd}")
        let share = try #require((object["shares"] as? [[String: Any]])?.first)
        for (message, keys) in [
            ("Job", Set(object.keys)),
            ("JobOptions", Set((object["options"] as? [String: Any] ?? [:]).keys)),
            ("Profile", Set((object["profile"] as? [String: Any] ?? [:]).keys)),
            ("WorkerShare", Set(share.keys)),
            ("RingStep", Set((share["steps"] as? [[String: Any]] ?? [[:]])[0].keys)),
        ] {
            #expect(try keys == protoFields(of: message), "\(message)")
        }
    }

    /// What users and their programs read, of every message with all of its fields and with none of them. A line of
    /// message-json.txt changes only where Proto does.
    @Test func theTextOfEveryMessageStays() throws {
        var lines: [String] = []
        for type in everyMessage {
            guard let type = type as? any (PackedMessage & JSONRepresentable).Type,
                let sample = SampleMessages.all.first(where: { $0.name == type.schema.name })
            else { continue }
            lines.append("\(type.schema.name) \(try type.init(decoding: sample.bytes).json.text)")
            if let empty = try? type.init(decoding: []) {
                lines.append("\(type.schema.name) \(empty.json.text)")
            }
        }
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "message-json.txt")
        let expected = try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map(String.init)
        #expect(expected.count > 30)
        for line in lines where !expected.contains(line) { Issue.record("\(line)") }
        for line in expected where !lines.contains(line) { Issue.record("no message gives \(line)") }
    }

    /// States that people read are words, not the names of Proto/.
    @Test func statesAreWords() {
        #expect(Finish.allCases.map(\.word) == ["", "stop", "length", "end", "cancelled", "error"])
        #expect(
            MemberState.allCases.map(\.word) == [
                "", "ready", "busy", "draining", "aside", "lost", "refused",
            ])
        #expect(JobRecord.with { $0.finish = .length }.json.text.contains(#""finish":"length""#))
        #expect(MemberRecord.with { $0.state = .aside }.json.text.contains(#""state":"aside""#))
    }

    @Test func clusterHasTheProtoNames() throws {
        var state = ClusterState()
        state.members = [MemberRecord()]
        let object = try #require(try parsed(state.json) as? [String: Any])
        #expect(try Set(object.keys) == protoFields(of: "ClusterState"))
        let members = try #require(object["members"] as? [[String: Any]])
        #expect(try Set(members[0].keys) == protoFields(of: "Member"))
    }

    @Test func eventHoldsWhatItsKindNames() throws {
        var event = JobEvent(
            number: 7, .tokens(AnswerPart(text: Array("hi".utf8), tokens: [3, 4])))
        #expect(event.json.text == #"{"number":7,"kind":"TOKENS","text":"hi","tokens":[3,4]}"#)
        event.content = .scores(Scores(firstPosition: 1, nll: [0.25, .infinity]))
        #expect(
            event.json.text == #"{"number":7,"kind":"SCORES","first_position":1,"nll":[0.25,null]}"#)
    }

    /// The field names of a message in Proto/lariat.proto.
    private func protoFields(of message: String) throws -> Set<String> {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "Proto/lariat.proto"), encoding: .utf8)
        let body = try #require(
            text.split(separator: "message \(message) {").dropFirst().first?.split(separator: "\n}").first)
        var names: Set<String> = []
        for line in body.split(separator: "\n") {
            let words = line.trimmingCharacters(in: .whitespaces).split(separator: " ")
            if line.contains("no longer written") { continue }
            if let equals = words.firstIndex(of: "="), equals >= 2 { names.insert(String(words[equals - 1])) }
        }
        return names
    }
}
