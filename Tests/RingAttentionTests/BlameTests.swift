// Who is to blame, from what the ranks of a ring say and were seen to wait for.
import RingAttention
import Testing

@Suite struct BlameTests {
    private func blame(_ complaints: [(Int, Complaint.Kind, Int)], waits: [(Int, Int?)] = []) -> Blame
        .Verdict?
    {
        var blame = Blame()
        for (rank, other) in waits { blame.note(rank, waitsFor: other) }
        for (rank, kind, accused) in complaints { blame.add(Complaint(kind, accused: accused), by: rank) }
        return blame.verdict
    }

    @Test func nobodyComplains() {
        #expect(blame([], waits: [(0, 1)]) == nil)
    }

    /// Rank 1 of three hangs. Whoever gives up first, and whoever is heard only by heartbeats.
    @Test(
        arguments: [
            [(0, .silent, 2), (2, .silent, 1)], [(2, .silent, 1), (0, .gaveUp, 2)], [(0, .silent, 1)],
            [(0, .silent, 2)],
        ] as [[(Int, Complaint.Kind, Int)]])
    func theEndOfTheChainHangs(_ complaints: [(Int, Complaint.Kind, Int)]) {
        let verdict = blame(complaints, waits: [(0, 2), (1, nil), (2, 1)])
        #expect(verdict?.culprit == 1)
    }

    @Test func theChainSaysHowItWasFound() {
        #expect(blame([(0, .silent, 2)], waits: [(2, 1)]) == Blame.Verdict(culprit: 1, chain: [0, 2]))
        #expect(blame([(1, .own, 1)]) == Blame.Verdict(culprit: 1, chain: [1]))
        #expect(blame([(2, .unreachable, 0)]) == Blame.Verdict(culprit: 0, chain: [2]))
    }

    @Test func aConsequenceIsNoAccusation() {
        // Rank 2 heard only that rank 1 let go; rank 1 has a reason, and rank 0 complains of nobody.
        #expect(blame([(2, .gaveUp, 1), (1, .broken, 0)])?.culprit == 0)
        #expect(blame([(2, .gaveUp, 1), (1, .own, 1)])?.culprit == 1)
        #expect(blame([(2, .gaveUp, 1)])?.culprit == 1)
    }

    @Test func whatACheckHasShownOutweighsSilence() {
        // Nothing gets to rank 1's port: both ends of the connection are silent, but only one cannot be dialled.
        #expect(blame([(1, .broken, 0), (0, .unreachable, 1)])?.culprit == 1)
        #expect(blame([(2, .silent, 0), (0, .wrongBytes, 1)])?.culprit == 1)
    }

    @Test func ofTwoThatDoNotReachEachOtherTheThirdIsNotNamed() {
        let verdict = blame([(0, .unreachable, 1), (1, .unreachable, 0), (2, .gaveUp, 1)])
        #expect(verdict?.culprit == 1)
        // A third witness decides.
        #expect(blame([(0, .unreachable, 1), (1, .unreachable, 0), (2, .unreachable, 0)])?.culprit == 0)
    }

    @Test func aCircleBelievesWhoSpokeFirst() {
        #expect(blame([(0, .silent, 1), (1, .silent, 0)])?.culprit == 1)
        #expect(blame([(1, .silent, 0), (0, .silent, 1)])?.culprit == 0)
    }

    @Test func onlyTheFirstReasonCounts() {
        #expect(blame([(0, .silent, 1), (0, .own, 0)])?.culprit == 1)
    }

    @Test func nonsenseEnds() {
        #expect(blame([(0, .silent, 7)])?.culprit == 7)
        #expect(blame([(3, .silent, 3)])?.culprit == 3)
    }
}
