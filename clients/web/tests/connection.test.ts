/** Which addresses and tokens a client takes. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { Client, InvalidRequest } from "../src/client/index.js";

afterEach(() => vi.unstubAllGlobals());

/** Answers every request with no models; gives the addresses and headers of those that came. */
function answering(): [string, Record<string, string>][] {
  const asked: [string, Record<string, string>][] = [];
  vi.stubGlobal("fetch", async (address: string, { headers }: { headers: Record<string, string> }) => {
    asked.push([address, headers]);
    return new Response('{"models": []}');
  });
  return asked;
}

function refusal(url: string, token?: string): Error {
  try {
    new Client(url, token === undefined ? {} : { token });
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidRequest);
    return error as Error;
  }
  throw new Error(`${url} was taken`);
}

const WITHOUT_SCHEME = ["localhost:8080", "127.0.0.1:8080", "example.org"];
const OTHERS = ["ftp://example.org", "http:example.org", "http://", "http://h:0", "http://h:65536", "http://h ", "http://a b"];

describe("addresses", () => {
  test.each([...WITHOUT_SCHEME, ...OTHERS])("%s is none, in a page neither", (url) => {
    const expected = `url: "${url}" is not allowed; expected http://HOST:PORT or https://HOST, or in a page a path that begins with "/" or ".".`;
    expect(refusal(url).message).toBe(expected);
    vi.stubGlobal("location", { href: "https://example.org/page" });
    expect(refusal(url).message).toBe(expected);
  });

  test("browsers send no name and password of an address, and no message shows them", () => {
    const { message } = refusal("https://user:hidden@example.org");
    expect(message).toMatch("expected it without a user's name and password");
    expect(message).not.toMatch("hidden");
  });

  test.each([
    ["http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/models"],
    ["HTTPS://example.org/neumeta/", "HTTPS://example.org/neumeta/v1/models"],
  ])("%s is one", async (url, address) => {
    const asked = answering();
    await new Client(url).models();
    expect(asked.map(([found]) => found)).toEqual([address]);
  });

  test.each([
    ["", "/v1/models"],
    ["/", "/v1/models"],
    ["/neumeta", "/neumeta/v1/models"],
    ["./", "./v1/models"],
  ])("'%s' is one in a page, but not elsewhere", async (url, address) => {
    expect(refusal(url).message).toMatch("expected http://HOST:PORT");
    vi.stubGlobal("location", { href: "file:///page.html" });
    expect(refusal(url).message).toMatch("expected http://HOST:PORT");
    vi.stubGlobal("location", { href: "https://example.org/page" });
    const asked = answering();
    await new Client(url).models();
    expect(asked.map(([found]) => found)).toEqual([address]);
  });
});

describe("tokens", () => {
  test.each(["nm_1\u2019", "two words", "line\n", "=", '"quoted"', "Bearer nm_1"])("%j is none, and no message shows it", (token) => {
    const { message } = refusal("http://127.0.0.1:8080", token);
    expect(message).toMatch("token: this is no bearer token (RFC 6750); expected A-Z, a-z, 0-9 and -._~+/, without spaces or line ends.");
    expect(message).not.toMatch(token);
  });

  test("what can be one is sent, and none where it is empty", async () => {
    const asked = answering();
    for (const token of ["nm_0-9.~+/==", ""]) await new Client("http://127.0.0.1:8080", { token }).models();
    expect(asked.map(([, headers]) => headers["authorization"])).toEqual(["Bearer nm_0-9.~+/==", undefined]);
  });
});
