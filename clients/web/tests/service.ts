/** The real service, as a process of its own, on a free port. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PYTHON = process.env["NEUMETA_PYTHON"] ?? `${ROOT}.venv/bin/python`;

export interface Service {
  readonly url: string;
  stop(): Promise<void>;
}

export async function startService(environment: Record<string, string> = {}): Promise<Service> {
  const port = await freePort();
  // Not the settings of whoever runs the tests, nor NEUMETA_PYTHON, which is none.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("NEUMETA_"));
  const child = spawn(PYTHON, ["-m", "neumeta_service"], {
    cwd: ROOT,
    env: { ...Object.fromEntries(inherited), NEUMETA_MODELS: `${ROOT}models`, NEUMETA_PORT: String(port), NEUMETA_DEVICE: "cpu", ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const log: Buffer[] = [];
  child.stderr?.on("data", (chunk: Buffer) => log.push(chunk));
  const url = `http://127.0.0.1:${port}`;
  await untilReady(url, child, log);
  return { url, stop: () => stop(child) };
}

async function untilReady(url: string, child: ChildProcess, log: readonly Buffer[]): Promise<void> {
  while (child.exitCode === null) {
    const answer = await fetch(`${url}/readyz`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the service ended:\n${Buffer.concat(log).toString()}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill("SIGTERM");
  await once(child, "exit");
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  probe.close();
  await once(probe, "close");
  return address.port;
}
