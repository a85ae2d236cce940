// Plans: the paper's, and those that fit a budget.
import FactorSearch
import Testing

@Suite("Search plan")
struct SearchPlanTests {
    /// About what an hour on two cores allows for 32k tokens of SmolLM2, in seconds.
    static let rungs = [
        Rung(name: "4k of 32k", cost: 6), Rung(name: "16k of 32k", cost: 30), Rung(name: "32k", cost: 70),
    ]

    @Test("The paper's plan is 1,344 evaluations; 672 for 512k and more")
    func paper() {
        #expect(SearchPlan.paper().evaluations(seedCount: 3) == [1344])
        #expect(SearchPlan.paper(halved: true).evaluations(seedCount: 3) == [672])
        #expect(SearchPlan.paper().cost(rungs: [Rung(name: "256k", cost: 190)], seedCount: 3) == 255_360)
    }

    @Test("An hour")
    func hour() throws {
        let plan = try SearchPlan.fitting(budget: 3600, rungs: Self.rungs, seedCount: 4)
        #expect(plan.evaluations(seedCount: 4) == [108, 30, 17])
        #expect(plan.finalists == 4 && plan.shapeGenerations == 12 && plan.generations == 1)
        #expect(plan.cost(rungs: Self.rungs, seedCount: 4) == 3438)
    }

    @Test(
        "No plan costs more than its budget, and most of it is used",
        arguments: [1, 2, 4, 9], [1200.0, 1300, 2000, 3600, 10_000, 86_400, 1e6])
    func budgets(seedCount: Int, budget: Double) throws {
        for rungs in [Self.rungs, Array(Self.rungs.suffix(1)), Array(Self.rungs.prefix(2))] {
            guard
                let plan = try? SearchPlan.fitting(
                    budget: budget, rungs: rungs, seedCount: seedCount, searchDocuments: 2)
            else {
                #expect(budget < 2000)
                continue
            }
            let cost = plan.cost(rungs: rungs, seedCount: seedCount)
            #expect(cost <= budget * (1 + 1e-9))
            if budget >= 10_000 { #expect(cost >= 0.85 * budget) }
        }
    }

    @Test("The least budget is possible, and less is refused with the figures")
    func leastBudget() throws {
        // Seeds 4 * 106, finals (1 + 1) * 2 * 70, a generation 4 * 6 + 30 + 70.
        let expected = """
            a budget of 827.0 is too small: 4 seeds on every rung cost 424.0, 1 finalists and the best seed on \
            the final documents 280.0, one generation of 4 individuals 124.0; the least is 828.0
            """
        refuses(.budgetTooSmall, expected) {
            try SearchPlan.fitting(budget: 827, rungs: Self.rungs, seedCount: 4)
        }
        let plan = try SearchPlan.fitting(budget: 828, rungs: Self.rungs, seedCount: 4)
        #expect(plan.cost(rungs: Self.rungs, seedCount: 4) == 828)
        #expect(plan.finalists == 1 && plan.shapeGenerations == 1 && plan.generations == 0)
        #expect(try SearchPlan.leastBudget(rungs: Self.rungs, seedCount: 4) == 828)
    }

    @Test("Impossible plans")
    func refusals() throws {
        let space = try SearchSpace.small()
        func isRefused(
            _ expected: String, rungs: [Rung] = Self.rungs, seeds: Int = 4,
            _ change: (inout SearchPlan) -> Void
        ) {
            refuses(.invalidPlan, expected) {
                var plan = try SearchPlan.fitting(budget: 3600, rungs: Self.rungs, seedCount: 4)
                change(&plan)
                return try FactorSearch(
                    space: space, plan: plan, rungs: rungs, seeds: Array(space.knownScalings.prefix(seeds)),
                    randomSeed: 1)
            }
        }
        isRefused("there are 2 shares to keep; 1 rungs need 0", rungs: [Self.rungs[0]]) { _ in }
        isRefused("rung x costs 0.0; a cost must be finite", rungs: [Rung(name: "x", cost: 0)]) { _ in }
        isRefused("there are no rungs", rungs: []) { _ in }
        isRefused("there are no seeds", seeds: 0) { _ in }
        isRefused("the population is 3, less than the 4 seeds") { $0.population = 3 }
        isRefused("the shares to keep are [0.5, 0.0]; each is above 0 to 1") { $0.keep = [0.5, 0] }
        isRefused("generations: -1; it must be 0 to 1,000,000") { $0.generations = -1 }
        isRefused("parents: 0; it must be 1 to") { $0.parents = 0 }
        isRefused("mutation probability: 1.5; it must be 0 to 1") { $0.mutationProbability = 1.5 }
        refuses(.invalidPlan, "the budget is nan") {
            try SearchPlan.fitting(budget: .nan, rungs: Self.rungs, seedCount: 4)
        }
        refuses(.invalidPlan, "there are no rungs") {
            try SearchPlan.fitting(budget: 1, rungs: [], seedCount: 4)
        }
    }
}
