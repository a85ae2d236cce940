// From the key `kv` of a specification to where workers keep sequences on disk.

extension SpecificationReader {
    /// The key at the top, for all workers.
    func kv(_ mapping: YAMLMapping?) throws(ClusterError) -> ClusterSpecification.KVDisk? {
        try kv(mapping, otherwise: nil)
    }

    /// A worker's own key, of which each part may be missing where the common one has it.
    func kv(
        _ mapping: YAMLMapping?, otherwise common: ClusterSpecification.KVDisk?
    ) throws(ClusterError) -> ClusterSpecification.KVDisk? {
        guard let mapping else { return common }
        try mapping.allow(["path", "disk"])
        guard let path = try file(mapping, "path") ?? common?.path else {
            throw mapping.missing("path", example: "/var/lib/lariat/kv")
        }
        guard let disk = try size(mapping, "disk") ?? common?.disk else {
            throw mapping.missing("disk", example: "100GiB")
        }
        guard disk.bytes >= 1 << 20 else {
            throw mapping.error("disk", "\(disk) is too little for any KV; it must be 1MiB or more")
        }
        return ClusterSpecification.KVDisk(path: path, disk: disk)
    }
}
