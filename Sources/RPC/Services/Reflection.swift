// grpc.reflection.v1 and v1alpha: lets tools ask which services there are and what their messages look like.

import Protobuf

/// Server reflection over descriptor sets.
public struct Reflection: Sendable {
    private let services: [String]
    private let index: DescriptorIndex

    /// - Parameters:
    ///   - services: full names of what the server offers besides reflection itself.
    ///   - files: that declare them; gRPC's own need not be among them.
    package init(services: [String], files: DescriptorIndex) {
        self.services =
            services + ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
        index = DescriptorIndex.grpc.adding(files)
    }

    /// The methods of both versions.
    public var handlers: [RPCHandler] {
        [ReflectionService.info, ReflectionService.infoAlpha].map { method in
            .bidirectional(method) { reader, _, writer in
                while let request = try await reader.next() { try await writer.write(answer(request)) }
            }
        }
    }

    package func answer(_ request: ReflectionRequest) -> ReflectionResponse {
        ReflectionResponse.with {
            $0.validHost = request.host
            $0.originalRequest = request
            $0.answer = answer(to: request.question)
        }
    }

    private func answer(to question: ReflectionRequest.Question?) -> ReflectionResponse.Answer {
        switch question {
        case .listServices:
            .services(
                .with { $0.services = services.map { name in ReflectionServiceName.with { $0.name = name } } }
            )
        case .fileByFilename(let name): found(index.files(named: name), "file \(name)")
        case .fileContainingSymbol(let symbol): found(index.files(declaring: symbol), "symbol \(symbol)")
        case .fileContainingExtension(let type):
            failure(.notFound, "\(type.containingType.prefix(200)) has no extensions")
        case .allExtensionNumbersOfType(let type):
            index.files(declaring: type) == nil
                ? failure(.notFound, "symbol \(type.prefix(200)) is not known here")
                : .allExtensionNumbers(.with { $0.baseTypeName = type })
        case nil: failure(.invalidArgument, "the request asks for nothing")
        }
    }

    private func found(_ files: [[UInt8]]?, _ what: String) -> ReflectionResponse.Answer {
        guard let files else { return failure(.notFound, "\(what.prefix(200)) is not known here") }
        return .files(.with { $0.files = files })
    }

    private func failure(_ code: RPCStatus.Code, _ message: String) -> ReflectionResponse.Answer {
        .error(
            .with {
                $0.code = Int32(code.rawValue)
                $0.message = message
            })
    }
}
