// How the processes of a specification are brought to their hosts by ssh and started, asked and stopped there: commands
// as values. Running them is the business of others.

/// The commands that deploy a specification.
///
/// Every command is idempotent: starting what runs and stopping what does not run change nothing. Each writes one line
/// of its own to standard output, whose first word is an `Answer`.
public struct Deployment: Sendable {
    /// A file that a process needs beside the program and the model: the specification, and what it names inside its own
    /// folder. Files elsewhere (absolute paths) are on the hosts already.
    public struct File: Sendable, Hashable {
        /// On this machine; nil: the specification itself, whose text the caller has.
        public let source: String?
        /// Where it goes: below the deployment's directory.
        public let target: String
        /// Whether nobody but the process's user may read it.
        public let isSecret: Bool
    }

    public struct Process: Sendable, Equatable {
        public enum Role: Sendable, Equatable { case coordinator, worker }

        /// `coordinator`, or the worker's name.
        public let name: String
        public let role: Role
        public let login: Login
        /// In the order in which they should be sent.
        public let files: [File]
    }

    /// A command of this machine.
    public struct Command: Sendable, Equatable {
        /// The program first; looked up in PATH.
        public let arguments: [String]
        /// What its standard input is; nil: nothing.
        public let input: File?
    }

    /// The first word of what a command prints.
    public enum Answer: String, Sendable, CaseIterable {
        /// After start, the process was started; with its id in the shell mode.
        case started
        /// After start and status, it runs; with its id in the shell mode.
        case running
        /// After stop and status, it does not run.
        case stopped
        /// After status: it does not run although nobody stopped it and it did not end in order: it ended with an error,
        /// or its host did.
        case failed
        /// After stop: it did not end in time and was killed.
        case killed
        /// After install: the file is in place.
        case installed

        /// From a command's standard output; nil if there is no answer in it.
        public init?(output: String) {
            let lines = output.split(separator: "\n")
            guard let word = lines.last?.split(separator: " ").first else { return nil }
            self.init(rawValue: String(word))
        }
    }

    /// The coordinator first, then the workers in the order of the file. Stop them in the same order:
    /// the coordinator lets running jobs end, and then nothing holds the workers.
    public let processes: [Process]
    private let deploy: ClusterSpecification.Deploy
    private static let specificationFile = "cluster.yaml"
    /// A log that is larger when its process is started is put aside, in the place of the last that was.
    private static let largestLog = 64 << 20

    public init(_ specification: ClusterSpecification) {
        deploy = specification.deploy
        let folder = specification.folder
        func file(_ path: String, isSecret: Bool) -> File? {
            guard path.hasPrefix(folder + "/") else { return nil }
            return File(source: path, target: String(path.dropFirst(folder.count + 1)), isSecret: isSecret)
        }
        func files(
            _ tls: ClusterSpecification.TLSFiles?, template: String? = nil, tokens: String? = nil
        ) -> [File] {
            let files = [
                File(source: nil, target: Self.specificationFile, isSecret: false),
                tls.flatMap { file($0.ca, isSecret: false) },
                tls.flatMap { file($0.certificate, isSecret: false) },
                tls.flatMap { file($0.key, isSecret: true) },
                template.flatMap { file($0, isSecret: false) },
                tokens.flatMap { file($0, isSecret: true) },
            ]
            return files.compactMap(\.self)
        }
        processes =
            [
                Process(
                    name: "coordinator", role: .coordinator, login: specification.coordinator.login,
                    files: files(
                        specification.coordinator.tls, template: specification.coordinator.templateFile,
                        tokens: specification.tokens))
            ]
            + specification.workers.map {
                Process(name: $0.name, role: .worker, login: $0.login, files: files($0.tls))
            }
    }

    // MARK: Commands

    /// Prints the version of the program on the host.
    public func version(on login: Login) -> Command {
        remote(login, "exec \(ShellText.word(deploy.binary)) version")
    }

    /// Puts one file in place, or replaces it; never leaves half a file: what arrives without its end, because a
    /// connection broke, is thrown away.
    /// - Parameter bytes: The size of what standard input will be.
    public func install(_ file: File, bytes: Int, for process: Process) -> Command {
        let target = ShellText.word(file.target)
        let folder = ShellText.word(Self.folder(of: file.target))
        // $1: the file; $2: its size. Two at once do not meet: each has a name of its own until it is whole.
        let place =
            "set -eu; umask 077; if [ -h \"$1\" ]; then set -- \"$(readlink -f -- \"$1\")\" $2; fi; "
            + "if [ -e \"$1\" ] && [ ! -f \"$1\" ]; then echo \"$1 is no regular file\" >&2; exit 1; fi; new=$1.$$.new; trap 'rm -f \"$new\"' EXIT; trap 'exit 1' HUP INT TERM; "
            + "cat >\"$new\"; if [ $(stat -c %s \"$new\") -ne $2 ]; then echo the connection broke >&2; exit 1; fi; "
        let script =
            switch deploy.manager {
            case .shell:
                "set -eu; umask 077; mkdir -p \(directory); cd \(directory); mkdir -p \(folder); "
                    + "sh -c \(ShellText.word(place + "mv -f \"$new\" \"$1\"")) - ./\(target) \(bytes); echo installed"
            case .systemd:
                // The units' user is of the group lariat; root owns what they read.
                asRoot
                    + "set -eu; root install -d -g lariat -m 0750 \(directory)/\(folder); root sh -c "
                    + ShellText.word(
                        place + "chgrp lariat \"$new\"; chmod \(file.isSecret ? "0640" : "0644") \"$new\"; "
                            + "mv -f \"$new\" \"$1\"")
                    + " - \(directory)/\(target) \(bytes); echo installed"
            }
        return remote(process.login, script, input: file)
    }

    /// Starts a process unless it runs.
    public func start(_ process: Process) -> Command {
        let name = ShellText.word(process.name)
        let script =
            switch deploy.manager {
            case .shell:
                prelude(process)
                    + "if runs; then echo running $pid; exit 0; fi; "
                    + "if [ $(stat -c %s \(name).log 2>/dev/null || echo 0) -gt \(Self.largestLog) ]; "
                    + "then mv -f \(name).log \(name).log.1; fi; "
                    + "rm -f \(name).pid; setsid nohup sh -c \(ShellText.word(Self.watch(name))) - "
                    + "\(programCommand(process)) </dev/null >>\(name).log 2>&1 & "
                    + "sleep 1; pid=$(cat \(name).pid 2>/dev/null || echo 0); "
                    + "if runs; then echo started $pid; else tail -n 5 \(name).log >&2; echo stopped; exit 1; fi"
            case .systemd: asRoot + "root systemctl start \(unit(process)) && echo started"
            }
        return remote(process.login, script)
    }

    /// Asks whether a process runs. Whether it is well is known to the coordinator.
    public func status(_ process: Process) -> Command {
        let script =
            switch deploy.manager {
            case .shell:
                "if [ ! -d \(directory) ]; then echo stopped; exit 0; fi; " + prelude(process)
                    + "if runs; then echo running $pid; elif [ -e \(ShellText.word(process.name)).pid ]; "
                    + "then echo failed; else echo stopped; fi"
            case .systemd:
                "case $(systemctl show --property=ActiveState --value \(unit(process))) in "
                    + "active|activating|reloading|deactivating) echo running;; failed) echo failed;; "
                    + "*) echo stopped;; esac"
            }
        return remote(process.login, script)
    }

    /// Ends a process: with SIGTERM, on which it drains, and after `seconds` with SIGKILL.
    /// - Parameter seconds: 1 to 3600. The systemd units have a limit of their own.
    public func stop(_ process: Process, within seconds: Int) -> Command {
        let name = ShellText.word(process.name)
        let limit = min(max(seconds, 1), 3600)
        let script =
            switch deploy.manager {
            case .shell:
                "if [ ! -d \(directory) ]; then echo stopped; exit 0; fi; " + prelude(process)
                    + "if runs; then kill -TERM $pid; else rm -f \(name).pid; echo stopped; exit 0; fi; i=0; "
                    + "while [ $i -lt \(limit) ]; do if runs; then sleep 1; i=$((i+1)); "
                    + "else rm -f \(name).pid; echo stopped; exit 0; fi; done; "
                    + "kill -KILL $pid; rm -f \(name).pid; echo killed"
            case .systemd: asRoot + "root systemctl stop \(unit(process)) && echo stopped"
            }
        return remote(process.login, script)
    }

    /// Prints the last lines that a process wrote.
    /// - Parameter lines: 1 to 10,000.
    public func log(_ process: Process, lines: Int) -> Command {
        let count = min(max(lines, 1), 10_000)
        let script =
            switch deploy.manager {
            case .shell: "cd \(directory) && exec tail -n \(count) \(ShellText.word(process.name)).log"
            case .systemd:
                asRoot + "root journalctl --no-pager --output=cat --lines=\(count) --unit=\(unit(process))"
            }
        return remote(process.login, script)
    }

    // MARK: Parts of commands

    /// Runs its arguments as a program and keeps their process's id in a file, until it ends in order: then nobody takes it
    /// for one that failed.
    /// - Parameter name: of the file, as a word of the shell.
    private static func watch(_ name: String) -> String {
        "\"$@\" & echo $! >\(name).pid; wait $!; "
            + "if [ $? -eq 0 ] && [ \"$(cat \(name).pid)\" = $! ]; then rm -f \(name).pid; fi"
    }

    private var directory: String { ShellText.path(deploy.directory) }

    private func unit(_ process: Process) -> String {
        switch process.role {
        case .coordinator: "lariat-coordinator.service"
        // What a name may hold stands in an instance as it is; the unit asks for it as it stands (%i).
        case .worker: ShellText.word("lariat-worker@\(process.name).service")
        }
    }

    private func programCommand(_ process: Process) -> String {
        let command = ShellText.word(deploy.binary)
        return switch process.role {
        case .coordinator: "\(command) coordinator --spec \"$PWD/\(Self.specificationFile)\""
        case .worker:
            "\(command) worker --spec \"$PWD/\(Self.specificationFile)\" --name \(ShellText.word(process.name))"
        }
    }

    /// Enters the directory and defines `runs`: whether the process of the id file, or else `$pid`, is this process of
    /// this cluster. An id that now belongs to another program does not count, and neither does a zombie.
    private func prelude(_ process: Process) -> String {
        let name = ShellText.word(process.name)
        return "set -eu; umask 077; cd \(directory); pid=$(cat \(name).pid 2>/dev/null || echo 0); "
            + "runs() { grep -zqxF -e \"$PWD/\(Self.specificationFile)\" /proc/$pid/cmdline 2>/dev/null && "
            + "grep -zqxF -e \(name) /proc/$pid/cmdline 2>/dev/null; }; "
    }

    private var asRoot: String {
        "root() { if [ $(id -u) -eq 0 ]; then \"$@\"; else sudo -n \"$@\"; fi; }; "
    }

    private static func folder(of file: String) -> String {
        file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "."
    }

    private func remote(_ login: Login, _ script: String, input: File? = nil) -> Command {
        // Of an option that stands twice, ssh takes the first.
        Command(
            arguments: ["ssh"] + deploy.ssh + [
                "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o",
                "ServerAliveCountMax=3", "-T", "--", "\(login)",
                // Whatever shell the login has, this one runs the script.
                "exec sh -c " + ShellText.word(script),
            ], input: input)
    }
}
