"""Makes one call with the SDK of OpenAI: takes a base URL, the SDK's timeout in seconds, and how often it may try again.

Prints what the call gives as JSON: `{"value": …}` or `{"error": …, "status": …}`.
"""

import json
import sys

import openai


def main():
    base_url, timeout, retries = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    client = openai.OpenAI(api_key="test-secret", base_url=base_url, timeout=timeout, max_retries=retries)
    try:
        completion = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        print(json.dumps({"value": completion.choices[0].message.content}))
    except openai.OpenAIError as error:
        print(json.dumps({"error": str(error), "status": getattr(error, "status_code", None)}))


main()
