// What protoc-c made of gRPC's own files in Proto/: the tables of their messages, and the files as reflection tells
// them.
internal import CGRPCProto
package import Protobuf

extension DescriptorTable {
    /// The messages of health checking and reflection.
    package static let grpc = unsafe DescriptorTable(grpc_descriptors(), count: grpc_descriptor_count)
}

extension DescriptorIndex {
    /// The files of health checking and reflection.
    package static let grpc = DescriptorIndex(
        set: unsafe [UInt8](
            UnsafeBufferPointer(start: grpc_descriptor_set_bytes(), count: grpc_descriptor_set_length)))
}
