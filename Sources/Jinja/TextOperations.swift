// Rendering: what filters and methods do with texts. Each keeps apart which bytes are foreign.

extension Interpreter {
    func strip(_ text: JinjaText, _ characters: JinjaText?, start: Bool = true, end: Bool = true) -> JinjaText
    {
        let wanted = characters.map { Set($0.string.unicodeScalars) }
        func goes(_ scalar: Unicode.Scalar) -> Bool { wanted?.contains(scalar) ?? isBlank(scalar) }
        var first = 0
        var last = text.bytes.count
        while start, first < last {
            let next = text.offset(after: first)
            guard goes(text.scalar(first, next)) else { break }
            first = next
        }
        while end, last > first {
            let previous = text.offset(before: last)
            guard goes(text.scalar(previous, last)) else { break }
            last = previous
        }
        return text.slice(first..<last)
    }

    /// Every `old` replaced by `new`, `most` times at most; less than 0: however often.
    func replace(_ text: JinjaText, _ old: JinjaText, _ new: JinjaText, _ most: Int) throws(JinjaError)
        -> JinjaText
    {
        guard !old.isEmpty else {
            throw fail(.unsupported, "replace with nothing to look for is not supported")
        }
        var result = JinjaText()
        var at = 0
        var times = 0
        while most < 0 || times < most, let place = text.find(old, from: at) {
            try charge(place - at + new.bytes.count)
            result.append(text, at..<place)
            result.append(new)
            at = place + old.bytes.count
            times += 1
        }
        try charge(text.bytes.count - at)
        result.append(text, at..<text.bytes.count)
        return result
    }

    func split(_ text: JinjaText, _ separator: JinjaText?, _ most: Int, fromEnd: Bool) throws(JinjaError)
        -> [JinjaText]
    {
        guard separator?.isEmpty != true else { throw fail(.evaluation, "split needs something to split at") }
        var gaps: [Range<Int>]
        if let separator { gaps = try places(of: separator, in: text) } else { gaps = try blanks(in: text) }
        var whole = 0..<text.bytes.count
        if separator == nil {
            // White space at both ends separates nothing.
            if let first = gaps.first, first.lowerBound == 0 {
                whole = first.upperBound..<whole.upperBound
                gaps.removeFirst()
            }
            if let last = gaps.last, last.upperBound == whole.upperBound {
                whole = whole.lowerBound..<last.lowerBound
                gaps.removeLast()
            }
            if whole.isEmpty { return [] }
        }
        if most >= 0, gaps.count >= most {
            gaps = Array(fromEnd ? gaps.suffix(most) : gaps.prefix(most))
            // What is left over keeps the white space at its far end.
            if separator == nil {
                whole = fromEnd ? 0..<whole.upperBound : whole.lowerBound..<text.bytes.count
            }
        }
        try charge(32 * gaps.count + text.bytes.count)
        var result: [JinjaText] = []
        var at = whole.lowerBound
        for gap in gaps {
            result.append(text.slice(at..<gap.lowerBound))
            at = gap.upperBound
        }
        result.append(text.slice(at..<whole.upperBound))
        return result
    }

    private func places(of part: JinjaText, in text: JinjaText) throws(JinjaError) -> [Range<Int>] {
        var result: [Range<Int>] = []
        var at = 0
        while let place = text.find(part, from: at) {
            at = place + part.bytes.count
            result.append(place..<at)
        }
        try charge(16 * result.count)
        return result
    }

    private func blanks(in text: JinjaText) throws(JinjaError) -> [Range<Int>] {
        var result: [Range<Int>] = []
        var at = 0
        while at < text.bytes.count {
            let end = text.offset(after: at)
            if isBlank(text.scalar(at, end)) {
                if let last = result.last, last.upperBound == at {
                    result[result.count - 1] = last.lowerBound..<end
                } else {
                    result.append(at..<end)
                }
            }
            at = end
        }
        try charge(16 * result.count)
        return result
    }

    /// Python's `splitlines`, without the ends of lines.
    func lines(_ text: JinjaText) -> [JinjaText] {
        var result: [JinjaText] = []
        var start = 0
        var at = 0
        while at < text.bytes.count {
            let end = text.offset(after: at)
            switch text.scalar(at, end) {
            case "\n", "\r", "\u{B}", "\u{C}", "\u{1C}", "\u{1D}", "\u{1E}", "\u{85}", "\u{2028}", "\u{2029}":
                result.append(text.slice(start..<at))
                let isPair = text.bytes[at] == 0x0D && end < text.bytes.count && text.bytes[end] == 0x0A
                at = isPair ? end + 1 : end
                start = at
            default: at = end
            }
        }
        if start < text.bytes.count { result.append(text.slice(start..<text.bytes.count)) }
        return result
    }

    /// - Parameter strict: whether all items must be texts.
    func join(_ items: [Value], _ separator: JinjaText, strict: Bool) throws(JinjaError) -> JinjaText {
        var result = JinjaText()
        for (index, item) in items.enumerated() {
            if strict {
                guard case .text = item else {
                    throw fail(.evaluation, "join needs texts, not \(item.kindName)")
                }
            }
            let text = try printed(item)
            try charge(text.bytes.count + separator.bytes.count)
            if index > 0 { result.append(separator) }
            result.append(text)
        }
        return result
    }

    func capitalised(_ text: JinjaText) -> JinjaText {
        var isFirst = true
        return text.mapCharacters { scalar in
            defer { isFirst = false }
            return isFirst ? scalar.properties.titlecaseMapping : scalar.properties.lowercaseMapping
        }
    }

    /// The first character behind each separator in upper case, others in lower case.
    func titled(_ text: JinjaText, _ separates: (Unicode.Scalar) -> Bool) -> JinjaText {
        var begins = true
        return text.mapCharacters { scalar in
            defer { begins = separates(scalar) }
            return begins ? scalar.properties.titlecaseMapping : scalar.properties.lowercaseMapping
        }
    }

    /// Jinja's filter `indent`.
    func indent(_ text: JinjaText, _ margin: JinjaText, first: Bool, blank: Bool) throws(JinjaError)
        -> JinjaText
    {
        var ended = text
        ended.append(JinjaText(own: "\n"))
        let lines = lines(ended)
        try charge(text.bytes.count + lines.count * (margin.bytes.count + 32))
        var result = first ? margin : JinjaText()
        for (index, line) in lines.enumerated() {
            if index > 0 {
                result.append(JinjaText(own: "\n"))
                if blank || !line.isEmpty { result.append(margin) }
            }
            result.append(line)
        }
        return result
    }
}
