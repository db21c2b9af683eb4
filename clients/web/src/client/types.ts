/** What the service says about models and artifacts (docs/http-api.md); names are those of the wire. */

export type Precision = "fp32" | "fp16" | "int8";

/** A version's number, or an alias; where none is given it is the service's latest version. */
export type Version = number | string;

/** Maxima of costs, or of the latency on a kind of device whose profile the service has. */
export type Budget = Partial<Cost> & ({ readonly latency_ms?: never; readonly device?: never } | { readonly latency_ms: number; readonly device: string });

/** Every way to say a size; `rung` is a name that the service's operator has given one. */
interface Selectors {
  readonly compression: number;
  readonly widths: Readonly<Record<string, number>>;
  readonly budget: Budget;
  readonly rung: string;
}

/** Exactly one of the ways to say a size, a precision and a version. */
export type Selection = { readonly precision?: Precision; readonly version?: Version } & {
  [Way in keyof Selectors]: Pick<Selectors, Way> & { readonly [Other in Exclude<keyof Selectors, Way>]?: never };
}[keyof Selectors];

/** Parameters, multiply-adds for one input sample, and bytes of the ONNX file, of one whole network. */
export interface Cost {
  readonly params: number;
  readonly macs: number;
  readonly bytes: number;
}

/** How a network is fed: `(pixel * scale - mean) / std` in `layout`, with a leading batch axis; `shape` is without it. */
export interface Input {
  readonly name: string;
  readonly shape: readonly number[];
  readonly layout: string;
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Expected quality; `value` is null when the model carries no curve. */
export interface Quality {
  readonly metric: string | null;
  readonly value: number | null;
  readonly kind: "measured" | "interpolated" | "extrapolated";
  readonly precision: string;
}

/** What a member would be: known without making it. */
export interface Plan {
  readonly model: string;
  readonly version: number;
  readonly spec: { readonly widths: Readonly<Record<string, number>>; readonly precision: Precision; readonly opset: number };
  readonly spec_digest: string;
  readonly compression: { readonly requested: number | null; readonly effective: number };
  readonly cost: Cost;
  readonly quality: Quality;
}

/** An artifact described. */
export interface Manifest extends Plan {
  /** `sha256:` and 64 hexadecimal digits. */
  readonly digest: string;
  readonly size: number;
  readonly url: string;
  readonly filename: string;
  readonly input: Input;
  readonly output: { readonly name: string };
  readonly labels: readonly string[];
}

/** One version of a model. */
export interface ModelSummary {
  readonly name: string;
  readonly version: number;
  readonly state: "ready" | "refused";
  /** Why it is refused; of a version that is ready, what is wrong with the file that lies in its place now. */
  readonly reason: string | null;
  /** What leads to this version, `latest` among them. */
  readonly aliases: readonly string[];
}

/** A channel group and the widths that it can have. */
export interface Group {
  readonly name: string;
  readonly full: number;
  readonly minimum: number;
  readonly granularity: number;
}

/** A model that is served. */
export interface Model {
  readonly name: string;
  readonly version: number;
  readonly task: string;
  readonly labels: readonly string[];
  readonly input: Input;
  readonly groups: readonly Group[];
  readonly max_compression: number;
  readonly precisions: readonly Precision[];
  readonly costs: { readonly full: Cost; readonly smallest: Cost };
  /** Sizes that the service's operator has named, and what each stands for. */
  readonly rungs: Readonly<Record<string, Selection>>;
}

/** Measured quality of one member. */
export interface CurvePoint {
  readonly compression: number;
  readonly widths: Readonly<Record<string, number>>;
  readonly params: number;
  readonly macs: number;
  readonly quality: number;
  readonly quality_in: Readonly<Record<string, number>>;
  readonly held_out: boolean;
}

/** Measured quality against size; `points` is empty without a measurement. */
export interface Curve {
  readonly model: string;
  readonly version: number;
  readonly metric: string | null;
  readonly split: string | null;
  readonly samples: number | null;
  readonly points: readonly CurvePoint[];
}

/** A few real inputs that a model carries: raw values, flattened in the model's layout, and the number of each one's label. */
export interface Samples {
  readonly inputs: readonly (readonly number[])[];
  readonly labels: readonly number[];
}
