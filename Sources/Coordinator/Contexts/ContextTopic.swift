// The context that a prompt asks about, as far as it decides how the prompt becomes tokens.
package import Messages

/// A context with the chat template that it was written in.
package struct ContextTopic: Sendable {
    package var record: ContextRecord
    /// As its job named it; empty: the model file's.
    package var template: String

    package init(record: ContextRecord, template: String) {
        self.record = record
        self.template = template
    }

    /// Questions are in the chat template if their context is.
    package func settle(_ options: inout JobOptions) throws(CoordinatorError) {
        guard options.system.isEmpty else {
            throw CoordinatorError(
                .invalid,
                "a question has no system message: the context \(record.name) begins with the one that it was made with"
            )
        }
        guard options.chatTemplate.isEmpty || options.chatTemplate == template else {
            throw CoordinatorError(
                .invalid, "a question has the chat template of its context \(record.name); leave it out")
        }
        guard !options.chat || record.chat else {
            throw CoordinatorError(
                .invalid,
                "the context \(record.name) was made without the chat template: ask in plain text, --raw")
        }
        options.chat = record.chat
        options.chatIfTemplate = false
        options.chatTemplate = record.chat ? template : ""
    }
}
