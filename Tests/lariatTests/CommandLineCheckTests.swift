// Command lines that are wrong before they are parsed.

import Testing
import lariat

@Suite struct CommandLineCheckTests {
    @Test(arguments: [
        (["submti", "hello"], "did you mean `lariat submit`?"), (["jbos"], "`lariat jobs`"),
        (["ps"], "`lariat jobs`"), (["list"], "`lariat jobs`"), (["ls"], "`lariat jobs`"),
        (["run", "hello"], "`lariat submit`"), (["ingest"], "`lariat context add`"),
        (["asks"], "`lariat ask`"),
        (["generate"], "`lariat submit`"),
        (["serve"], "`lariat up`"), (["start"], "`lariat up`"),
        (["status"], "`lariat doctor`"), (["stop"], "`lariat cancel`"), (["rm"], "`lariat cancel`"),
        (["kill"], "`lariat cancel`"), (["pull", "llama3"], "Ops/model"),
        (["help", "submti"], "`lariat submit`"), (["cluster", "stauts"], "`lariat cluster status`"),
        (["bench", "prefil"], "`lariat bench prefill`"), (["Why is the sky blue?"], "lariat submit \"Why is"),
        (["xyzzy"], "there is no command \"xyzzy\". `lariat --help`"),
    ])
    func commandsThatDoNotExist(arguments: [String], words: String) {
        let problem = CommandLineCheck.problem(arguments)
        #expect(problem?.contains(words) == true, "\(problem ?? "nil")")
    }

    @Test(arguments: [
        [], ["--help"], ["--version"], ["jobs"], ["help"], ["help", "submit"], ["cluster"],
        ["cluster", "help", "up"],
        ["submit", "ps"], ["submit", "--", "--name", "--name"],
        ["submit", "--file", "a", "-f", "b", "--stop", "x", "--stop", "y"],
        ["---completion", "submit", "--", "x"], ["--generate-completion-script", "bash"],
        ["eval", "perplexity", "m", "--rope", "ntk", "--rope", "yarn", "--corpus", "a", "b"],
        ["submit", "--max-tokens=3", "hi"], ["submit", "-"],
    ])
    func whatIsLeftToTheParser(arguments: [String]) {
        #expect(CommandLineCheck.problem(arguments) == nil)
    }

    @Test(arguments: [
        (["submit", "--system", "a", "--system", "b", "hi"], "--system"),
        (["submit", "--system=a", "hi", "--system", "b"], "--system"),
        (["submit", "--tokens", "a", "--tokens", "b"], "--tokens"),
        (["plan", "--rope", "ntk", "hi", "--rope", "yarn"], "--rope"),
        (["trace", "-o", "a", "--output", "b"], "--output"),
        (["eval", "perplexity", "m", "--corpus", "a", "--lengths", "1", "--lengths", "2"], "--lengths"),
        (["worker", "--model", "a", "--model", "b"], "--model"),
    ])
    func optionsThatStandTwice(arguments: [String], name: String) {
        let problem = CommandLineCheck.problem(arguments)
        #expect(problem?.hasPrefix(name + " stands twice") == true, "\(problem ?? "nil")")
    }

    @Test(arguments: [
        ("submti", "submit", 1), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 1), ("x", "x", 0),
    ])
    func distance(a: String, b: String, steps: Int) {
        #expect(CommandLineCheck.distance(a, b) == steps)
        #expect(CommandLineCheck.distance(b, a) == steps)
    }
}
