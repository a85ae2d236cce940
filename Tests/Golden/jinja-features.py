#!/usr/bin/env python3
"""Makes jinja-features.json: small templates, each for one feature of Jinja, rendered in the environment of transformers.

Run it as chat-templates.py. Where Jinja raises an error, the result is its name.
"""
import datetime
import json
import pathlib

from transformers.utils import chat_template_utils

HERE = pathlib.Path(__file__).parent


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime(2025, 7, 26, 13, 5, 9)


chat_template_utils.datetime = Clock

NAMES = {
    "text": " Straße, Ünï 🙂 ", "empty": "", "nothing": None, "yes": True, "no": False, "whole": 7, "part": 2.5,
    "list": [3, 1, 2], "words": ["b", "A", "c"], "map": {"b": 1, "a": [True, None, 1.5, "x\"\\\n/é\u2028\u0001"], "items": 3},
    "people": [{"name": "Ann", "age": 30, "at": {"town": "x"}}, {"name": "bob", "age": 25, "at": {"town": "y"}}, {"name": "Cy"}],
    "lines": "one\n two\n\nthree\r\nfour", "tags": "<a href=\"x\">'&'</a>",
}

TEMPLATES = r"""
a{% if yes %}b{% endif %}c
  {% if yes %}  b{% endif %}  c
  {%+ if yes %}  b{%+ endif %}  c
a {%- if yes -%} b {%- endif -%} c
a¶{% if yes %}¶b¶{% endif %}¶c¶
a¶   {% if yes %}   ¶   b¶   {% endif %}   ¶c¶¶
a¶{% if yes +%}¶b¶{%- endif +%}¶c
a  {{- ' b ' -}}  c¶¶{{ 'd' }}¶¶e
{# one #}¶  {#- two -#}  ¶a{#+ three +#}¶b¶  {# four #}¶c
{% raw %}{{ x }}{% if %}{% endraw %}¶a
  {%- raw -%}  {{ x }}  {%- endraw -%}  a
a  {% raw %} x {% endraw %}  b
{{ {'a': {'b': 1}}['a']['b'] }}{{ {} }}{{ {'a': {}} }}
{{ 'a\n\t\\\'\"\x41\u00e9\U0001F642\101\q' }}
{{ "a" 'b' "c" }}{{ 1_000 }}{{ 1.5e3 }}{{ 0.1 }}{{ 1e100 }}{{ -7 }}{{ +7 }}{{ 1.0 }}
{% for i in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}
{% for i in list if i > 1 %}{{ i }}{{ loop.length }}{{ loop.last }}{% else %}none{% endfor %}
{% for i in list if i > 5 %}{{ i }}{% else %}none{% endfor %}{% for i in missing %}x{% else %}y{% endfor %}
{% for k, v in map.items() %}{{ k }}={{ v }};{% endfor %}{% for k in map %}{{ k }}{% endfor %}
{% for i in range(3) %}{% for j in range(i) %}{{ loop.depth }}{{ i }}{{ j }} {% endfor %}{{ loop.index }}{% endfor %}
{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for c in 'añb' %}{{ c }}.{% endfor %}{% for (a, b) in [[1, 2], [3, 4]] %}{{ a }}{{ b }}{% endfor %}
{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{{ loop.cycle('a', 'b') }}{% endfor %}
{% for i in nothing %}{% endfor %}
{% set x = 1 %}{% for i in list %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% if yes %}{% set x = 5 %}{% endif %}{{ x }}
{% set ns = namespace(a=1, b='x') %}{% for i in list %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}
{% set a, b = 1, [2, 3] %}{{ a }}{{ b }}{% set (c, d) = (4, 5) %}{{ c + d }}
{% set x %}a{{ whole }}{% set y = 1 %}{% endset %}[{{ x }}{{ y }}]{% set z | upper | trim %} a {% endset %}[{{ z }}]
{% macro f(a, b=2, c='x') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, c=3) }}{{ f(b=1, a=0) }}{{ f() }}
{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
{% set y = 1 %}{% macro f() %}{{ y }}{% set y = 3 %}{% endmacro %}{% set y = 2 %}{{ f() }}{{ y }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}<{{ caller('x') }}{{ a }}>{% endmacro %}{% call(b) f(1) %}{{ b }}{{ whole }}{% endcall %}
{% macro f() %}  a  {% endmacro %}[{{ f()|trim }}]{{ f() | length }}{{ f.name }}
{% filter upper | replace('B', 'x') %}ab{{ text }}{% endfilter %}
{% with a = 1, b = whole %}{{ a + b }}{% set whole = 1 %}{{ whole }}{% endwith %}{{ whole }}
{% generation %}a{% set q = 1 %}{{ q }}{% endgeneration %}{{ q }}
{% block x %}a{% endblock %}b
{{ missing }}{{ missing.a }}
{{ missing is defined }}{{ map.zz }}{{ map['zz'] is defined }}{{ list[9] }}{{ text.zz }}
{{ map.zz.y }}
{{ missing + 1 }}
{{ nothing.a }}{{ nothing['a'] }}{{ nothing.a is defined }}
{{ nothing.a.b }}
{{ yes }}{{ nothing }}{{ part }}{{ list }}{{ map }}{{ words }}{{ people[0] }}{{ ["a'b", 'c"d', "e'\"f"] }}
{{ (1, 2) | list }}{{ () | list }}{{ [[1], {'a': none}] }}
{{ 1 if map.items else 2 }}
{{ map['items'] }}{{ map.b }}{{ map['b'] }}{{ map.get('b') }}{{ map.get('q', 5) }}{{ map.get('q') }}{{ map.keys() | list }}{{ map.values() | list }}
{{ list[0] }}{{ list[-1] }}{{ list[1:] }}{{ list[:-1] }}{{ list[::-1] }}{{ list[::2] }}{{ list[5:] }}{{ list[-2:][0] }}{{ list.0 }}
{{ text[1:4] }}|{{ text[::-1] }}|{{ text[-3] }}|{{ text[0] }}|{{ text[:-2] }}|{{ text[20:] }}|{{ text[-4:-1:2] }}
{{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 7.5 // 2 }} {{ 7.5 % 2 }} {{ 4 / 2 }} {{ 1 + 2.5 }} {{ -1 ** 2 }}
{{ 2 + 3 * 4 - 1 }} {{ 1 ~ 2 ~ none ~ true ~ missing }} {{ (1 + 2) * 3 }} {{ yes + 1 }} {{ 'ab' * 3 }} {{ [1] + [2] }}
{{ 'a' ~ 1 + '2' }}
{{ 'a' ~ 1 + 2 }}
{{ 1 / 0 }}
{{ 'a' + 1 }}
{{ text + nothing }}
{{ 1 < 2 < 3 }}{{ 1 < 2 > 3 }}{{ 'a' < 'b' }}{{ 1 == 1.0 }}{{ true == 1 }}{{ '1' == 1 }}{{ [1] == [1.0] }}{{ none == none }}{{ {'a': 1} == {'a': 1} }}{{ 1 != 2 }}{{ 3 >= 3 }}{{ 3 <= 2 }}
{{ 'a' in 'cat' }}{{ 'x' not in 'cat' }}{{ 1 in list }}{{ 'b' in map }}{{ not 'z' in map }}{{ 2 in missing }}{{ '' in '' }}
{{ 1 in 'a1' }}
{{ 'a' < 1 }}
{{ yes and 'x' }}{{ no or 'y' }}{{ no and 1 }}{{ not yes }}{{ not (no or no) }}{{ empty or nothing or 'z' }}{{ 1 and 2 or 3 }}
{{ 'a' if yes else 'b' }}{{ 'a' if no else 'b' }}{{ 'a' if no }}{{ 1 if no else 2 if no else 3 }}
{{ yes is true }}{{ no is false }}{{ 1 is true }}{{ nothing is none }}{{ whole is number }}{{ part is float }}{{ whole is integer }}{{ yes is integer }}{{ yes is number }}{{ yes is boolean }}
{{ text is string }}{{ list is string }}{{ map is mapping }}{{ list is iterable }}{{ text is iterable }}{{ whole is iterable }}{{ list is sequence }}{{ map is sequence }}{{ text is sequence }}{{ missing is iterable }}{{ missing is sequence }}{{ nothing is sequence }}
{{ whole is odd }}{{ whole is even }}{{ 9 is divisibleby 3 }}{{ 9 is divisibleby(2) }}{{ 1 is eq 1 }}{{ 1 is equalto(2) }}{{ 1 is ne 2 }}{{ 1 is lt 2 }}{{ 2 is ge 2 }}{{ 1 is in [1, 2] }}{{ 'A' is upper }}{{ 'a' is lower }}{{ none is sameas none }}
{{ missing is undefined }}{{ missing is not defined }}{{ text is not string }}{{ not missing is defined }}{{ range is callable }}{{ text is callable }}{{ 1 if missing is not defined else 2 }}{{ list is not none and list }}
{{ text | trim }}|{{ text.strip() }}|{{ text.lstrip() }}|{{ text.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcab'.lstrip('ba') }}|{{ 'xxaxx' | trim('x') }}|{{ '\n a\u00a0'.strip() }}|
{{ text | upper }}{{ text | lower }}{{ text.upper() }}{{ text.lower() }}{{ 'ab cD-ef (gh' | title }}{{ "it's aB" | capitalize }}{{ "it's aB x1y".title() }}{{ 'éA'.capitalize() }}{{ 'ß'.capitalize() }}
{{ text | length }}{{ list | length }}{{ map | count }}{{ missing | length }}{{ '🙂é' | length }}
{{ nothing | length }}
{{ 'a,b,,c'.split(',') }}{{ ' a  b c '.split() }}{{ 'a,b,c'.split(',', 1) }}{{ 'a b  c '.split(none, 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ''.split() }}{{ ''.split(',') }}{{ 'abc'.split('x')[-1] }}{{ ' a b c '.rsplit(none, 1) }}
{{ 'a b '.split(none, 1) }}{{ 'a b '.split(none, 5) }}{{ '  '.split(none, 0) }}{{ lines.splitlines() }}
{{ 'a' | default('b') }}{{ missing | default('b') }}{{ missing | d }}{{ empty | default('b') }}{{ empty | default('b', true) }}{{ nothing | default('c', boolean=true) }}{{ missing | default }}
{{ list | join }}{{ list | join(', ') }}{{ people | join('-', attribute='name') }}{{ ', '.join(words) }}{{ [1, none, 'a'] | join('.') }}
{{ ', '.join(list) }}
{{ list | first }}{{ list | last }}{{ text | first }}{{ 'abé' | last }}{{ [] | first }}{{ list | reverse | list }}{{ 'abé' | reverse }}
{{ list | sort }}{{ words | sort }}{{ words | sort(case_sensitive=true) }}{{ list | sort(reverse=true) }}{{ people[:2] | sort(attribute='age') | map(attribute='name') | list }}
{{ [1, 'a'] | sort }}
{{ people | map(attribute='name') | list }}{{ words | map('upper') | join }}{{ people[:2] | map(attribute='at.town') | list }}{{ people | map(attribute='age', default=0) | list }}{{ ['ab', 'cb'] | map('replace', 'b', 'x') | list }}{{ none | map('upper') | list }}
{{ people | selectattr('age') | map(attribute='name') | list }}{{ people | selectattr('age', 'defined') | list | length }}{{ people | rejectattr('name', 'equalto', 'bob') | map(attribute='name') | list }}{{ people[:2] | selectattr('age', 'gt', 26) | list | length }}{{ people[:2] | selectattr('at.town', 'eq', 'y') | list | length }}
{{ people | selectattr('at.town', 'eq', 'y') | list | length }}
{{ [0, 1, none, 2] | select | list }}{{ list | select('gt', 1) | list }}{{ list | reject('odd') | list }}{{ nothing | selectattr('a') | list }}
{{ map | tojson }}
{{ people | tojson(indent=2) }}{{ [] | tojson(indent=2) }}{{ {} | tojson }}{{ 'é<&>' | tojson }}{{ 'é🙂' | tojson(ensure_ascii=true) }}{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}{{ [1, {'a': 2}] | tojson(separators=(',', ':')) }}{{ none | tojson }}{{ 1.0 | tojson }}
{{ missing | tojson }}
{{ people | tojson(indent=4) }}
{{ map | dictsort }}{{ {'b': 1, 'A': 2} | dictsort }}{{ {'b': 1, 'a': 2} | dictsort(by='value') }}{{ {'b': 1, 'a': 2} | dictsort(reverse=true) | first | last }}
{{ map | items | list | length }}{{ missing | items | list }}{{ dict(a=1, b='x') }}{{ dict({'a': 1}, b=2) }}
{{ text | replace('ß', 'ss') }}{{ 'aaa' | replace('a', 'b', 2) }}{{ 'aaa'.replace('a', '') }}{{ 'aaa'.replace('a', 'bb', 1) }}{{ 123 | replace(2, 'x') }}
{{ lines | indent }}|{{ lines | indent(2, true) }}|{{ lines | indent(1, blank=true) }}|{{ lines | indent('> ') }}|{{ '' | indent }}|{{ 'a\n' | indent }}|
{{ '12' | int }}{{ ' 12 ' | int }}{{ '1.9' | int }}{{ 'x' | int }}{{ 'x' | int(5) }}{{ 2.9 | int }}{{ -2.9 | int }}{{ true | int }}{{ '1.5' | float }}{{ 'x' | float }}{{ 3 | float }}
{{ 5 | string + 'a' }}{{ none | string }}{{ '<' | safe }}{{ tags | escape }}{{ tags | e }}{{ -3 | abs }}{{ 2.5 | round }}{{ 3.5 | round }}{{ 'a b c' | wordcount }}
{{ list | sum }}{{ list | min }}{{ list | max }}{{ people[:2] | sum(attribute='age') }}{{ [1, 1, 2] | unique | list }}{{ ['a', 'A'] | unique | list }}
{{ text.startswith(' S') }}{{ text.endswith('x') }}{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.find('c') }}{{ 'abc'.find('x') }}{{ 'abcb'.rfind('b') }}{{ 'éabc'.index('b') }}{{ 'aaa'.count('a') }}{{ '12'.isdigit() }}{{ '1a'.isdigit() }}{{ 'ab'.isalpha() }}{{ ' '.isspace() }}{{ 'AB'.isupper() }}{{ ''.isupper() }}{{ 'a1'.isalnum() }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}{{ 'a=b'.partition('=') | list }}
{{ [1, 2, 1].count(1) }}{{ [1, 2].index(2) }}
{{ list.append(1) }}
{{ map.update({}) }}
{{ range(3) | list }}{{ range(1, 4) | list }}{{ range(5, 0, -2) | list }}
{{ strftime_now('%d %b %Y') }}{{ strftime_now('%Y-%m-%d %H:%M:%S %A %B %j'.replace('%j', '')) }}{{ strftime_now('%-d %I %p %a %y %e %%') }}
{{ raise_exception('no ' + 'way') }}
{{ text | nosuchfilter }}
{% include 'x' %}
{% do x %}
{{ text is nosuchtest }}
{% if %}{% endif %}
{% if yes %}
{{ 'a
{{ a b }}
{% endif %}
{{ 1 + }}
{{ [1, 2, }}
{{ map.b | string | length }}{{ (map.b | string).strip() }}{{ -1 | abs }}{{ 'a' | upper ~ 'b' | upper }}
{{ loop }}{% for i in list %}{{ loop is defined }}{% endfor %}
{% if not messages is defined %}{% set messages = [1] %}{% endif %}{{ messages }}
{% set list = list[1:] %}{{ list }}{% for l in list %}{% set list = 1 %}{{ list }}{% endfor %}{{ list }}
{% if empty %}a{% elif nothing %}b{% elif list %}c{% else %}d{% endif %}
{{ people[0]['name'] }}{{ people[0].at.town }}{{ people[-1].name }}{{ people[0].at['town'][0] }}
{{ namespace() is mapping }}{{ namespace(a=1).a }}
{% set ns = namespace() %}{% set ns.x = [] %}{% set ns.x = ns.x + [1] %}{{ ns.x }}
{% set whole.x = 1 %}
{% set x = namespace(_a=1) %}
{{ 'a%sb' | upper }}{{ '%' }}{{ '{{' }}{{ "}}" }}{{ '%}' }}
"""


def main():
    results = []
    for line in TEMPLATES.strip("\n").split("\n"):
        template = line.replace("¶", "\n")
        try:
            rendered, _ = chat_template_utils.render_jinja_template(conversations=[[]], chat_template=template, **NAMES)
            results.append({"template": template, "text": rendered[0]})
        except Exception as error:
            results.append({"template": template, "error": type(error).__name__})
    text = json.dumps({"names": NAMES, "results": results}, ensure_ascii=False, indent=0)
    (HERE / "jinja-features.json").write_text(text + "\n")


main()
