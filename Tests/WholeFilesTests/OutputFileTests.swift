// Files are whole or not there, links and owners stay, and what is no regular file is written through.
import Foundation
import Testing
import WholeFiles

/// A folder for one test, gone with it.
private final class Folder {
    let path = FileManager.default.temporaryDirectory.appending(component: "whole-\(UUID().uuidString)").path

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func at(_ name: String) -> String { path + "/" + name }
    func text(_ name: String) throws -> String { try String(contentsOfFile: at(name), encoding: .utf8) }
    func put(_ text: String, _ name: String) throws {
        try text.write(toFile: at(name), atomically: false, encoding: .utf8)
    }
    func link(_ name: String, to target: String) throws {
        try FileManager.default.createSymbolicLink(atPath: at(name), withDestinationPath: target)
    }
    var names: [String] { get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() } }

    func attribute<T>(_ key: FileAttributeKey, _ name: String) throws -> T {
        try #require(FileManager.default.attributesOfItem(atPath: at(name))[key] as? T)
    }
}

@Suite struct OutputFileTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    private func write(
        _ text: String, _ path: String, for readers: OutputFile.Readers = .everybody,
        present: OutputFile.Present = .replaced
    ) throws(OutputError) {
        var file = try OutputFile(path, for: readers, present: present)
        try file.append(Array(text.utf8))
        try file.finish()
    }

    /// The error with which that is refused; nil: it is written.
    private func refused(
        _ text: String, _ path: String, present: OutputFile.Present = .replaced
    ) -> OutputError? {
        do throws(OutputError) { try write(text, path, present: present) } catch { return error }
        return nil
    }

    @Test func newFiles() throws {
        try write("one", folder.at("a"), for: .owner)
        #expect(try folder.text("a") == "one")
        #expect(try folder.attribute(.posixPermissions, "a") as Int == 0o600)
        try write("", folder.at("b"))
        let mask = Int(umask(0))
        umask(mode_t(mask))
        #expect(try folder.attribute(.posixPermissions, "b") as Int == 0o666 & ~mask)
        #expect(try folder.names == ["a", "b"])
    }

    /// Until it is finished the old file is there, and nothing of a file that was given up.
    @Test func wholeOrNotThere() throws {
        try folder.put("old", "a")
        do {
            var file = try OutputFile(folder.at("a"))
            try file.append(Array("half".utf8))
            #expect(try folder.text("a") == "old")
            #expect(try folder.names.count == 2)
        }
        #expect(try folder.names == ["a"])
        #expect(try folder.text("a") == "old")
    }

    @Test func keptFiles() throws {
        try folder.put("old", "a")
        try folder.link("loose", to: "nowhere")
        for name in ["a", "loose"] {
            #expect(refused("new", folder.at(name), present: .kept)?.reason == .exists)
        }
        // Also one that came while the new one was written.
        let late = try OutputFile(folder.at("b"), present: .kept)
        try folder.put("first", "b")
        do throws(OutputError) {
            try late.finish()
            Issue.record("a file was replaced that was to be kept")
        } catch { #expect(error.reason == .exists) }
        #expect(try folder.text("b") == "first" && folder.names == ["a", "b", "loose"])
    }

    @Test func ownersAndModes() throws {
        try folder.put("old", "a")
        try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: folder.at("a"))
        if getuid() == 0 { #expect(chown(folder.at("a"), 1, 2) == 0) }
        try write("new", folder.at("a"), for: .everybody)
        #expect(try folder.attribute(.posixPermissions, "a") as Int == 0o640)
        if getuid() == 0 {
            #expect(try folder.attribute(.ownerAccountID, "a") as Int == 1)
            #expect(try folder.attribute(.groupOwnerAccountID, "a") as Int == 2)
        }
    }

    /// The link stays, and so does the mode of what it leads to; a link to nothing makes it.
    @Test func symbolicLinks() throws {
        try folder.put("old", "real")
        try FileManager.default.setAttributes([.posixPermissions: 0o604], ofItemAtPath: folder.at("real"))
        try folder.link("one", to: "real")
        try folder.link("two", to: folder.at("one"))
        try folder.link("loose", to: "made")
        try write("new", folder.at("two"))
        try write("made", folder.at("loose"))
        #expect(try folder.text("real") == "new" && folder.text("made") == "made")
        #expect(try folder.attribute(.posixPermissions, "real") as Int == 0o604)
        for name in ["one", "two", "loose"] {
            #expect(try folder.attribute(.type, name) as FileAttributeType == .typeSymbolicLink)
        }
        try folder.link("round", to: "round")
        #expect(refused("", folder.at("round"))?.reason == .system(ELOOP))
        try folder.link("lost", to: "no/such")
        let error = refused("", folder.at("lost"))
        #expect(error?.problem.contains("The folder '\(folder.at("no"))' does not exist") == true)
    }

    /// A null device of the test's own, named itself and by a link: it is a device afterwards, too.
    @Test func devices() throws {
        let null = folder.at("null")
        guard mknod(null, S_IFCHR | 0o666, dev_t(1 << 8 | 3)) == 0 else {
            return withKnownIssue("no device can be made here: \(String(cString: strerror(errno)))") {
                Issue.record("devices were not tried")
            }
        }
        try folder.link("link", to: "null")
        for path in [null, folder.at("link")] {
            do throws(OutputError) { try write("gone", path) } catch {
                // A file system without devices, or a container that may not open them.
                guard [.system(EACCES), .system(EPERM), .system(ENXIO)].contains(error.reason) else {
                    throw error
                }
                return withKnownIssue("no device can be opened here: \(error)") {
                    Issue.record("devices were not tried")
                }
            }
            #expect(try folder.attribute(.type, "null") as FileAttributeType == .typeCharacterSpecial)
        }
        #expect(refused("", null, present: .kept)?.reason == .exists)
        #expect(try folder.names == ["link", "null"])
    }

    @Test func namedPipes() throws {
        let pipe = folder.at("pipe")
        #expect(mkfifo(pipe, 0o600) == 0)
        let reader = open(pipe, O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        var file = try OutputFile(pipe)
        #expect(file.folder == nil)
        try file.append(Array("ab".utf8))
        // What lies between is zero, as in a file with a hole.
        try unsafe [UInt8(ascii: "c")].withUnsafeBytes { try unsafe file.write($0, at: 4) }
        try file.finish()
        var bytes = [UInt8](repeating: 1, count: 16)
        #expect(read(reader, &bytes, 16) == 5)
        #expect(bytes[..<5] == [97, 98, 0, 0, 99])
        #expect(try folder.attribute(.type, "pipe") as FileAttributeType == .typeUnknown)
        #expect(try folder.names == ["pipe"])
    }

    /// `{ echo one; lariat trace -o /dev/stdout; } >file` goes on behind what is there.
    @Test func descriptors() throws {
        let descriptor = open(folder.at("a"), O_WRONLY | O_CREAT, 0o600)
        defer { close(descriptor) }
        #expect(Foundation.write(descriptor, "one ", 4) == 4)
        try write("two ", "/proc/self/fd/\(descriptor)")
        try folder.link("link", to: "/dev/fd/\(descriptor)")
        try write("three", folder.at("link"))
        #expect(try folder.text("a") == "one two three")
        #expect(refused("", "/proc/self/fd/999999")?.reason == .system(EBADF))
    }

    @Test func placesThatCannotBe() throws {
        try folder.put("file", "a")
        for (path, part) in [
            ("", "is not the name of a file"), (folder.path + "/", "is not the name of a file"),
            (folder.path, "Is a directory. Name a file in that folder"),
            (folder.at("no/b"), "The folder '\(folder.at("no"))' does not exist: make it first"),
            (folder.at("a/b"), "Not a directory"), ("/dev/full", "No space left on device"),
        ] {
            let error = refused("x", path)
            #expect(
                error?.path == path && error?.problem.contains(part) == true, "\(String(describing: error))")
        }
        #expect(try folder.names == ["a"])
    }

    /// A folder on a disk that may only be read: the error names the remedy, and the file there stays.
    @Test func readOnlyFolders() throws {
        try folder.put("old", "a")
        func run(_ command: String...) -> Bool {
            let process = Process()
            process.executableURL = URL(filePath: "/usr/bin/env")
            process.arguments = command
            process.standardError = FileHandle.nullDevice
            guard (try? process.run()) != nil else { return false }
            process.waitUntilExit()
            return process.terminationStatus == 0
        }
        // Permissions do not bind root.
        if getuid() == 0 {
            guard run("mount", "--bind", folder.path, folder.path),
                run("mount", "-o", "remount,bind,ro", folder.path)
            else {
                return withKnownIssue("no folder can be mounted here") { Issue.record("it was not tried") }
            }
        } else {
            chmod(folder.path, 0o500)
        }
        defer { if getuid() == 0 { _ = run("umount", folder.path) } else { chmod(folder.path, 0o700) } }
        for name in ["a", "b"] {
            let error = refused("x", folder.at(name))
            #expect(error?.reason == .system(EROFS) || error?.reason == .system(EACCES))
            #expect(error?.problem.contains("Name a file in a folder that you may write to") == true)
        }
        #expect(try folder.names == ["a"] && folder.text("a") == "old")
    }
}
