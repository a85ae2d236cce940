// What protoc-c made of Proto/lariat.proto: the tables of its messages, and the file as reflection tells it.
internal import CLariatProto
package import Protobuf
package import RPC

extension DescriptorTable {
    /// The messages of `Proto/lariat.proto`.
    package static let lariat = unsafe DescriptorTable(lariat_descriptors(), count: lariat_descriptor_count)
}

extension DescriptorIndex {
    /// Of `Proto/lariat.proto`, for `Reflection`.
    package static let lariat = DescriptorIndex(
        set: unsafe [UInt8](
            UnsafeBufferPointer(start: lariat_descriptor_set_bytes(), count: lariat_descriptor_set_length)))
}
