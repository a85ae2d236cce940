// Words that text is cut into before byte-level BPE, as Hugging Face cuts it.
// Made with the Python package tokenizers 0.23.3: pre_tokenizers.Split with each regular expression, and for smollm
// Sequence([Split("\p{Nd}"), Split(gpt2)]). Words are separated by "¦".

struct ExpectedWords {
    let text: String
    let gpt2: String
    let smollm: String
    let llama3: String
    let qwen2: String

    init(_ text: String, gpt2: String, smollm: String, llama3: String, qwen2: String) {
        self.text = text
        self.gpt2 = gpt2
        self.smollm = smollm
        self.llama3 = llama3
        self.qwen2 = qwen2
    }

    static let all = [
        ExpectedWords(
            "Hello, world!",
            gpt2: "Hello¦,¦ world¦!",
            smollm: "Hello¦,¦ world¦!",
            llama3: "Hello¦,¦ world¦!",
            qwen2: "Hello¦,¦ world¦!"),
        ExpectedWords(
            "  two  spaces   three",
            gpt2: " ¦ two¦ ¦ spaces¦  ¦ three",
            smollm: " ¦ two¦ ¦ spaces¦  ¦ three",
            llama3: " ¦ two¦ ¦ spaces¦  ¦ three",
            qwen2: " ¦ two¦ ¦ spaces¦  ¦ three"),
        ExpectedWords(
            "don't DON'T I'll we'Ve 'll'd x'ſy 'S't",
            gpt2: "don¦'t¦ DON¦'¦T¦ I¦'ll¦ we¦'¦Ve¦ '¦ll¦'d¦ x¦'¦ſy¦ '¦S¦'t",
            smollm: "don¦'t¦ DON¦'¦T¦ I¦'ll¦ we¦'¦Ve¦ '¦ll¦'d¦ x¦'¦ſy¦ '¦S¦'t",
            llama3: "don¦'t¦ DON¦'T¦ I¦'ll¦ we¦'Ve¦ '¦ll¦'d¦ x¦'ſ¦y¦ '¦S¦'t",
            qwen2: "don¦'t¦ DON¦'T¦ I¦'ll¦ we¦'Ve¦ '¦ll¦'d¦ x¦'ſ¦y¦ '¦S¦'t"),
        ExpectedWords(
            "12345 1 22 333 4444 ½³Ⅷ٣४",
            gpt2: "12345¦ 1¦ 22¦ 333¦ 4444¦ ½³Ⅷ٣४",
            smollm: "1¦2¦3¦4¦5¦ ¦1¦ ¦2¦2¦ ¦3¦3¦3¦ ¦4¦4¦4¦4¦ ½³Ⅷ¦٣¦४",
            llama3: "123¦45¦ ¦1¦ ¦22¦ ¦333¦ ¦444¦4¦ ¦½³Ⅷ¦٣४",
            qwen2: "1¦2¦3¦4¦5¦ ¦1¦ ¦2¦2¦ ¦3¦3¦3¦ ¦4¦4¦4¦4¦ ¦½¦³¦Ⅷ¦٣¦४"),
        ExpectedWords(
            "a\n\nb\r\n\r\n c \n \n  d\t\te   ",
            gpt2: "a¦\n¦\n¦b¦\r\n\r\n¦ c¦ \n \n ¦ d¦\t¦\t¦e¦   ",
            smollm: "a¦\n¦\n¦b¦\r\n\r\n¦ c¦ \n \n ¦ d¦\t¦\t¦e¦   ",
            llama3: "a¦\n\n¦b¦\r\n\r\n¦ c¦ \n \n¦ ¦ d¦\t¦\te¦   ",
            qwen2: "a¦\n\n¦b¦\r\n\r\n¦ c¦ \n \n¦ ¦ d¦\t¦\te¦   "),
        ExpectedWords(
            "tabs\t\tand\u{A0}nbsp\u{3000}wide\u{2028}ls\u{85}nel",
            gpt2: "tabs¦\t¦\t¦and¦\u{A0}¦nbsp¦\u{3000}¦wide¦\u{2028}¦ls¦\u{85}¦nel",
            smollm: "tabs¦\t¦\t¦and¦\u{A0}¦nbsp¦\u{3000}¦wide¦\u{2028}¦ls¦\u{85}¦nel",
            llama3: "tabs¦\t¦\tand¦\u{A0}nbsp¦\u{3000}wide¦\u{2028}ls¦\u{85}nel",
            qwen2: "tabs¦\t¦\tand¦\u{A0}nbsp¦\u{3000}wide¦\u{2028}ls¦\u{85}nel"),
        ExpectedWords(
            "!!!\n\n...\r\nx???",
            gpt2: "!!!¦\n¦\n¦...¦\r¦\n¦x¦???",
            smollm: "!!!¦\n¦\n¦...¦\r¦\n¦x¦???",
            llama3: "!!!\n\n¦...\r\n¦x¦???",
            qwen2: "!!!\n\n¦...\r\n¦x¦???"),
        ExpectedWords(
            "naïve café — “quotes” …",
            gpt2: "naïve¦ café¦ —¦ “¦quotes¦”¦ …",
            smollm: "naïve¦ café¦ —¦ “¦quotes¦”¦ …",
            llama3: "naïve¦ café¦ —¦ “¦quotes¦”¦ …",
            qwen2: "naïve¦ café¦ —¦ “¦quotes¦”¦ …"),
        ExpectedWords(
            "上下文長度123越卷，我們 真",
            gpt2: "上下文長度¦123¦越卷¦，¦我們¦ 真",
            smollm: "上下文長度¦1¦2¦3¦越卷¦，¦我們¦ 真",
            llama3: "上下文長度¦123¦越卷¦，我們¦ 真",
            qwen2: "上下文長度¦1¦2¦3¦越卷¦，我們¦ 真"),
        ExpectedWords(
            "e\u{301} combining क्ष हिन्दी",
            gpt2: "e¦\u{301}¦ combining¦ क¦्¦ष¦ ह¦ि¦न¦्¦द¦ी",
            smollm: "e¦\u{301}¦ combining¦ क¦्¦ष¦ ह¦ि¦न¦्¦द¦ी",
            llama3: "e¦\u{301}¦ combining¦ क¦्ष¦ ह¦िन¦्द¦ी",
            qwen2: "e¦\u{301}¦ combining¦ क¦्ष¦ ह¦िन¦्द¦ी"),
        ExpectedWords(
            "emoji 🙂👩\u{200D}👩\u{200D}👧 done",
            gpt2: "emoji¦ 🙂👩\u{200D}👩\u{200D}👧¦ done",
            smollm: "emoji¦ 🙂👩\u{200D}👩\u{200D}👧¦ done",
            llama3: "emoji¦ 🙂👩\u{200D}👩\u{200D}👧¦ done",
            qwen2: "emoji¦ 🙂👩\u{200D}👩\u{200D}👧¦ done"),
        ExpectedWords(
            " 3 5  7   x  9",
            gpt2: " 3¦ 5¦ ¦ 7¦  ¦ x¦ ¦ 9",
            smollm: " ¦3¦ ¦5¦  ¦7¦  ¦ x¦  ¦9",
            llama3: " ¦3¦ ¦5¦ ¦ ¦7¦  ¦ x¦ ¦ ¦9",
            qwen2: " ¦3¦ ¦5¦ ¦ ¦7¦  ¦ x¦ ¦ ¦9"),
        ExpectedWords(
            "\n\n\n",
            gpt2: "\n\n\n",
            smollm: "\n\n\n",
            llama3: "\n\n\n",
            qwen2: "\n\n\n"),
        ExpectedWords(
            "   ",
            gpt2: "   ",
            smollm: "   ",
            llama3: "   ",
            qwen2: "   "),
        ExpectedWords(
            "",
            gpt2: "",
            smollm: "",
            llama3: "",
            qwen2: ""),
        ExpectedWords(
            "'",
            gpt2: "'",
            smollm: "'",
            llama3: "'",
            qwen2: "'"),
        ExpectedWords(
            "' 's",
            gpt2: "'¦ '¦s",
            smollm: "'¦ '¦s",
            llama3: "'¦ '¦s",
            qwen2: "'¦ '¦s"),
        ExpectedWords(
            "x\u{200B}y\u{FEFF}z",
            gpt2: "x¦\u{200B}¦y¦\u{FEFF}¦z",
            smollm: "x¦\u{200B}¦y¦\u{FEFF}¦z",
            llama3: "x¦\u{200B}y¦\u{FEFF}z",
            qwen2: "x¦\u{200B}y¦\u{FEFF}z"),
        ExpectedWords(
            "def f(x):\n    return x**2  # square\n",
            gpt2: "def¦ f¦(¦x¦):¦\n   ¦ return¦ x¦**¦2¦ ¦ #¦ square¦\n",
            smollm: "def¦ f¦(¦x¦):¦\n   ¦ return¦ x¦**¦2¦ ¦ #¦ square¦\n",
            llama3: "def¦ f¦(x¦):\n¦   ¦ return¦ x¦**¦2¦ ¦ #¦ square¦\n",
            qwen2: "def¦ f¦(x¦):\n¦   ¦ return¦ x¦**¦2¦ ¦ #¦ square¦\n"),
        ExpectedWords(
            "$1,234.56 (50%)",
            gpt2: "$¦1¦,¦234¦.¦56¦ (¦50¦%)",
            smollm: "$¦1¦,¦2¦3¦4¦.¦5¦6¦ (¦5¦0¦%)",
            llama3: "$¦1¦,¦234¦.¦56¦ (¦50¦%)",
            qwen2: "$¦1¦,¦2¦3¦4¦.¦5¦6¦ (¦5¦0¦%)"),
        ExpectedWords(
            "foo_bar __init__ a'b''c'",
            gpt2: "foo¦_¦bar¦ __¦init¦__¦ a¦'¦b¦''¦c¦'",
            smollm: "foo¦_¦bar¦ __¦init¦__¦ a¦'¦b¦''¦c¦'",
            llama3: "foo¦_bar¦ __¦init¦__¦ a¦'b¦''¦c¦'",
            qwen2: "foo¦_bar¦ __¦init¦__¦ a¦'b¦''¦c¦'"),
        ExpectedWords(
            "ªº ʰ ǅ ℵ Ⅳ ① ½",
            gpt2: "ªº¦ ʰ¦ ǅ¦ ℵ¦ Ⅳ¦ ①¦ ½",
            smollm: "ªº¦ ʰ¦ ǅ¦ ℵ¦ Ⅳ¦ ①¦ ½",
            llama3: "ªº¦ ʰ¦ ǅ¦ ℵ¦ ¦Ⅳ¦ ¦①¦ ¦½",
            qwen2: "ªº¦ ʰ¦ ǅ¦ ℵ¦ ¦Ⅳ¦ ¦①¦ ¦½"),
        ExpectedWords(
            "tail \n",
            gpt2: "tail¦ \n",
            smollm: "tail¦ \n",
            llama3: "tail¦ \n",
            qwen2: "tail¦ \n"),
        ExpectedWords(
            "\t\n \tx",
            gpt2: "\t\n ¦\t¦x",
            smollm: "\t\n ¦\t¦x",
            llama3: "\t\n¦ ¦\tx",
            qwen2: "\t\n¦ ¦\tx"),
        ExpectedWords(
            " \u{A0} x \u{A0}y",
            gpt2: " \u{A0}¦ x¦ ¦\u{A0}¦y",
            smollm: " \u{A0}¦ x¦ ¦\u{A0}¦y",
            llama3: " \u{A0}¦ x¦ ¦\u{A0}y",
            qwen2: " \u{A0}¦ x¦ ¦\u{A0}y"),
        ExpectedWords(
            "5'5\"s 7th 'Re",
            gpt2: "5¦'¦5¦\"¦s¦ 7¦th¦ '¦Re",
            smollm: "5¦'¦5¦\"¦s¦ ¦7¦th¦ '¦Re",
            llama3: "5¦'¦5¦\"s¦ ¦7¦th¦ '¦Re",
            qwen2: "5¦'¦5¦\"s¦ ¦7¦th¦ '¦Re"),
    ]
}
