/** The form of the explorer page that asks for a key; with a service that knows keys it is tested in a browser (tests/explorer). */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Client, InvalidRequest, rest } from "../src/client/index.js";
import { Access } from "../src/explorer/access.js";

const KEY = "neumeta-token";
let page: Map<string, { hidden: boolean; value: string; submit(): void }>;
let visit: Map<string, string>;

beforeEach(() => {
  page = new Map();
  visit = new Map();
  vi.stubGlobal("location", { href: "https://example.org/", origin: "https://example.org" });
  vi.stubGlobal("sessionStorage", {
    getItem: (name: string) => visit.get(name) ?? null,
    setItem: (name: string, value: string) => visit.set(name, value),
  });
  vi.stubGlobal("document", { getElementById: element });
});
afterEach(() => vi.unstubAllGlobals());

/** As much of an element as is used: it hears when it is submitted. */
function element(id: string) {
  const found = page.get(id);
  if (found !== undefined) return found;
  const addEventListener = (_: string, heard: (event: object) => void) => (made.submit = () => heard({ preventDefault() {} }));
  const made = { hidden: true, value: "", submit() {}, addEventListener };
  page.set(id, made);
  return made;
}

test("a key that cannot be sent is said and asked for again", () => {
  const connected: unknown[] = [];
  const access: Access = new Access(() => {
    try {
      connected.push(access.connect(rest));
    } catch (error) {
      connected.push(error);
    }
  });
  const enter = (key: string) => {
    element("token").value = key;
    element("access").submit();
  };
  enter("nm_1\u2019");
  expect(connected.pop()).toBeInstanceOf(InvalidRequest);
  expect(element("access").hidden).toBe(false);
  enter("nm_1");
  expect(connected.pop()).toBeInstanceOf(Client);
  expect(element("access").hidden).toBe(true);
});

test("so is one that the tab still knows", () => {
  visit.set(KEY, "nm_1\u2019");
  const access = new Access(() => {});
  expect(() => access.connect(rest)).toThrow("token: this is no bearer token");
  expect(element("access").hidden).toBe(false);
});
