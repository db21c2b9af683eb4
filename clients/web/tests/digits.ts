/** Real handwritten digits (MNIST, IDX files) that the repository holds. */
import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";

const FOLDER = new URL("../../../examples/data/", import.meta.url);
const IMAGE_HEADER = 16;
const LABEL_HEADER = 8;
const PIXELS = 28 * 28;

export interface Digit {
  readonly label: number;
  readonly pixels: Uint8Array;
}

export async function digits(count: number): Promise<Digit[]> {
  const images = gunzipSync(await readFile(new URL("mnist-test-1000-images-idx3-ubyte.gz", FOLDER)));
  const labels = gunzipSync(await readFile(new URL("mnist-test-1000-labels-idx1-ubyte.gz", FOLDER)));
  return Array.from({ length: count }, (_, index) => {
    const start = IMAGE_HEADER + index * PIXELS;
    return { label: labels[LABEL_HEADER + index] as number, pixels: images.subarray(start, start + PIXELS) };
  });
}
