// Makes calls with Node's SDKs and fetch, all at the same time. Arguments and output are those of ../sdks.py.

import { File } from "node:buffer";
import { createHash, randomUUID } from "node:crypto";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

// Node.js 18 has it, and does not offer it to everyone.
globalThis.File ??= File;

const SECRET = "test-secret";
const QUESTION = [{ role: "user", content: "What is a queue?" }];
const FILE = Buffer.concat(Array(40).fill(Buffer.from([...Array(256).keys()])));

const file = () => new globalThis.File([FILE], "a.wav", { type: "audio/wav" });

// What a caller adds to a call whose job it wants to know.
const jobHeaders = () => ({ headers: { "X-Proxq-Job-Id": randomUUID(), "X-Proxq-Mode": "follow" } });

const digest = async (response) => {
  const content = Buffer.from(await response.arrayBuffer());
  return { bytes: content.length, sha256: createHash("sha256").update(content).digest("hex") };
};

const collected = async (list) => {
  const items = [];
  for await (const item of list) items.push(item);
  return items;
};

// Both SDKs have these; what only one has is `null` for the other.
const errorOfSdk = (error) => ({
  class: error.constructor.name,
  status: error.status ?? null,
  code: error.code ?? null,
  type: error.type ?? null,
  request_id: error.requestID ?? null,
  retry_after: error.headers?.get?.("retry-after") ?? null,
  message: error.message,
});

const openai = (call) => new OpenAI({ apiKey: SECRET, baseURL: call.url, maxRetries: call.retries });

// This SDK's own paths begin with /v1.
const anthropic = (call) =>
  new Anthropic({ apiKey: SECRET, baseURL: call.url.replace(/\/v1$/, ""), maxRetries: call.retries });

const ask = { model: "m", max_tokens: 100, messages: QUESTION };

const post = (call, path, body, more = {}) => {
  const headers = { Authorization: `Bearer ${SECRET}`, "x-api-key": SECRET };
  if (typeof body === "string") headers["Content-Type"] = "application/json";
  return fetch(call.url + path, { method: "POST", headers, body, ...more });
};

const answer = async (response) => {
  const names = ["Content-Type", "X-Request-Id", "Retry-After", "Location"];
  const headers = Object.fromEntries(names.map((name) => [name, response.headers.get(name)]));
  return { status: response.status, headers, body: await response.text() };
};

const question = JSON.stringify({ model: "m", messages: QUESTION });

const clients = {
  openai: {
    chat: async (call) => {
      const value = await openai(call).chat.completions.create({ model: "m", messages: QUESTION });
      return { value, request_id: value._request_id };
    },
    chat_with_id: (call) =>
      openai(call).chat.completions.create({ model: "m", messages: QUESTION }, jobHeaders()),
    stream: async (call, tell) => {
      const asked = { model: "m", messages: QUESTION, stream: true };
      for await (const event of await openai(call).chat.completions.create(asked)) tell(event);
    },
    list: (call) => collected(openai(call).models.list()),
    upload: (call) => openai(call).audio.transcriptions.create({ model: "m", file: file() }),
    download: async (call) =>
      digest(await openai(call).audio.speech.create({ model: "m", voice: "alloy", input: "hi" })),
  },
  anthropic: {
    chat: async (call) => {
      const value = await anthropic(call).messages.create(ask);
      return { value, request_id: value._request_id };
    },
    chat_with_id: (call) => anthropic(call).messages.create(ask, jobHeaders()),
    stream: async (call, tell) => {
      for await (const event of await anthropic(call).messages.create({ ...ask, stream: true })) tell(event);
    },
    list: (call) => collected(anthropic(call).models.list({ limit: 5 })),
    upload: (call) => anthropic(call).beta.files.upload({ file: file() }),
    download: async (call) => digest(await anthropic(call).beta.files.download("file_1")),
  },
  fetch: {
    chat: async (call) => answer(await post(call, "/chat/completions", question)),
    unfollowed: async (call) => answer(await post(call, "/chat/completions", question, { redirect: "manual" })),
    stream: async (call, tell) => {
      const asked = JSON.stringify({ model: "m", messages: QUESTION, stream: true });
      const response = await post(call, "/chat/completions", asked);
      const text = new TextDecoder();
      let begun = "";
      for await (const piece of response.body) {
        const lines = (begun + text.decode(piece, { stream: true })).split("\n");
        begun = lines.pop();
        for (const line of lines) tell(line);
      }
    },
    upload: async (call) => {
      const form = new FormData();
      form.append("file", file());
      return answer(await post(call, "/audio/transcriptions", form));
    },
    download: async (call) => digest(await post(call, "/audio/speech", JSON.stringify({ input: "hi" }))),
  },
};

const make = async (call, number) => {
  const tell = (what) => console.log(JSON.stringify({ call: number, ...what }));
  try {
    tell({ value: (await clients[call.client][call.how](call, (event) => tell({ event }))) ?? null });
  } catch (error) {
    tell({ error: errorOfSdk(error) });
  }
};

await Promise.all(JSON.parse(process.argv[2]).map(make));
process.exit(0); // whatever connections are kept
