// How child processes are started, and how their ends are read.

import Foundation

enum ProcessSpawn {
    /// Starts a program, found in PATH unless its name has a slash, in a process group of its own: Ctrl-C reaches this
    /// process alone, which then ends the child. What this process ignores or blocks, the child does not.
    /// - Parameter arguments: the program first.
    static func start(
        _ arguments: [String], input: Int32, output: Int32, errors: Int32
    ) -> Result<pid_t, Failure> {
        guard let program = arguments.first else { return .failure(Failure("there is no command")) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (from, to) in [(input, STDIN_FILENO), (output, STDOUT_FILENO), (errors, STDERR_FILENO)] {
            posix_spawn_file_actions_adddup2(&actions, from, to)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        posix_spawnattr_setpgroup(&attributes, 0)
        var (all, none) = (sigset_t(), sigset_t())
        sigfillset(&all)
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setsigmask(&attributes, &none)
        let environment = ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" }
        var argv = arguments.map { strdup($0) } + [nil]
        var envp = environment.map { strdup($0) } + [nil]
        defer { for string in argv + envp { free(string) } }
        var pid: pid_t = 0
        let failed = posix_spawnp(&pid, program, &actions, &attributes, &argv, &envp)
        return failed == 0
            ? .success(pid)
            : .failure(Failure("cannot start \(program): \(String(cString: strerror(failed)))"))
    }
}

extension ChildEnd {
    /// From what `waitpid` gives.
    init(status: Int32) {
        self = status & 0x7f == 0 ? .exited(status >> 8 & 0xff) : .signalled(status & 0x7f)
    }
}
