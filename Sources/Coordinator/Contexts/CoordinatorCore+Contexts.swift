// What clients ask about contexts, and what is written of them.
package import Messages
import Protobuf

extension CoordinatorCore {
    /// A question's tokens behind those of its context; other prompts as they are.
    func whole(
        _ prompt: [UInt32], _ options: JobOptions, owner: String
    ) async throws(CoordinatorError) -> [UInt32] {
        guard options.kind == .generate || options.kind == .unspecified, !options.context.isEmpty else {
            return prompt
        }
        let name = ContextName(owner: owner, name: options.context)
        _ = try scheduler.context(name)
        guard !prompt.isEmpty else { throw CoordinatorError(.invalid, "the question is empty") }
        return try await journal.tokens(of: name) + prompt
    }

    /// What a prompt with these options asks about; nil: it is no question about a context.
    package func topic(of options: JobOptions?, owner: String) async throws(CoordinatorError) -> ContextTopic?
    {
        guard let options, !options.context.isEmpty, [.generate, .unspecified].contains(options.kind) else {
            return nil
        }
        let name = ContextName(owner: owner, name: options.context)
        do throws(CoordinatorError) {
            return ContextTopic(
                record: try scheduler.context(name), template: try await journal.template(of: name))
        } catch {
            take(.refused(error.kind))
            throw error
        }
    }

    package func context(_ name: String, owner: String) throws(CoordinatorError) -> ContextRecord {
        try scheduler.context(ContextName(owner: owner, name: name))
    }

    /// - Parameter request: its page token is of the last page; empty for the first.
    package func contexts(
        _ request: ListContextsRequest, owner: String
    ) throws(CoordinatorError) -> ListContextsReply {
        let size = request.pageSize == 0 ? 100 : min(Int(request.pageSize), 100)
        guard let start = request.pageToken.isEmpty ? 0 : Int(request.pageToken), start >= 0 else {
            throw CoordinatorError(
                .invalid, "the page token \"\(request.pageToken.prefix(40))\" is not one of ours")
        }
        let all = scheduler.contexts(of: owner)
        return .with {
            $0.contexts = Array(all.dropFirst(start).prefix(size))
            if all.count > start, all.count - start > size { $0.nextPageToken = String(start + size) }
        }
    }

    /// Frees its keys and values and forgets its tokens; a job that still computes it is cancelled.
    package func removeContext(_ name: String, owner: String) async throws(CoordinatorError) -> ContextRecord
    {
        let key = ContextName(owner: owner, name: name)
        let record = try scheduler.context(key)
        if record.state == .ingesting { _ = try await cancel(record.job) }
        try await journal.remove(key)
        take(.removed(key))
        return record
    }

    package func pinContext(
        _ request: PinContextRequest, owner: String
    ) async throws(CoordinatorError) -> ContextRecord {
        let key = ContextName(owner: owner, name: request.name)
        _ = try scheduler.context(key)
        take(.pinned(key, !request.undo))
        return try scheduler.context(key)
    }

    /// Writes what has become of a context; of several changes to one the last.
    func save(_ record: ContextRecord, _ memory: ContextMemory?) {
        unsavedContexts[ContextName(record)] = (record, memory)
        guard !isSavingContexts else { return }
        isSavingContexts = true
        Task { await saveContexts() }
    }

    private func saveContexts() async {
        while let (name, unsaved) = unsavedContexts.first {
            unsavedContexts[name] = nil
            // A full disk costs the count of questions, or what is in memory is computed again after a restart.
            try? await journal.save(unsaved.record, unsaved.memory)
        }
        isSavingContexts = false
    }
}
