// Queue servers of a test's own: Debian's redis-server and postgresql on loopback ports, in folders that are gone afterwards.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface QueueServer {
  /** With a password. */
  readonly url: string;
  readonly password: string;
  /** The same, and a password that is not it. */
  readonly wrongUrl: string;
  stop(): Promise<void>;
}

export type Backend = "Redis" | "PostgreSQL";

const REDIS = "/usr/bin/redis-server";
const POSTGRES = "/usr/lib/postgresql";

/** The folder of PostgreSQL's newest programs; undefined where there is none. */
function postgresPrograms(): string | undefined {
  if (!existsSync(POSTGRES)) return undefined;
  const newest = readdirSync(POSTGRES).sort((a, b) => Number(b) - Number(a))[0];
  const folder = newest && join(POSTGRES, newest, "bin");
  return folder && existsSync(join(folder, "initdb")) ? folder : undefined;
}

/** Whether the server can be started here. In CI one that cannot is an error of the test that starts it. */
export function isInstalled(backend: Backend): boolean {
  const { CI, NORMPOOL_CI } = process.env;
  if (CI || NORMPOOL_CI) return true;
  return backend === "Redis" ? existsSync(REDIS) : postgresPrograms() !== undefined;
}

export function startServer(backend: Backend): Promise<QueueServer> {
  return backend === "Redis" ? startRedis() : startPostgres();
}

const PASSWORD = "s3cret/of:tests";
const WRONG = "wr0ng/of:tests";

async function startRedis(): Promise<QueueServer> {
  const folder = mkdtempSync(join(tmpdir(), "normpool-redis-"));
  const port = await freePort();
  // In a file: arguments can be seen by all.
  const lines = [`port ${port}`, "bind 127.0.0.1", `requirepass ${PASSWORD}`, `dir ${folder}`, 'save ""'];
  writeFileSync(join(folder, "redis.conf"), lines.join("\n"));
  const server = spawn(REDIS, [join(folder, "redis.conf")], { stdio: "ignore" });
  return started(
    server,
    folder,
    () => accepts(port),
    (password) => `redis://:${encodeURIComponent(password)}@127.0.0.1:${port}/2`,
  );
}

async function startPostgres(): Promise<QueueServer> {
  const programs = postgresPrograms();
  if (programs === undefined) throw new Error("expected PostgreSQL (apt-get install postgresql) but there is none");
  const folder = mkdtempSync(join(tmpdir(), "normpool-postgres-"));
  chmodSync(folder, 0o755);
  const port = await freePort();
  const data = join(folder, "data");
  mkdirSync(data);
  writeFileSync(join(folder, "password"), PASSWORD);
  // It refuses to run as root.
  const isRoot = process.getuid?.() === 0;
  if (isRoot) execFileSync("chown", ["-R", "postgres", data]);
  const by = isRoot ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : [];
  const run = (args: readonly string[]) => [...by, ...args] as [string, ...string[]];
  const [initdb, ...how] = run([join(programs, "initdb"), "-D", data, "-U", "tester", "-A", "scram-sha-256"]);
  execFileSync(initdb, [...how, `--pwfile=${join(folder, "password")}`, "--no-sync", "--locale=C", "-E", "UTF8"], {
    stdio: "pipe",
    cwd: "/",
  });
  const [postgres, ...options] = run([join(programs, "postgres"), "-D", data, "-p", String(port), "-h", "127.0.0.1"]);
  const server = spawn(postgres, [...options, "-k", data, "-F"], { stdio: "ignore", cwd: "/" });
  const isReady = () =>
    spawnSync(join(programs, "pg_isready"), ["-q", "-h", "127.0.0.1", "-p", String(port)]).status === 0;
  return started(
    server,
    folder,
    isReady,
    (password) => `postgres://tester:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`,
  );
}

async function started(
  server: ChildProcess,
  folder: string,
  isReady: () => boolean | Promise<boolean>,
  urlWith: (password: string) => string,
): Promise<QueueServer> {
  const ended = new Promise<void>((resolve) => server.once("exit", () => resolve()));
  let hasEnded = false;
  void ended.then(() => {
    hasEnded = true;
  });
  while (!(await isReady())) if (hasEnded) throw new Error(`expected a server for ${folder} but it ended`);
  return {
    url: urlWith(PASSWORD),
    password: PASSWORD,
    wrongUrl: urlWith(WRONG),
    async stop() {
      // PostgreSQL takes SIGINT as: end now, and tell the clients.
      server.kill("SIGINT");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
