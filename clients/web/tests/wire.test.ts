/** Services that break their promises, on real sockets. */
import { createHash } from "node:crypto";
import { createServer, type RequestListener, type Server } from "node:http";
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import { Client, ConnectionFailed, IntegrityError, ServiceUnavailable, UnexpectedAnswer } from "../src/client/index.js";
import { MemoryCache } from "./memory_cache.js";

const DATA = Buffer.from("the bytes of an artifact");
const DIGEST = `sha256:${createHash("sha256").update(DATA).digest("hex")}`;
const MANIFEST = { model: "m", digest: DIGEST, size: DATA.length, filename: "m.onnx" };
let server: Server;

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

async function serve(listener: RequestListener): Promise<Client> {
  server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return new Client(`http://127.0.0.1:${address.port}`, { token: "secret", cache: new MemoryCache() });
}

/** Answers a POST with the manifest, and GETs with one body after the other. */
const withBodies = (...bodies: readonly Buffer[]): RequestListener => {
  const left = [...bodies];
  return (request, response) => {
    if (request.method === "POST") response.setHeader("content-type", "application/json").end(JSON.stringify(MANIFEST));
    else response.end(left.shift());
  };
};

test("wrong bytes are fetched once more", async () => {
  const client = await serve(withBodies(Buffer.from("THE bytes of an artifact"), DATA));
  expect(Buffer.from((await client.pull("m", { compression: 0 })).data)).toEqual(DATA);
});

test("wrong bytes twice, too many and too few are errors", async () => {
  const wrong = Buffer.from("THE bytes of an artifact");
  await expect((await serve(withBodies(wrong, wrong))).pull("m", { compression: 0 })).rejects.toBeInstanceOf(IntegrityError);
  server.close();
  const long = Buffer.concat([DATA, DATA]);
  await expect((await serve(withBodies(long, long))).pull("m", { compression: 0 })).rejects.toBeInstanceOf(IntegrityError);
  server.close();
  await expect((await serve(withBodies(DATA.subarray(1)))).pull("m", { compression: 0 })).rejects.toBeInstanceOf(ConnectionFailed);
});

test("a cut connection", async () => {
  const client = await serve((request, response) => {
    if (request.method === "POST") return withBodies()(request, response);
    response.writeHead(200, { "content-length": DATA.length }).write(DATA.subarray(0, 5), () => response.destroy());
  });
  await expect(client.pull("m", { compression: 0 })).rejects.toBeInstanceOf(ConnectionFailed);
});

test("a manifest of another model, and an answer that is no JSON", async () => {
  await expect((await serve(withBodies())).pull("other", { compression: 0 })).rejects.toBeInstanceOf(UnexpectedAnswer);
  server.close();
  await expect((await serve((_, response) => response.end("<html>"))).models()).rejects.toBeInstanceOf(UnexpectedAnswer);
});

test("a proxy's own 503, and the token", async () => {
  const client = await serve((request, response) => {
    const known = request.headers.authorization === "Bearer secret";
    response.writeHead(known ? 503 : 401, { "content-type": "text/html" }).end("<html>");
  });
  await expect(client.models()).rejects.toBeInstanceOf(ServiceUnavailable);
});
