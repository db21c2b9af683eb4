import { env } from "onnxruntime-web/wasm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Client, createSession, prepared, softmax } from "../src/client/index.js";
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

test("inputs are prepared channel by channel", () => {
  const input = { name: "x", shape: [2, 1, 2], layout: "NCHW", scale: 0.5, mean: [1, 2], std: [1, 4] };
  expect([...prepared([2, 4, 4, 12], input)]).toEqual([0, 1, 0, 1]);
  expect(() => prepared([1], input)).toThrow("A sample has 4 values (2 x 1 x 2); got 1.");
});
