// What tests look at in a job's events.
import Messages

extension JobEvent {
    var isState: Bool { if case .state = content { true } else { false } }
    var isProgress: Bool { if case .progress = content { true } else { false } }
    /// nil: no part of the answer.
    var answer: AnswerPart? { if case .tokens(let part) = content { part } else { nil } }
    /// nil: no scores.
    var scores: Scores? { if case .scores(let scores) = content { scores } else { nil } }
}
