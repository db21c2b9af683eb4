/** What the service's codes are here. */
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import {
  AccessRefused,
  ArtifactGone,
  BudgetImpossible,
  InvalidRequest,
  ModelNotFound,
  ModelRefused,
  type NeuMetaClientError,
  ServiceError,
  ServiceUnavailable,
  ProfileNotFound,
  RungNotFound,
  VersionNotFound,
} from "../src/client/index.js";
import { serve } from "./server.js";

const CONTRACT = new URL("../../../docs/http-api.md", import.meta.url);
const CODES: readonly (readonly [string, number, typeof NeuMetaClientError])[] = [
  ["malformed_body", 400, ServiceError],
  ["invalid_request", 422, InvalidRequest],
  ["budget_impossible", 422, BudgetImpossible],
  ["model_not_found", 404, ModelNotFound],
  ["profile_not_found", 404, ProfileNotFound],
  ["rung_not_found", 404, RungNotFound],
  ["too_many_profiles", 409, ServiceError],
  ["version_not_found", 404, VersionNotFound],
  ["model_refused", 503, ModelRefused],
  ["artifact_gone", 404, ArtifactGone],
  ["job_not_found", 404, ServiceError],
  ["too_many_jobs", 503, ServiceUnavailable],
  ["idempotency_key_reused", 422, ServiceError],
  // Signatures are not verified here, so nothing asks for one.
  ["not_signed", 404, ServiceError],
  ["not_found", 404, ServiceError],
  ["method_not_allowed", 405, ServiceError],
  ["not_acceptable", 406, ServiceError],
  ["precondition_failed", 412, ServiceError],
  ["body_too_large", 413, InvalidRequest],
  ["unsupported_media_type", 415, ServiceError],
  ["range_not_satisfiable", 416, ServiceError],
  ["explorer_missing", 404, ServiceError],
  ["unauthenticated", 401, AccessRefused],
  ["forbidden", 403, AccessRefused],
  ["misdirected", 421, ServiceError],
  ["rate_limited", 429, ServiceUnavailable],
  ["headers_too_large", 431, ServiceError],
  ["not_ready", 503, ServiceUnavailable],
  ["store_unavailable", 503, ServiceUnavailable],
  ["draining", 503, ServiceUnavailable],
  ["overloaded", 503, ServiceUnavailable],
  ["deadline_exceeded", 504, ServiceUnavailable],
  ["build_failed", 500, ServiceError],
  ["self_check_failed", 500, ServiceError],
  ["internal_error", 500, ServiceError],
  ["malformed_request", 400, ServiceError],
  ["unreachable", 502, ServiceUnavailable],
  ["a_code_of_tomorrow", 418, ServiceError],
  ["a_busy_code_of_tomorrow", 503, ServiceUnavailable],
];

test.each(CODES)("%s with status %i", async (code, status, kind) => {
  const client = await serve((_, response) => {
    response.writeHead(status, { "content-type": "application/problem+json" });
    response.end(JSON.stringify({ code, status, detail: `It is ${code}.`, request_id: "r1" }));
  });
  const error = (await client.pull("m", { compression: 0 }).catch((caught: unknown) => caught)) as NeuMetaClientError;
  expect(error.constructor).toBe(kind);
  expect([error.name, error.code, error.message, error.requestId]).toEqual([kind.name, code, `It is ${code}.`, "r1"]);
});

test("every code of the contract is covered", async () => {
  const [, table = ""] = (await readFile(CONTRACT, "utf8")).split("## Errors");
  const rows = table.split("\n").filter((line) => line.startsWith("| `"));
  const codes = rows.flatMap((row) => (row.split("|")[1] ?? "").split(",").map((name) => name.replaceAll(/[\s`]/g, "")));
  expect(CODES.map(([code]) => code).filter((code) => !code.includes("tomorrow"))).toEqual(expect.arrayContaining(codes));
  expect(codes.length).toBe(CODES.length - 2);
});

test.each(["[]", "3", "null", "{ not json"])("a problem document that is %s", async (body) => {
  const client = await serve((_, response) => void response.writeHead(500, { "content-type": "application/problem+json" }).end(body));
  await expect(client.models()).rejects.toMatchObject({ name: "ServiceError", message: "The service answered with status 500." });
});

test.each(["constructor", "toString", "__proto__"])("a code that is %s, as every object in JavaScript has one", async (code) => {
  const client = await serve((_, response) => {
    response.writeHead(503, { "content-type": "application/problem+json" }).end(JSON.stringify({ code, detail: "It is so." }));
  });
  await expect(client.models()).rejects.toMatchObject({ name: "ServiceUnavailable", code, message: "It is so." });
});

test("a detail that is no text", async () => {
  const body = JSON.stringify({ code: "internal_error", detail: { toString: null } });
  const client = await serve((_, response) => void response.writeHead(500, { "content-type": "application/problem+json" }).end(body));
  await expect(client.models()).rejects.toMatchObject({ name: "ServiceError", message: "The service answered with status 500." });
});
