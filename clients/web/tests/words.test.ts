/** What the explorer page says of errors. */
import { expect, test } from "vitest";
import { ServiceError } from "../src/client/index.js";
import { inWords } from "../src/explorer/words.js";

test.each([
  ["rate_limited", "The service was asked too often. It is so."],
  ["a_code_of_tomorrow", "It is so."],
  ["constructor", "It is so."],
  ["toString", "It is so."],
])("an error with code %s", (code, words) => {
  expect(inWords(new ServiceError("It is so.", { problem: { code } }), false)).toBe(words);
});
