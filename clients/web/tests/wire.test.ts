/** Services that break their promises, on real sockets. */
import { createHash } from "node:crypto";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { expect, test, vi } from "vitest";
import { ConnectionFailed, IntegrityError, rest, ServiceUnavailable, type Sleep, UnexpectedAnswer, Unsupported } from "../src/client/index.js";
import { MemoryCache } from "./memory_cache.js";
import { serve } from "./server.js";

const DATA = Buffer.from("the bytes of an artifact");
const DIGEST = `sha256:${createHash("sha256").update(DATA).digest("hex")}`;
const MANIFEST = { model: "m", version: 2, digest: DIGEST, size: DATA.length, filename: "m.onnx" };

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
  const long = Buffer.concat([DATA, DATA]);
  await expect((await serve(withBodies(long, long))).pull("m", { compression: 0 })).rejects.toBeInstanceOf(IntegrityError);
  await expect((await serve(withBodies(DATA.subarray(1)))).pull("m", { compression: 0 })).rejects.toBeInstanceOf(ConnectionFailed);
});

/** Answers a POST with the manifest; the first GET is cut after `sent` bytes, later ones are `then`'s. Gives the headers of the GETs. */
function cutting(sent: number, then: (request: IncomingMessage, response: ServerResponse) => void): [RequestListener, IncomingMessage["headers"][]] {
  const gets: IncomingMessage["headers"][] = [];
  const listener: RequestListener = (request, response) => {
    if (request.method === "POST") return withBodies()(request, response);
    gets.push(request.headers);
    if (gets.length > 1) return then(request, response);
    response.writeHead(200, { "content-length": DATA.length }).write(DATA.subarray(0, sent), () => response.destroy());
  };
  return [listener, gets];
}

/** The part that was asked for, as RFC 9110 has it. */
function partial(request: IncomingMessage, response: ServerResponse): void {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1]);
  response.writeHead(206, { "content-range": `bytes ${start}-${DATA.length - 1}/${DATA.length}` }).end(DATA.subarray(start));
}

test("a download that was cut is continued on the strong ETag", async () => {
  const [listener, gets] = cutting(5, partial);
  const progress: number[] = [];
  const { data } = await (await serve(listener)).pull("m", { compression: 0 }, { onProgress: (received) => progress.push(received) });
  expect(Buffer.from(data)).toEqual(DATA);
  expect(gets.map(({ range, "if-range": validator }) => [range, validator])).toEqual([[undefined, undefined], ["bytes=5-", `"${DIGEST}"`]]);
  expect(gets.map(({ authorization }) => authorization)).toEqual(["Bearer secret", "Bearer secret"]);
  expect(progress).toEqual([5, DATA.length]);
});

test("it starts again when the answer is the whole", async () => {
  const [listener] = cutting(5, (_, response) => void response.end(DATA));
  expect(Buffer.from((await (await serve(listener)).pull("m", { compression: 0 })).data)).toEqual(DATA);
});

test("a rest from another place is not put after the beginning", async () => {
  const [listener, gets] = cutting(5, (_, response) => {
    if (gets.length > 2) return void response.end(DATA);
    response.writeHead(206, { "content-range": `bytes 6-${DATA.length - 1}/${DATA.length}` }).end(DATA.subarray(6));
  });
  expect(Buffer.from((await (await serve(listener)).pull("m", { compression: 0 })).data)).toEqual(DATA);
  expect(gets.length).toBe(3);
});

test("the artifact that is gone meanwhile is asked for anew", async () => {
  const [listener, gets] = cutting(5, (_, response) => {
    if (gets.length > 2) return void response.end(DATA);
    response.writeHead(404, { "content-type": "application/problem+json" }).end(JSON.stringify({ code: "artifact_gone" }));
  });
  expect(Buffer.from((await (await serve(listener)).pull("m", { compression: 0 })).data)).toEqual(DATA);
});

test("a connection that is cut twice is an error, and nothing is kept", async () => {
  const [listener, gets] = cutting(5, (_, response) => {
    response.writeHead(206, { "content-range": "bytes 5-23/24", "content-length": 19 }).write(DATA.subarray(5, 9), () => response.destroy());
  });
  const cache = new MemoryCache();
  await expect((await serve(listener, { cache })).pull("m", { compression: 0 })).rejects.toBeInstanceOf(ConnectionFailed);
  expect([gets.length, cache.entries.size]).toEqual([2, 0]);
});

/** Answers `busy` times that it is overloaded, with this header, then with no models. */
function overloaded(busy: number, retryAfter?: string): RequestListener {
  let left = busy;
  return (_, response) => {
    if (left-- === 0) return void response.end(JSON.stringify({ models: [] }));
    response.writeHead(503, { "content-type": "application/problem+json", ...(retryAfter === undefined ? {} : { "retry-after": retryAfter }) });
    response.end(JSON.stringify({ code: "overloaded", status: 503, detail: "Too much." }));
  };
}

test.each([
  ["as long as the service says", "7", [7000, 7000, 7000]],
  ["longer every time without a word from it", undefined, [1000, 2000, 4000]],
  ["likewise when it says a date", "Fri, 31 Dec 1999 23:59:59 GMT", [1000, 2000, 4000]],
])("a service that is not available is asked three times more, %s", async (_, retryAfter, expected) => {
  const waits: number[] = [];
  const sleep: Sleep = async (milliseconds) => void waits.push(milliseconds);
  expect(await (await serve(overloaded(3, retryAfter), { sleep })).models()).toEqual([]);
  expect(waits).toEqual(expected);
  waits.length = 0;
  const error: unknown = await (await serve(overloaded(4, retryAfter), { sleep })).models().catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(ServiceUnavailable);
  expect((error as ServiceUnavailable).retryAfter).toBe(retryAfter === "7" ? 7 : undefined);
  expect(waits).toEqual(expected);
});

test("a wait of more than a minute is left to the caller, and what would not help is not repeated", async () => {
  const sleep: Sleep = () => Promise.reject(new Error("waited"));
  await expect((await serve(overloaded(1, "61"), { sleep })).models()).rejects.toMatchObject({ name: "ServiceUnavailable", retryAfter: 61 });
  const refused = await serve((_, response) => void response.writeHead(403, { "retry-after": "1" }).end(), { sleep });
  await expect(refused.models()).rejects.toMatchObject({ name: "ServiceError" });
});

test("a wait ends when the signal is aborted, with its reason", async () => {
  const controller = new AbortController();
  const sleep: Sleep = (milliseconds, signal) => {
    const resting = rest(milliseconds, signal);
    controller.abort(new Error("enough"));
    return resting;
  };
  const client = await serve(overloaded(1, "60"), { sleep });
  await expect(client.models({ signal: controller.signal })).rejects.toThrow("enough");
  await expect(rest(0, controller.signal)).rejects.toThrow("enough");
  await rest(0);
});

test("the version is asked for, and another one is not taken", async () => {
  const asked: string[] = [];
  const client = await serve((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      asked.push(`${request.url} ${Buffer.concat(parts).toString()}`.trim());
      response.end(JSON.stringify(MANIFEST));
    });
  });
  await client.model("m", { version: 2 });
  await client.curve("m", { version: "stable" });
  await client.samples("m");
  await client.plan("m", { compression: 0, version: 2 });
  await client.manifest("m", { compression: 0, version: "stable" });
  expect(asked).toEqual([
    "/v1/models/m?version=2",
    "/v1/models/m/curve?version=stable",
    "/v1/models/m/samples",
    '/v1/models/m/plan {"compression":0,"version":2}',
    '/v1/models/m/materialize {"compression":0,"version":"stable"}',
  ]);
  await expect(client.manifest("m", { compression: 0, version: 1 })).rejects.toThrow("answered with version 2 of m; version 1 was asked for");
});

test("a manifest of another model, and an answer that is no JSON", async () => {
  await expect((await serve(withBodies())).pull("other", { compression: 0 })).rejects.toBeInstanceOf(UnexpectedAnswer);
  await expect((await serve((_, response) => response.end("<html>"))).models()).rejects.toBeInstanceOf(UnexpectedAnswer);
});

test.each(["null", "3", '"text"', "[]"])("an answer that is %s where an object belongs", async (body) => {
  const client = await serve((_, response) => void response.end(body));
  await expect(client.models()).rejects.toBeInstanceOf(UnexpectedAnswer);
  await expect(client.plan("m", { compression: 0 })).rejects.toBeInstanceOf(UnexpectedAnswer);
  await expect(client.pull("m", { compression: 0 })).rejects.toBeInstanceOf(UnexpectedAnswer);
});

test.each([{}, { models: null }])("a list of models that is %o", async (answer) => {
  await expect((await serve((_, response) => void response.end(JSON.stringify(answer)))).models()).rejects.toBeInstanceOf(UnexpectedAnswer);
});

/** Answers a POST with a manifest that differs in some of its fields, and GETs with the bytes. */
const withManifest = (differs: object, data = DATA): RequestListener => (request, response) =>
  void response.end(request.method === "POST" ? JSON.stringify({ ...MANIFEST, ...differs }) : data);

test.each([-1, 0.5, 2 ** 31, 2 ** 45, "24", null])("a manifest with size %o", async (size) => {
  const pulled = (await serve(withManifest({ size }))).pull("m", { compression: 0 });
  await expect(pulled).rejects.toMatchObject({ name: "UnexpectedAnswer", message: expect.stringContaining("number of bytes") });
});

test.each(["digest", "version", "filename"])("a manifest with an object as %s", async (field) => {
  // Of one that says itself how it becomes text, none can be made without a TypeError.
  const client = await serve(withManifest({ [field]: { toString: null } }, Buffer.from("THE bytes of an artifact")));
  await expect(client.pull("m", { compression: 0, version: 2 })).rejects.toBeInstanceOf(UnexpectedAnswer);
});

test("an artifact of no bytes is one", async () => {
  const digest = `sha256:${createHash("sha256").digest("hex")}`;
  const { data } = await (await serve(withManifest({ size: 0, digest }, Buffer.alloc(0)))).pull("m", { compression: 0 });
  expect(data.byteLength).toBe(0);
});

test("where no digest can be verified nothing is asked for", async () => {
  const asked: unknown[] = [];
  const client = await serve((request, response) => {
    asked.push(request.url);
    response.end();
  });
  vi.stubGlobal("crypto", {}); // As in a page that came neither by HTTPS nor from localhost.
  try {
    await expect(client.pull("m", { compression: 0 })).rejects.toBeInstanceOf(Unsupported);
  } finally {
    vi.unstubAllGlobals();
  }
  expect(asked).toEqual([]);
});

test("a size for which the browser has no memory", async () => {
  const size = 2 ** 31 - 1;
  const Bytes = globalThis.Uint8Array;
  const scarce = (Class: typeof Bytes, [length, ...rest]: [number, ...never[]], target: typeof Bytes) => {
    if (length === size) throw new RangeError("Array buffer allocation failed");
    return Reflect.construct(Class, [length, ...rest], target);
  };
  const client = await serve(withManifest({ size }));
  vi.stubGlobal("Uint8Array", new Proxy(Bytes, { construct: scarce as never }));
  try {
    await expect(client.pull("m", { compression: 0 })).rejects.toBeInstanceOf(Unsupported);
  } finally {
    vi.unstubAllGlobals();
  }
});

test("a connection that is cut within an answer in JSON", async () => {
  const client = await serve((_, response) => {
    response.writeHead(200, { "content-length": 100 }).write('{"models": [', () => response.destroy());
  });
  await expect(client.models()).rejects.toBeInstanceOf(ConnectionFailed);
});

test.each([
  [200, "application/json", '{"models": ['],
  [404, "application/problem+json", '{"code": '],
])("an abort while an answer with status %i is read ends with its reason", async (status, type, start) => {
  const controller = new AbortController();
  const ask = globalThis.fetch;
  vi.stubGlobal("fetch", async (...request: Parameters<typeof fetch>) => {
    const response = await ask(...request);
    // The head is there; the client goes on to read the body before this has its turn.
    setImmediate(() => controller.abort(new Error("enough")));
    return response;
  });
  try {
    const client = await serve((_, response) => void response.writeHead(status, { "content-type": type }).write(start));
    await expect(client.models({ signal: controller.signal })).rejects.toThrow("enough");
  } finally {
    vi.unstubAllGlobals();
  }
});

test("a proxy's own 503, and the token", async () => {
  const client = await serve((request, response) => {
    const known = request.headers.authorization === "Bearer secret";
    response.writeHead(known ? 503 : 401, { "content-type": "text/html" }).end("<html>");
  });
  await expect(client.models()).rejects.toBeInstanceOf(ServiceUnavailable);
});
