/** Numbers for people. */

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const THREE_DIGITS = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** 104,714 as it is; 7,393,664 as 7.39 M. */
export function count(value: number): string {
  if (value < 1e6) return WHOLE.format(value);
  return value < 1e9 ? `${THREE_DIGITS.format(value / 1e6)} M` : `${THREE_DIGITS.format(value / 1e9)} G`;
}

/** Bytes in kB or MB (powers of ten). */
export function size(bytes: number): string {
  return bytes < 1e6 ? `${THREE_DIGITS.format(bytes / 1e3)} kB` : `${THREE_DIGITS.format(bytes / 1e6)} MB`;
}

/** A quality: accuracies in percent, other metrics as they are. */
export function quality(value: number, metric: string | null): string {
  return metric === "accuracy" ? `${(100 * value).toFixed(2)} %` : value.toPrecision(4);
}

export function milliseconds(value: number): string {
  return value < 10 ? `${value.toFixed(1)} ms` : `${value.toFixed(0)} ms`;
}
