// Chat templates: Jinja programs from models' files or from whoever submits a job, and a few published ones by name.
internal import Jinja

/// A chat template. What is wrong with it is said when a conversation is written with it.
public struct ChatTemplate: Sendable {
    /// Where it is from, for messages: "the model file's chat template".
    let origin: String
    let program: Result<JinjaTemplate, JinjaError>
    /// Texts that stand in the template itself.
    let literals: [String]

    /// - Parameters:
    ///   - source: in Jinja.
    ///   - origin: where it is from, in words such as "the template chatml".
    public init(_ source: String, from origin: String) {
        self.origin = origin
        do throws(JinjaError) {
            let template = try JinjaTemplate(source)
            program = .success(template)
            literals = template.literals
        } catch {
            program = .failure(error)
            literals = []
        }
    }

    /// Why no conversation can be written with it, with the line; nil for a template that can be run.
    public var problem: String? {
        guard case .failure(let error) = program else { return nil }
        return "\(error)"
    }

    /// The names of the templates that Lariat brings along.
    public static var names: [String] { published.map(\.name) }

    /// The template of that name.
    public init?(named name: String) {
        guard let template = Self.published.first(where: { $0.name == name }) else { return nil }
        self.init(template.source, from: "the template \(name)")
    }

    /// The template that somebody asks for by one of `names` or as a Jinja program; nil for nothing.
    /// - Throws: `TokenizerError` for a word that is neither.
    public static func chosen(_ choice: String) throws(TokenizerError) -> ChatTemplate? {
        guard !choice.isEmpty else { return nil }
        if let template = ChatTemplate(named: choice) { return template }
        guard choice.contains("{") else {
            throw TokenizerError(
                kind: .chatTemplate,
                problem:
                    "There is no chat template called \"\(choice.prefix(60))\"; \(names.joined(separator: ", ")) are "
                    + "there, and a Jinja program may stand in their place")
        }
        return ChatTemplate(choice, from: "the chat template of the job")
    }

    /// Most bytes of a template's text.
    public static var longestSource: Int { JinjaTemplate.longestSource }

    /// The forms of published models, after their own templates: ChatML as in Qwen and SmolLM2 (without a system message of
    /// its own), the others as in the models of their names.
    private static let published: [(name: String, source: String)] = [
        (
            "chatml",
            "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
                + "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
        ),
        (
            "llama2",
            "{% if messages[0]['role'] == 'system' %}{% set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}"
                + "{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
                + "{% for message in turns %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
                + "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
                + "{% set content = system + message['content'] if loop.first else message['content'] %}"
                + "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
                + "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
        ),
        (
            "llama3",
            "{% for message in messages %}{{ (bos_token if loop.first else '') + '<|start_header_id|>' + message['role'] "
                + "+ '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
                + "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
        ),
        (
            "mistral",
            "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\\n\\n' %}"
                + "{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
                + "{{ bos_token }}{% for message in turns %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
                + "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
                + "{% if message['role'] == 'user' %}{{ '[INST] ' + (system if loop.first else '') + message['content'] "
                + "+ ' [/INST]' }}{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
        ),
        (
            "phi3",
            "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}{% endfor %}"
                + "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
        ),
        (
            "phi4",
            "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + '<|im_end|>' }}"
                + "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"
        ),
        (
            "zephyr",
            "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}"
                + "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
        ),
        (
            "gemma",
            "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{{ bos_token }}"
                + "{% for message in messages %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else "
                + "message['role']) + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
                + "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
        ),
    ]
}
