/** A server of a test's own, on a real socket, that answers as it is told to. */
import { createServer, type RequestListener, type Server } from "node:http";
import { once } from "node:events";
import { afterEach } from "vitest";
import { Client, type ClientOptions } from "../src/client/index.js";
import { MemoryCache } from "./memory_cache.js";

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A client of a new server, which waits for nothing. */
export async function serve(listener: RequestListener, options: ClientOptions = {}): Promise<Client> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return new Client(`http://127.0.0.1:${address.port}`, { token: "secret", cache: new MemoryCache(), sleep: async () => {}, ...options });
}
