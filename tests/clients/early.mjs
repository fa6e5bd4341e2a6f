// Uploads 12 MiB to each URL again and again, with each of Node's clients. Arguments and output are those of early.py.

import http from "node:http";

const BODY = Buffer.alloc(12 << 20, "x");
const PATIENCE = 20_000;

const clients = {
  by_node_http: (url) =>
    new Promise((resolve, reject) => {
      const options = { method: "POST", headers: { "Content-Length": BODY.length }, timeout: PATIENCE };
      const request = http.request(url, options, (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode));
        response.on("error", reject);
      });
      request.on("error", reject);
      request.on("timeout", () => request.destroy(new Error("no answer came in time")));
      request.end(BODY);
    }),
  by_fetch: async (url) => {
    const signal = AbortSignal.timeout(PATIENCE);
    const response = await fetch(url, { method: "POST", body: BODY, redirect: "manual", signal });
    await response.arrayBuffer();
    return response.status;
  },
};

const [rounds, ...targets] = process.argv.slice(2);
for (const [name, client] of Object.entries(clients)) {
  for (const target of targets) {
    const [status, url] = [target.slice(0, 3), target.slice(4)];
    let right = 0;
    for (let round = 0; round < Number(rounds); round++) {
      try {
        const seen = await client(url);
        if (String(seen) === status) right++;
        else console.error(name, url, seen);
      } catch (error) {
        console.error(name, url, error, error.cause);
      }
    }
    console.log(name, status, right);
  }
}
process.exit(0); // whatever connections are kept
