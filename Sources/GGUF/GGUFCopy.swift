// Writing an edited copy of a GGUF file, whole or not at all.

extension GGUFFile {
    /// Writes a copy of the file to `path`, with the differences that `edit` says.
    ///
    /// The copy is GGUF version 3. It has the file's metadata and tensors in the file's order, bytes and types, and its
    /// `general.alignment`; the tensors' places are worked out anew. Bytes of the file that belong to no tensor are left
    /// out. The copy holds only what `GGUFFile.init` opens, and llama.cpp opens it where it would open the file.
    ///
    /// The file at `path` appears when it is complete and on the disk, under a temporary name in the same folder
    /// before that, so that neither an error nor a crash leaves half a file or harms one that was there. After an
    /// error the temporary file is gone; a process that is killed leaves it, named `path` with `.partial-` and 16
    /// digits behind. With `overwrite` a file at `path`, or the one that a symbolic link there leads to, is replaced by
    /// one of the same owner and mode, and a device or pipe is written to.
    ///
    /// Throws when the edit has a name, shape or size that no file can have, when `path` is the file itself, when there
    /// is one at `path` already and `overwrite` is false, and when the disk refuses. It returns when all is on the
    /// disk: for a large file that takes minutes, so call it on a thread that may wait.
    public func writeCopy(to path: String, edit: GGUFEdit, overwrite: Bool = false) throws(GGUFError) {
        try writeCopy(to: path, edit: edit, overwrite: overwrite, checkingSpace: true)
    }

    /// `checkingSpace` is false in tests that want the disk to fill up while writing, as it does when others write too.
    package func writeCopy(
        to path: String, edit: GGUFEdit, overwrite: Bool, checkingSpace: Bool
    ) throws(GGUFError) {
        let plan = try CopyPlan(self, edit, path: path)
        let target = FileIdentity(path: path)
        if let target, target == mapping.identity || target == FileIdentity(path: self.path) {
            throw GGUFError(
                kind: .unwritable, path: path, problem: "is the file that is copied. Name another file")
        }
        var copy = try NewFile(
            path: path, byteCount: plan.byteCount, overwrite: overwrite, checkingSpace: checkingSpace)
        try copy.write(plan.header, at: 0)
        for (offset, contents) in plan.tensors {
            switch contents {
            case .new(let bytes): try copy.write(bytes, at: offset)
            case .old(let range):
                try unsafe mapping.withBytes(range) { bytes throws(GGUFError) in
                    try unsafe copy.write(bytes, at: offset, from: self.path)
                }
            }
        }
        try copy.write([], at: plan.byteCount)
        try copy.finish()
    }
}
