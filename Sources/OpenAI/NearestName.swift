// The name that somebody probably meant.

/// The name that differs least from `name`: by one letter left out, added, changed or swapped with its neighbour for
/// every four letters, two at most. Nil where none is so near.
func nearestName(to name: String, among names: [String]) -> String? {
    let letters = Array(name.utf8)
    // Longer ones are no names, and the work is the product of two lengths.
    guard letters.count <= 40 else { return nil }
    let most = min(2, letters.count / 4)
    return names.map { (distance: editDistance(letters, Array($0.utf8)), name: $0) }
        .filter { $0.distance <= most }
        .min { ($0.distance, $0.name) < ($1.distance, $1.name) }?.name
}

/// Optimal string alignment distance: Levenshtein's, with the swap of two neighbours as one step.
func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var before = [Int](repeating: 0, count: b.count + 1)
    var last = Array(0...b.count)
    for i in a.indices {
        var row = [i + 1]
        for j in b.indices {
            var best = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, before[j - 1] + 1) }
            row.append(best)
        }
        (before, last) = (last, row)
    }
    return last[b.count]
}
