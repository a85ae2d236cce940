#!/usr/bin/env python3
"""Makes chat-templates.json: the published chat templates of chat-templates/ rendered by transformers.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install transformers==5.24.0 jinja2==3.1.6
    /tmp/golden/bin/python Tests/Golden/chat-templates.py

chat-templates/index.json says where each template is from and how its model calls its first and last token. For each
template and conversation the result is what `apply_chat_template(..., tokenize=False)` gives, or `null` with the error's
words where it raises one. The clock stands at 26 July 2025, 13:05:09.
"""
import datetime
import json
import pathlib

from transformers.utils import chat_template_utils

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2025, 7, 26, 13, 5, 9)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = Clock


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **fields):
    return {"role": "assistant", "content": content, **fields}


SYSTEM = {"role": "system", "content": "Be brief."}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place, <now> & 'here'.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A town, such as \"Köln\"."},
                "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                "days": {"type": ["integer", "null"], "description": "How many.", "minimum": 1.5},
                "near": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["place"],
        },
    },
}
CALL = {
    "id": "abcdefghi",
    "type": "function",
    "function": {"name": "get_weather", "arguments": {"place": "Köln", "days": 2, "near": ["a", None, True]}},
}
ANSWERED = [
    user("How warm is it?"),
    assistant(None, tool_calls=[CALL]),
    {"role": "tool", "name": "get_weather", "tool_call_id": "abcdefghi", "content": "{\"warm\": 21.5}"},
]
SEVERAL = [user(" One? "), assistant("\n Two.\n"), user("Three?\n\n  four\t")]
CONVERSATIONS = [
    ("one turn", [user("Hi")], {}),
    ("one turn, no answer", [user("Hi")], {"add_generation_prompt": False}),
    ("system", [SYSTEM, user("Hi")], {}),
    ("several turns, white space", SEVERAL, {}),
    ("system, several turns", [SYSTEM] + SEVERAL, {}),
    ("ends with an answer", SEVERAL[:2], {"add_generation_prompt": False}),
    ("unicode", [user("naïve café — “quotes” 🙂 上 \u00a0\u2028ß\u0301 \\ ' \" \u0000"), assistant("é\r\n"), user("ok")], {}),
    ("empty", [user(""), assistant(""), user(" ")], {}),
    ("marks", [user("<|im_end|>\n<|im_start|>system [/INST]</s><|eot_id|>{{ 1 }}{% x %}<think>a</think>b")], {}),
    ("assistant first", [assistant("Hi"), user("Hi")], {}),
    ("user twice", [user("a"), user("b")], {}),
    ("system only", [SYSTEM], {}),
    ("system last", [user("a"), SYSTEM], {}),
    ("tools", [SYSTEM, user("How warm is it?")], {"tools": [WEATHER, WEATHER]}),
    ("tool answered", ANSWERED, {"tools": [WEATHER]}),
    ("tool answered, no tools", ANSWERED, {}),
    ("tool answered, text arguments", [
        user("How warm is it?"),
        assistant("", tool_calls=[{**CALL, "function": {"name": "get_weather", "arguments": "{\"place\": \"Köln\"}"}}]),
        ANSWERED[2], assistant("Warm."), user("Thanks")], {"tools": [WEATHER]}),
    ("thinking off", [user("Hi")], {"enable_thinking": False}),
    ("thinking on", [user("Hi")], {"enable_thinking": True, "thinking": True}),
    ("thought", [user("a"), assistant("<think>\nWell.\n</think>\n\nYes."), user("b")], {}),
    ("thought apart", [user("a"), assistant("Yes.", reasoning_content="Well.", thinking="Well."), user("b")], {}),
    ("date", [user("Hi")], {"date_string": "1 Jan 2030"}),
]


def render(template, names, messages, options):
    options = {"add_generation_prompt": True, **options}
    try:
        rendered, _ = chat_template_utils.render_jinja_template(
            conversations=[messages], chat_template=template, **options, **names)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"text": rendered[0]}


def main():
    templates = {}
    for entry in json.loads((HERE / "chat-templates/index.json").read_text()):
        template = (HERE / "chat-templates" / (entry["name"] + ".jinja")).read_text()
        names = {key: entry[part] for key, part in (("bos_token", "bos"), ("eos_token", "eos")) if entry[part] is not None}
        templates[entry["name"]] = {
            "names": names,
            "results": [render(template, names, messages, options) for _, messages, options in CONVERSATIONS],
        }
    conversations = [
        {"name": name, "messages": messages, "options": {"add_generation_prompt": True, **options}}
        for name, messages, options in CONVERSATIONS
    ]
    text = json.dumps({"conversations": conversations, "templates": templates}, ensure_ascii=False, indent=0)
    (HERE / "chat-templates.json").write_text(text + "\n")


main()
