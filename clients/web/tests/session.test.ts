import { env } from "onnxruntime-web/wasm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Artifact, Client, createSession, NeuMetaClientError, prepared, RuntimeFailed, softmax } from "../src/client/index.js";
import { digits } from "./digits.js";
import { type Service, startService } from "./service.js";

let service: Service;
// Node.js 20 has no `navigator`, and the runtime cannot ask how many cores there are. A page has one thread too.
env.wasm.numThreads = 1;

beforeAll(async () => {
  service = await startService();
}, 300_000);
afterAll(() => service?.stop());

test("members of three sizes tell handwritten digits apart", async () => {
  const samples = await digits(20);
  for (const compression of [0, 0.5, 0.75]) {
    const session = await createSession(await new Client(service.url, { cache: null }).pull("lenet-mnist", { compression }));
    let right = 0;
    for (const { label, pixels } of samples) {
      const probabilities = softmax(await session.run(pixels));
      right += Number(probabilities.indexOf(Math.max(...probabilities)) === label);
    }
    expect(right).toBeGreaterThanOrEqual(19);
    await session.release();
  }
}, 120_000);

test("what the runtime fails with is an error of this package, with its cause", async () => {
  const artifact = await new Client(service.url, { cache: null }).pull("lenet-mnist", { compression: 0.75 });
  const broken: Artifact = { ...artifact, data: artifact.data.slice(0, 1000) };
  const error = (await createSession(broken).catch((caught: unknown) => caught)) as RuntimeFailed;
  expect(error).toBeInstanceOf(NeuMetaClientError);
  expect([error.name, error.cause]).toEqual(["RuntimeFailed", expect.any(Error)]);
  expect(error.message).toContain(`onnxruntime-web could not start, or not load ${artifact.manifest.filename}. `);
});

test("probabilities of as many classes as a vocabulary has", () => {
  const probabilities = softmax(new Float32Array(150_000).fill(3));
  expect(probabilities.length).toBe(150_000);
  expect(probabilities[7]).toBeCloseTo(1 / 150_000, 9);
});

test("inputs are prepared channel by channel", () => {
  const input = { name: "x", shape: [2, 1, 2], layout: "NCHW", scale: 0.5, mean: [1, 2], std: [1, 4] };
  expect([...prepared([2, 4, 4, 12], input)]).toEqual([0, 1, 0, 1]);
  expect(() => prepared([1], input)).toThrow("A sample has 4 values (2 x 1 x 2); got 1.");
});
