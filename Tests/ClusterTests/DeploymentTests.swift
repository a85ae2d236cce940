// The commands that deploy a cluster: as values, and run by a real shell on this machine in place of ssh.
import Cluster
import Foundation
import Testing

@Suite("Deployment by ssh")
struct DeploymentTests {
    static func specification(_ deploy: String, folder: String = "/x") throws -> ClusterSpecification {
        try ClusterSpecification.parse(
            """
            model: m.gguf
            coordinator: { listen: 10.0.0.1:7400, template: chat/own.jinja, tls: { certificate: tls/c.pem, key: tls/c.key } }
            workers:
              - { name: a-1, listen: 10.0.0.2:1, ring: 10.0.0.2:2, host: root@gate, memory: 1GiB }
            tls: { ca: tls/ca.pem, certificate: /etc/pki/w.pem, key: w.key }
            tokens: tokens
            deploy: \(deploy)
            """, path: "\(folder)/cluster.yaml", environment: environment)
    }

    @Test("Each process gets its own files, and no other's key")
    func files() throws {
        let deployment = Deployment(try Self.specification("{}"))
        let (coordinator, worker) = (deployment.processes[0], deployment.processes[1])
        #expect(coordinator.name == "coordinator" && coordinator.role == .coordinator)
        #expect(coordinator.login.description == "10.0.0.1" && worker.login.description == "root@gate")
        #expect(
            coordinator.files.map(\.target) == [
                "cluster.yaml", "tls/ca.pem", "tls/c.pem", "tls/c.key", "chat/own.jinja", "tokens",
            ])
        #expect(coordinator.files.map(\.isSecret) == [false, false, false, true, false, true])
        #expect(coordinator.files[0].source == nil && coordinator.files[1].source == "/x/tls/ca.pem")
        // What lies outside of the specification's folder is on the host already.
        #expect(
            worker.name == "a-1" && worker.files.map(\.target) == ["cluster.yaml", "tls/ca.pem", "w.key"])
    }

    @Test("ssh gets its options first, then ours, then the place and one word")
    func ssh() throws {
        let deployment = Deployment(
            try Self.specification("{ ssh: [-p, \"22 22\"], binary: /opt/it's here/lariat }"))
        let command = deployment.version(on: deployment.processes[1].login)
        #expect(command.arguments.prefix(3) == ["ssh", "-p", "22 22"] && command.input == nil)
        #expect(
            command.arguments.contains("BatchMode=yes") && command.arguments.contains("ConnectTimeout=10"))
        #expect(command.arguments.suffix(3).prefix(2) == ["--", "root@gate"])
        #expect(
            command.arguments.last
                == #"exec sh -c 'exec '\''/opt/it'\''\'\'''\''s here/lariat'\'' version'"#)
    }

    @Test("systemd's units are started, asked, stopped and read as root")
    func systemd() throws {
        let deployment = Deployment(try Self.specification("{ manager: systemd }"))
        let (coordinator, worker) = (deployment.processes[0], deployment.processes[1])
        let start = deployment.start(worker).arguments.last
        #expect(start?.hasSuffix(#"root systemctl start lariat-worker@a-1.service && echo started'"#) == true)
        #expect(start?.contains("sudo -n") == true)
        #expect(
            deployment.stop(coordinator, within: 9).arguments.last?.contains(
                "stop lariat-coordinator.service") == true)
        #expect(
            deployment.status(worker).arguments.last?.contains("ActiveState --value lariat-worker@a-1")
                == true)
        #expect(
            deployment.log(worker, lines: 7).arguments.last?.contains("--lines=7 --unit=lariat-worker@a-1")
                == true)
        let install = deployment.install(coordinator.files[3], bytes: 7, for: coordinator)
        #expect(install.input?.source == "/x/tls/c.key")
        #expect(install.arguments.last?.contains("/etc/lariat/tls/c.key") == true)
        #expect(install.arguments.last?.contains("chmod 0640") == true)
    }

    @Test("Answers are read from the last line")
    func answers() {
        #expect(Deployment.Answer(output: "Welcome to rope-1\nstarted 17\n") == .started)
        #expect(Deployment.Answer(output: "stopped") == .stopped)
        #expect(Deployment.Answer(output: "running out of words") == .running)
        #expect(Deployment.Answer(output: "") == nil && Deployment.Answer(output: "no\n") == nil)
    }

    // MARK: With a shell

    struct Result {
        let status: Int32
        let output: String
    }

    /// Runs what ssh would have given to the login's shell.
    ///
    /// By posix_spawn: Foundation's Process would wait for the end of what the command leaves running, too.
    static func run(_ command: Deployment.Command, home: String, input: Data = Data()) throws -> Result {
        let files = FileManager.default.temporaryDirectory.appending(component: "ssh-\(UUID())")
        try FileManager.default.createDirectory(at: files, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: files) }
        let (stdin, stdout) = (files.appending(component: "in"), files.appending(component: "out"))
        try input.write(to: stdin)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, stdin.path, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, stdout.path, O_WRONLY | O_CREAT, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var arguments = Self.words(["/bin/sh", "-c", command.arguments.last ?? ""])
        var environment = Self.words(["HOME=\(home)", "PATH=/usr/bin:/bin"])
        defer { for text in arguments + environment { free(text) } }
        var pid = pid_t()
        #expect(posix_spawn(&pid, "/bin/sh", &actions, nil, &arguments, &environment) == 0)
        var status: Int32 = 0
        #expect(waitpid(pid, &status, 0) == pid)
        let output = try Data(contentsOf: stdout)
        return Result(status: (status >> 8) & 0xff, output: String(decoding: output, as: UTF8.self))
    }

    private static func words(_ texts: [String]) -> [UnsafeMutablePointer<CChar>?] {
        texts.map { text in strdup(text) } + [nil]
    }

    /// A folder with spaces and quotes in its name that holds a program in place of lariat.
    static func withFolder(
        program: String, _ body: (_ folder: URL, _ deployment: Deployment) throws -> Void
    ) throws {
        let folder = FileManager.default.temporaryDirectory.appending(component: "a 'home' $x \(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let binary = folder.appending(component: "lariat")
        try Data("#!/bin/sh\n\(program)\n".utf8).write(to: binary)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: binary.path)
        let specification = try Self.specification(
            "{ binary: \"\(binary.path)\", directory: \"~/de ploy\" }", folder: folder.path)
        try body(folder, Deployment(specification))
    }

    /// Notes its arguments, lives until SIGTERM and says that it drained.
    static let obedient = #"""
        echo "$@"; trap 'echo drained; exit 0' TERM; i=0
        while [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done
        """#

    @Test("A process is installed, started once, asked, logged and stopped")
    func life() throws {
        try Self.withFolder(program: Self.obedient) { folder, deployment in
            let home = folder.path
            let worker = deployment.processes[1]
            #expect(try Self.run(deployment.status(worker), home: home).output == "stopped\n")
            #expect(try Self.run(deployment.stop(worker, within: 5), home: home).output == "stopped\n")
            for file in worker.files {
                let input = Data("of \(file.target)".utf8)
                let install = deployment.install(file, bytes: input.count, for: worker)
                // A connection that breaks is the end of standard input to the host: the old file stays, whole.
                for _ in 0..<2 {
                    #expect(try Self.run(install, home: home, input: input.dropLast()).status != 0)
                }
                let result = try Self.run(install, home: home, input: input)
                #expect(result.output == "installed\n" && result.status == 0)
                let path = folder.appending(path: "de ploy/" + file.target).path
                #expect(try String(contentsOfFile: path, encoding: .utf8) == "of \(file.target)")
                let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
                #expect(mode == 0o600)
            }
            let started = try Self.run(deployment.start(worker), home: home)
            let pid = try #require(Int(started.output.dropFirst("started ".count).dropLast()))
            #expect(started.output == "started \(pid)\n" && started.status == 0)
            #expect(try Self.run(deployment.start(worker), home: home).output == "running \(pid)\n")
            #expect(try Self.run(deployment.status(worker), home: home).output == "running \(pid)\n")
            // Another process of the cluster is not mistaken for it.
            #expect(
                try Self.run(deployment.status(deployment.processes[0]), home: home).output == "stopped\n")
            #expect(try Self.run(deployment.stop(worker, within: 10), home: home).output == "stopped\n")
            #expect(try Self.run(deployment.status(worker), home: home).output == "stopped\n")
            let left = try FileManager.default.contentsOfDirectory(
                atPath: folder.appending(path: "de ploy").path)
            #expect(left.allSatisfy { !$0.hasSuffix(".new") }, "\(left)")
            let log = try Self.run(deployment.log(worker, lines: 10), home: home).output
            #expect(log == "worker --spec \(home)/de ploy/cluster.yaml --name a-1\ndrained\n")
            #expect(try Self.run(deployment.log(worker, lines: 1), home: home).output == "drained\n")
        }
    }

    @Test("A process that does not end is killed; one that ends at once is no success")
    func bad() throws {
        try Self.withFolder(
            program: "trap '' TERM\ni=0\nwhile [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done"
        ) { folder, deployment in
            let worker = deployment.processes[1]
            _ = try Self.run(deployment.install(worker.files[0], bytes: 0, for: worker), home: folder.path)
            #expect(try Self.run(deployment.start(worker), home: folder.path).output.hasPrefix("started "))
            #expect(try Self.run(deployment.stop(worker, within: 1), home: folder.path).output == "killed\n")
            #expect(try Self.run(deployment.status(worker), home: folder.path).output == "stopped\n")
        }
        try Self.withFolder(program: "echo no model >&2; exit 3") { folder, deployment in
            let coordinator = deployment.processes[0]
            _ = try Self.run(
                deployment.install(coordinator.files[0], bytes: 0, for: coordinator), home: folder.path)
            let result = try Self.run(deployment.start(coordinator), home: folder.path)
            #expect(result.output == "stopped\n" && result.status == 1)
            #expect(
                try Self.run(deployment.log(coordinator, lines: 5), home: folder.path).output == "no model\n")
        }
    }

    @Test("The id of a process that is long gone, and now another's, is not killed")
    func staleID() throws {
        try Self.withFolder(program: Self.obedient) { folder, deployment in
            let worker = deployment.processes[1]
            _ = try Self.run(deployment.install(worker.files[0], bytes: 0, for: worker), home: folder.path)
            let own = ProcessInfo.processInfo.processIdentifier
            try Data("\(own)\n".utf8).write(to: folder.appending(path: "de ploy/a-1.pid"))
            #expect(try Self.run(deployment.status(worker), home: folder.path).output == "failed\n")
            #expect(try Self.run(deployment.stop(worker, within: 1), home: folder.path).output == "stopped\n")
            #expect(try Self.run(deployment.status(worker), home: folder.path).output == "stopped\n")
        }
    }
}
