// lariat coordinator: keeps the journal, plans jobs, and is what clients and workers talk to.

internal import ArgumentParser
internal import Cluster
internal import Coordinator
import Foundation
internal import Kernels
internal import Logging
internal import RPC
internal import Tokenizer
internal import Transformer

struct CoordinatorCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinator", abstract: "Run a coordinator.",
        discussion: "Settings come from a cluster specification, from options, or from both: options win.")

    @Option(help: ArgumentHelp("The cluster specification.", valueName: "file"), completion: .file())
    var spec: String?
    @Option(help: ArgumentHelp("Where to listen (default: 127.0.0.1:7400).", valueName: "host:port"))
    var listen: HostPort?
    @Option(
        help: ArgumentHelp(
            "Serve the web page and the OpenAI-compatible API here (default: not served).",
            valueName: "host:port"))
    var web: HostPort?
    @Option(
        help: ArgumentHelp(
            "API tokens, made by `lariat cluster token`: clients of every port need one (default: nobody does).",
            valueName: "file"), completion: .file())
    var tokens: String?
    @Option(
        help: ArgumentHelp(
            "Folder of the journal; made if absent (default: ~/.local/share/lariat).", valueName: "dir"),
        completion: .directory)
    var data: String?
    @Option(
        help: ArgumentHelp("The model, a GGUF file; every worker must have the same.", valueName: "file"),
        completion: .file())
    var model: String?
    @Option(help: "bf16 (default) or f32; every worker must use the same.")
    var precision: Precision?
    @OptionGroup var template: TemplateOption
    @OptionGroup var common: ServerOptions

    func execute() async throws {
        let spec = try spec.map { path throws(ClusterError) in try ClusterSpecification.load(path) }
        let configuration = try settings(spec)
        let choice = try template.choice() ?? spec?.coordinator.template.map(TemplateFile.choice)
        let logger = common.log.logger("coordinator", normally: .info)
        let file = try Model(path: configuration.modelPath)
        for remark in file.remarks { logger.warning("\(remark)") }
        let model = try ModelAdapter(
            file, precision: configuration.precision, template: ChatTemplate.chosen(choice ?? ""))
        let server = try CoordinatorServer(configuration: configuration, model: model, logger: logger)
        let limit = Duration.seconds(common.drainSeconds)
        try await common.run(drain: { server.shutdown(drainingFor: limit) }) { ready in
            try await server.run(ready: ready)
        }
    }

    private func settings(_ spec: ClusterSpecification?) throws -> CoordinatorConfiguration {
        let listen = listen ?? spec?.coordinator.listen ?? HostPort(host: "127.0.0.1", port: 7400)
        var configuration = CoordinatorConfiguration(
            host: listen.host, port: listen.port,
            dataDirectory: try data ?? spec?.coordinator.data ?? DataFolder.usual ?? missing("--data"),
            modelPath: try model ?? spec?.model ?? missing("--model"),
            precision: precision?.rawValue ?? spec?.precision.rawValue ?? Precision.bf16.rawValue)
        configuration.tls = common.tls.files ?? spec?.coordinator.tls.map { .init($0) }
        configuration.tokens = tokens ?? spec?.tokens
        let isAllowed = spec?.isInsecure ?? false
        let isSecured = configuration.tls != nil
        try common.check(listen, tls: isSecured, name: "--listen", isAllowed: isAllowed)
        if let web = web ?? spec?.coordinator.web {
            try common.check(web, tls: isSecured, name: "--web", isAllowed: isAllowed)
            try common.check(web: web, tokens: configuration.tokens, isAllowed: isAllowed)
        }
        if let spec {
            configuration.heartbeatSeconds = spec.heartbeat / .seconds(1)
            configuration.lostSeconds = spec.lostAfter / .seconds(1)
            configuration.stallSeconds = spec.stall / .seconds(1)
        }
        configuration.web = (web ?? spec?.coordinator.web).map { RPCAddress(host: $0.host, port: $0.port) }
        configuration.metrics = (common.metrics ?? spec?.coordinator.metrics).map {
            RPCAddress(host: $0.host, port: $0.port)
        }
        configuration.version = LariatVersion.current
        return configuration
    }
}
