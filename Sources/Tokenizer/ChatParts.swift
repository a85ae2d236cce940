// The part of a conversation before a place in it, or behind: for conversations whose beginning is kept.
import Jinja

extension Tokenizer {
    /// Which part of a conversation.
    public enum ChatPart: Sendable {
        case before
        /// Without a beginning token: something stands before it.
        case behind
    }

    /// The tokens of what a chat template writes before a marker in a message, or behind it; neither holds the marker.
    ///
    /// - Parameters:
    ///   - messages: one of them has the marker, once.
    ///   - marker: text that no template changes: letters and digits.
    ///   - template: instead of the model file's own.
    /// - Throws: as `encodeChat`, and where the template does not write the marker once.
    public func encodeChat(
        _ messages: [ChatMessage], _ part: ChatPart, marker: String, template: ChatTemplate? = nil,
        options: ChatOptions
    ) throws(TokenizerError) -> [TokenID] {
        guard let template = template ?? chatTemplate else {
            throw TokenizerError(
                kind: .noChatTemplate,
                problem: "The model file has no chat template (tokenizer.chat_template)")
        }
        let text = try render(messages, template, options)
        let places = Self.places(of: Array(marker.utf8), in: text.bytes)
        guard places.count == 1, let place = places.first else {
            throw TokenizerError(
                kind: .conversation,
                problem:
                    "\(template.origin) writes a message \(places.count) times, so that nothing can be asked behind it"
            )
        }
        switch part {
        case .before: return tokens(of: text.slice(0..<place.lowerBound), literals: template.literals)
        case .behind:
            return tokens(
                of: text.slice(place.upperBound..<text.bytes.count), literals: template.literals,
                isBeginning: false)
        }
    }

    /// Where a word stands in a text.
    private static func places(of word: [UInt8], in text: [UInt8]) -> [Range<Int>] {
        guard let first = word.first, text.count >= word.count else { return [] }
        var places: [Range<Int>] = []
        var at = 0
        while at <= text.count - word.count {
            if text[at] == first, text[at..<at + word.count].elementsEqual(word) {
                places.append(at..<at + word.count)
                at += word.count
            } else {
                at += 1
            }
        }
        return places
    }
}
