"""Makes calls with Python's SDKs and HTTP clients, all at the same time, and prints what each call gives.

Takes the calls as JSON: `[{"client": "openai", "how": "chat", "url": "http://…/v1", "retries": 0}]`. Prints a line of JSON
for each call when it has ended, `{"call": 0, "value": …}` or `{"call": 0, "error": …}`, and one for each event of a stream
as it comes, `{"call": 0, "event": …}`. A client is as its users have it, except for the URL and the retries.
"""

import asyncio
import hashlib
import json
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import anthropic
import httpx
import openai
import requests

SECRET = "test-secret"
QUESTION = [{"role": "user", "content": "What is a queue?"}]
FILE = bytes(range(256)) * 40
# httpx waits for 5 s by default, which a busy machine may take.
PATIENCE = 60


def job_headers():
    """What a caller adds to a call whose job it wants to know."""
    return {"X-Proxq-Job-Id": str(uuid.uuid4()), "X-Proxq-Mode": "follow"}


def digest(content):
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def error_of_sdk(error):
    # Both SDKs have these; what only one has is `None` for the other.
    response = getattr(error, "response", None)
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "type": getattr(error, "type", None),
        "request_id": getattr(error, "request_id", None),
        "retry_after": response.headers.get("retry-after") if response is not None else None,
        "message": str(error),
    }


class OpenAi:
    shared = openai.OpenAI(api_key=SECRET)

    def client(self, call):
        return self.shared.with_options(base_url=call["url"], max_retries=call["retries"])

    def chat(self, call, _tell):
        completion = self.client(call).chat.completions.create(model="m", messages=QUESTION)
        return {"value": completion.model_dump(mode="json"), "request_id": completion._request_id}

    def chat_with_id(self, call, _tell):
        asked = {"model": "m", "messages": QUESTION, "extra_headers": job_headers()}
        return self.client(call).chat.completions.create(**asked).model_dump(mode="json")

    def chat_async(self, call, _tell):
        async def run():
            async with openai.AsyncOpenAI(api_key=SECRET, base_url=call["url"]) as client:
                return await client.chat.completions.create(model="m", messages=QUESTION)

        return asyncio.run(run()).model_dump(mode="json")

    def stream(self, call, tell):
        for event in self.client(call).chat.completions.create(model="m", messages=QUESTION, stream=True):
            tell(event.model_dump(mode="json"))

    def list(self, call, _tell):
        return [model.model_dump(mode="json") for model in self.client(call).models.list()]

    def upload(self, call, _tell):
        file = ("a.wav", FILE, "audio/wav")
        return self.client(call).audio.transcriptions.create(model="m", file=file).model_dump(mode="json")

    def download(self, call, _tell):
        return digest(self.client(call).audio.speech.create(model="m", voice="alloy", input="hi").content)


class Anthropic:
    shared = anthropic.Anthropic(api_key=SECRET)
    question = {"model": "m", "max_tokens": 100, "messages": QUESTION}

    def base_url(self, call):
        # This SDK's own paths begin with /v1.
        return call["url"].removesuffix("/v1")

    def client(self, call):
        return self.shared.with_options(base_url=self.base_url(call), max_retries=call["retries"])

    def chat(self, call, _tell):
        message = self.client(call).messages.create(**self.question)
        return {"value": message.model_dump(mode="json"), "request_id": message._request_id}

    def chat_with_id(self, call, _tell):
        message = self.client(call).messages.create(extra_headers=job_headers(), **self.question)
        return message.model_dump(mode="json")

    def chat_async(self, call, _tell):
        async def run():
            async with anthropic.AsyncAnthropic(api_key=SECRET, base_url=self.base_url(call)) as client:
                return await client.messages.create(**self.question)

        return asyncio.run(run()).model_dump(mode="json")

    def stream(self, call, tell):
        for event in self.client(call).messages.create(stream=True, **self.question):
            tell(event.model_dump(mode="json"))

    def list(self, call, _tell):
        return [model.model_dump(mode="json") for model in self.client(call).models.list(limit=5)]

    def upload(self, call, _tell):
        return self.client(call).beta.files.upload(file=("a.wav", FILE, "audio/wav")).model_dump(mode="json")

    def download(self, call, _tell):
        return digest(self.client(call).beta.files.download("file_1").read())


class Plain:
    """What the calls of requests and httpx have in common: they give every answer as it is."""

    headers = {"Authorization": f"Bearer {SECRET}", "x-api-key": SECRET}

    def answer(self, response):
        names = "Content-Type", "X-Request-Id", "Retry-After", "Location"
        headers = {name: response.headers.get(name) for name in names}
        return {"status": response.status_code, "headers": headers, "body": response.text}

    def chat(self, call, _tell):
        return self.answer(self.post(call, json={"model": "m", "messages": QUESTION}))

    def unfollowed(self, call, _tell):
        return self.answer(self.post(call, follow=False, json={"model": "m", "messages": QUESTION}))

    def upload(self, call, _tell):
        return self.answer(self.post(call, "/audio/transcriptions", files={"file": ("a.wav", FILE, "audio/wav")}))

    def download(self, call, _tell):
        return digest(self.post(call, "/audio/speech", json={"input": "hi"}).content)


class Requests(Plain):
    def post(self, call, path="/chat/completions", follow=True, **body):
        url = call["url"] + path
        return requests.post(url, headers=self.headers, allow_redirects=follow, timeout=PATIENCE, **body)

    def stream(self, call, tell):
        body = {"model": "m", "messages": QUESTION, "stream": True}
        with requests.post(
            call["url"] + "/chat/completions", json=body, headers=self.headers, stream=True, timeout=PATIENCE
        ) as response:
            for line in response.iter_lines(chunk_size=1):
                tell(line.decode())


class Httpx(Plain):
    def post(self, call, path="/chat/completions", follow=True, **body):
        url = call["url"] + path
        return httpx.post(url, headers=self.headers, follow_redirects=follow, timeout=PATIENCE, **body)

    def stream(self, call, tell):
        body = {"model": "m", "messages": QUESTION, "stream": True}
        with httpx.stream(
            "POST", call["url"] + "/chat/completions", json=body, headers=self.headers, timeout=PATIENCE
        ) as response:
            for line in response.iter_lines():
                tell(line)


CLIENTS = {"openai": OpenAi(), "anthropic": Anthropic(), "requests": Requests(), "httpx": Httpx()}
printing = threading.Lock()


def make(number, call):
    def tell(**what):
        with printing:
            print(json.dumps({"call": number, **what}), flush=True)

    try:
        tell(value=getattr(CLIENTS[call["client"]], call["how"])(call, lambda event: tell(event=event)))
    except Exception as error:
        tell(error=error_of_sdk(error))


def main():
    calls = json.loads(sys.argv[1])
    with ThreadPoolExecutor(len(calls)) as pool:
        list(pool.map(make, range(len(calls)), calls))


main()
