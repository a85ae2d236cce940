// How much is evaluated, and where: the paper's plan, and plans that fit a budget.

import Numerals

/// A kind of evaluation: which length and which positions of how many documents is the caller's affair.
///
/// Cheap rungs prune the hopeless; they misrank good candidates and never decide. Every candidate must get the same
/// documents and positions on a rung.
public struct Rung: Sendable, Hashable, Codable {
    public let name: String
    /// Of one evaluation, all parts, in any unit that the budget has too; above 0.
    public let cost: Double
    /// How many numbers an evaluation gives; how they count is learnt from full-length evaluations. 1 on the last rung.
    public let parts: Int

    public init(name: String, cost: Double, parts: Int = 1) {
        self.name = name
        self.cost = cost
        self.parts = parts
    }
}

/// The size of a search.
///
/// Generation 0 is the seeds, on every rung, and mutations of them. Then come `shapeGenerations` in a smooth family
/// of a few numbers, and `generations` of LongRoPE's algorithm 1. Within a generation all individuals are evaluated
/// on the first rung, the best `keep[0]` of them on the second, and so on (successive halving).
///
/// A search that is to be resumed needs the same plan: store it, since one that is made anew from costs measured
/// anew is another.
public struct SearchPlan: Sendable, Hashable, Codable {
    /// P: the individuals of generation 0, seeds included; no fewer than the seeds.
    public var population: Int
    /// Generations of the smooth family; 0: none.
    public var shapeGenerations = 0
    /// Individuals of such a generation; 2 or more.
    public var shapePopulation = 8
    /// T: generations that vary single pairs.
    public var generations: Int
    /// N1: mutations in such a generation.
    public var mutations: Int
    /// N2: crossovers in such a generation.
    public var crossovers: Int
    /// k: how many of the best of all generations are bred from.
    public var parents: Int
    /// p: the probability that a gene changes.
    public var mutationProbability = 0.3
    /// How often a crossover tries before it gives way to a mutation.
    public var crossoverPasses = 20
    /// For each rung but the last: the share of a generation that goes on to the next, rounded up; above 0 to 1.
    public var keep: [Double]
    /// How many of the best at full length are evaluated again on the final documents, beside the best seed;
    /// 0: the search's own scores decide, as in the paper.
    public var finalists = 0
    /// Weight of the search's documents in a finalist's score: their number.
    public var searchDocuments = 1
    /// Weight, and cost in multiples of the search's documents, of the final ones: their number.
    public var finalDocuments = 2

    /// Individuals of the smallest generation of a plan that fits a budget.
    private static let leastWidth = 4

    public init(
        population: Int, generations: Int, mutations: Int, crossovers: Int, parents: Int, keep: [Double]
    ) {
        self.population = population
        self.generations = generations
        self.mutations = mutations
        self.crossovers = crossovers
        self.parents = parents
        self.keep = keep
    }

    /// LongRoPE's plan up to 256k tokens (arXiv 2402.13753, algorithm 1): 1,344 evaluations on one rung. For
    /// 512k and more the paper halves population, mutations and crossovers.
    public static func paper(halved: Bool = false) -> SearchPlan {
        SearchPlan(
            population: halved ? 32 : 64, generations: 40, mutations: halved ? 8 : 16,
            crossovers: halved ? 8 : 16, parents: 32, keep: [])
    }

    /// The search that makes the most of a budget: the smooth family first, single pairs with what is left.
    ///
    /// Finalists are given up, down to one, where they would take more than 3 tenths of the budget. What is not
    /// enough for another generation stays unused. Where that makes about 100 individuals, a space with a single
    /// number of start tokens is the better one: on synthetic models whose best has that number, the mean loss
    /// above the optimum was a third to two thirds of what it was with all 14.
    /// - Parameters:
    ///   - budget: in the unit of the rungs' costs.
    ///   - rungs: the cheapest first; the last is the full length.
    ///   - seedCount: how many seeds the search will be given.
    /// - Throws: `budgetTooSmall`, with the least budget and what it consists of; `invalidPlan` for impossible rungs.
    public static func fitting(
        budget: Double, rungs: [Rung], seedCount: Int, finalists: Int = 4, searchDocuments: Int = 1,
        finalDocuments: Int = 2
    ) throws(FactorSearchError) -> SearchPlan {
        var plan = try SearchPlan(
            rungs: rungs, seedCount: seedCount, finalists: finalists, searchDocuments: searchDocuments,
            finalDocuments: finalDocuments)
        try FactorSearchError.require(
            budget >= 0, .invalidPlan, "search plan: the budget is \(budget); it must be 0 or more")

        let seeds = plan.seedCost(rungs, seedCount)
        func affordable(_ width: Int) -> Int {
            let rest = budget - seeds - plan.finalCost(rungs)
            return Int(max(0, min(100_000, (rest / plan.cost(of: width, rungs) + 1e-9).rounded(.down))))
        }
        while plan.finalists > 1, plan.finalCost(rungs) > 0.3 * budget || affordable(Self.leastWidth) < 1 {
            plan.finalists -= 1
        }
        // On synthetic models 8 individuals made the most of small budgets, and no width was better for large ones;
        // wide generations keep more workers busy.
        let width = [32, 16].first { affordable($0) >= 100 } ?? (affordable(8) >= 4 ? 8 : Self.leastWidth)
        let count = affordable(width)
        guard count >= 1 else {
            let finals = plan.finalCost(rungs)
            let generation = plan.cost(of: Self.leastWidth, rungs)
            throw FactorSearchError(
                .budgetTooSmall,
                "a budget of \(budget) is too small: \(seedCount) seeds on every rung cost \(seeds), "
                    + "\(plan.finalists) finalists and the best seed on the final documents \(finals), "
                    + "one generation of \(Self.leastWidth) individuals \(generation); "
                    + "the least is \(seeds + finals + generation)")
        }
        plan.shapePopulation = width
        plan.shapeGenerations = min((count * 17 + 19) / 20, 160 / width)
        plan.generations = count - plan.shapeGenerations
        plan.mutations = width - width / 2
        plan.crossovers = width / 2
        plan.parents = max(4, width / 2)
        return plan
    }

    /// The least budget that `fitting` makes a plan of: the seeds, one small generation, and the finals of one.
    public static func leastBudget(
        rungs: [Rung], seedCount: Int, searchDocuments: Int = 1, finalDocuments: Int = 2
    ) throws(FactorSearchError) -> Double {
        let plan = try SearchPlan(
            rungs: rungs, seedCount: seedCount, finalists: 1, searchDocuments: searchDocuments,
            finalDocuments: finalDocuments)
        return plan.seedCost(rungs, seedCount) + plan.finalCost(rungs) + plan.cost(of: Self.leastWidth, rungs)
    }

    /// No generations yet; individuals go on by what a rung costs beside the next.
    private init(
        rungs: [Rung], seedCount: Int, finalists: Int, searchDocuments: Int, finalDocuments: Int
    ) throws(FactorSearchError) {
        self.init(
            population: seedCount, generations: 0, mutations: 2, crossovers: 2, parents: 4,
            keep: zip(rungs, rungs.dropFirst()).map { min(0.5, max(0.125, $0.cost / $1.cost)) })
        self.finalists = finalists
        self.searchDocuments = searchDocuments
        self.finalDocuments = finalDocuments
        try check(rungs: rungs, seedCount: seedCount)
    }

    private func seedCost(_ rungs: [Rung], _ seedCount: Int) -> Double {
        rungs.reduce(0) { $0 + Double(seedCount) * $1.cost }
    }

    /// Of a generation of so many individuals.
    private func cost(of width: Int, _ rungs: [Rung]) -> Double {
        zip(widths(width), rungs).reduce(0) { $0 + Double($1.0) * $1.1.cost }
    }

    /// The individuals that a generation of `count` has on each rung.
    func widths(_ count: Int) -> [Int] {
        keep.reduce(into: [count]) { widths, _ in
            widths.append(survivors(of: widths[widths.count - 1], on: widths.count - 1))
        }
    }

    /// How many of `count` individuals on a rung go on to the next.
    func survivors(of count: Int, on rung: Int) -> Int {
        guard count > 0 else { return 0 }
        return min(count, max(1, Int((Double(count) * keep[rung] - 1e-9).rounded(.up))))
    }

    /// The most evaluations that the search asks for, finals apart: one number per rung. It asks for fewer where
    /// there is nothing new to evaluate.
    public func evaluations(seedCount: Int) -> [Int] {
        let first = widths(max(0, population - seedCount))
        let shape = widths(shapePopulation)
        let pair = widths(mutations + crossovers)
        return first.indices.map {
            seedCount + first[$0] + shapeGenerations * shape[$0] + generations * pair[$0]
        }
    }

    /// The most that the search costs, finals included.
    public func cost(rungs: [Rung], seedCount: Int) -> Double {
        zip(evaluations(seedCount: seedCount), rungs).reduce(finalCost(rungs)) {
            $0 + Double($1.0) * $1.1.cost
        }
    }

    /// What the finalists and the best seed cost.
    private func finalCost(_ rungs: [Rung]) -> Double {
        guard finalists > 0, let full = rungs.last else { return 0 }
        return Double(finalists + 1) * full.cost * Double(finalDocuments) / Double(searchDocuments)
    }

    /// Throws `invalidPlan` where the numbers are impossible or do not fit the rungs.
    func check(rungs: [Rung], seedCount: Int) throws(FactorSearchError) {
        func check(_ holds: Bool, _ problem: @autoclosure () -> String) throws(FactorSearchError) {
            try FactorSearchError.require(holds, .invalidPlan, "search plan: \(problem())")
        }
        try check(!rungs.isEmpty, "there are no rungs; one, the full length, is the least")
        for rung in rungs {
            try check(
                rung.cost.isFinite && rung.cost > 0,
                "rung \(rung.name) costs \(rung.cost); a cost must be finite and above 0")
            try check(
                (1...16).contains(rung.parts),
                "rung \(rung.name) has \(rung.parts) parts; 1 to 16 are possible")
        }
        try check(
            rungs.last?.parts == 1, "the last rung, the full length, has several parts; it must have one")
        try check(
            keep.count == rungs.count - 1,
            "there are \(keep.count) shares to keep; \(rungs.count) rungs need \(rungs.count - 1)")
        try check(
            keep.allSatisfy { $0 > 0 && $0 <= 1 }, "the shares to keep are \(keep); each is above 0 to 1")
        try check(seedCount >= 1, "there are no seeds; one is the least")
        try check(
            population >= seedCount, "the population is \(population), less than the \(seedCount) seeds in it"
        )
        let limit = 1_000_000
        for (name, value, least) in [
            ("population", population, 1), ("shape generations", shapeGenerations, 0),
            ("shape population", shapePopulation, 2), ("generations", generations, 0),
            ("mutations", mutations, 0), ("crossovers", crossovers, 0), ("parents", parents, 1),
            ("crossover passes", crossoverPasses, 0), ("finalists", finalists, 0),
            ("search documents", searchDocuments, 1), ("final documents", finalDocuments, 1),
        ] {
            try check(
                (least...limit).contains(value),
                "\(name): \(value.grouped); it must be \(least.grouped) to \(limit.grouped)")
        }
        try check(
            (0...1).contains(mutationProbability),
            "mutation probability: \(mutationProbability); it must be 0 to 1")
    }
}
