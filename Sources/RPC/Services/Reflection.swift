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
        ReflectionResponse.with { response in
            response.validHost = request.host
            response.originalRequest = request
            func files(_ found: [[UInt8]]?, _ what: String) {
                if let found {
                    response.fileDescriptors = ReflectionFiles.with { $0.files = found }
                } else {
                    response.error = failure(.notFound, "\(what.prefix(200)) is not known here")
                }
            }
            if request.listServices != nil {
                response.services = ReflectionServices.with {
                    $0.services = services.map { name in ReflectionServiceName.with { $0.name = name } }
                }
            } else if let name = request.fileByFilename {
                files(index.files(named: name), "file \(name)")
            } else if let symbol = request.fileContainingSymbol {
                files(index.files(declaring: symbol), "symbol \(symbol)")
            } else if let type = request.fileContainingExtension {
                response.error = failure(.notFound, "\(type.containingType.prefix(200)) has no extensions")
            } else if let type = request.allExtensionNumbersOfType {
                if index.files(declaring: type) != nil {
                    response.allExtensionNumbers = ReflectionExtensionNumbers.with { $0.baseTypeName = type }
                } else {
                    response.error = failure(.notFound, "symbol \(type.prefix(200)) is not known here")
                }
            } else {
                response.error = failure(.invalidArgument, "the request asks for nothing")
            }
        }
    }

    private func failure(_ code: RPCStatus.Code, _ message: String) -> ReflectionError {
        ReflectionError.with {
            $0.code = Int32(code.rawValue)
            $0.message = message
        }
    }
}
