"""Makes one call with the SDK of OpenAI: takes a base URL, an API key, and an access token, which may be empty.

Prints what the call gives and the job that it became, as JSON: `{"value": …, "job": …}` or `{"error": …, "status": …}`.
"""

import json
import sys

import openai


def main():
    base_url, key, token = sys.argv[1:4]
    headers = {"X-Proxq-Token": token} if token else {}
    client = openai.OpenAI(api_key=key, base_url=base_url, max_retries=0, default_headers=headers)
    try:
        answer = client.chat.completions.with_raw_response.create(model="m", messages=[{"role": "user", "content": "hi"}])
        completion = answer.parse()
        job = answer.headers.get("x-proxq-job-id")
        print(json.dumps({"value": completion.choices[0].message.content, "job": job}))
    except openai.OpenAIError as error:
        print(json.dumps({"error": str(error), "status": getattr(error, "status_code", None)}))


main()
