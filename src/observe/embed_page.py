"""page.html → a header with its text and with the hashes of its script and style, by which its policy lets just them run.

embed_page.py PAGE HEADER
"""

import base64
import hashlib
import re
import sys

page, header = sys.argv[1:]
with open(page, encoding="utf-8") as file:
    text = file.read()


def hash_of(tag):
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
    if len(found) != 1:
        sys.exit(f"{page}: {len(found)} <{tag}> without attributes; there must be one")
    return "sha256-" + base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()


with open(header, "w", encoding="utf-8") as file:
    file.write('#pragma once\n\n#include <string_view>\n\nnamespace pasvgate::observe {\n\n')
    file.write(f'inline constexpr std::string_view kPageScript = "{hash_of("script")}";\n')
    file.write(f'inline constexpr std::string_view kPageStyle = "{hash_of("style")}";\n')
    file.write(f'inline constexpr std::string_view kPage = R"=page=({text})=page=";\n\n')
    file.write('}  // namespace pasvgate::observe\n')
