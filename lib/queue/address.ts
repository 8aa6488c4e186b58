import { FsynError } from '../errors.js';

/** Where a queue is, as the driver takes it. Holds the password: never print it, print `shown`. */
export interface QueueAddress {
  readonly driver: {
    readonly host?: string;
    readonly port?: number;
    readonly path?: string;
    readonly username?: string;
    readonly password?: string;
    readonly db: number;
    readonly tls?: Record<string, never>;
  };
  /** The address without user and password. */
  readonly shown: string;
}

/** The environment variable that is read where the address holds no password. */
export const passwordVariable = 'FSYN_QUEUE_PASSWORD';

const forms = 'redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss://... (TLS) or unix:///PATH.sock';

/**
 * Reads `redis://`, `rediss://` and `unix://` addresses. A password that is not in the address is taken from
 * the environment, which keeps it out of lists of processes.
 *
 * @throws FsynError INVALID_ARGUMENT; the message never holds what was given, which may hold a password
 */
export function parseAddress(text: string, environment: NodeJS.ProcessEnv = process.env): QueueAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const database = /^\/(\d{1,4})?$/.exec(url?.pathname || '/');
  const unix = url?.protocol === 'unix:';
  const remote = url !== undefined && ['redis:', 'rediss:'].includes(url.protocol) && url.hostname !== '';
  if (!url || !(remote ? database : unix && url.pathname.length > 1) || url.search !== '' || url.hash !== '')
    throw new FsynError(
      'INVALID_ARGUMENT',
      `Expected ${forms} as the address of a queue but received ${url ? `another form (${url.protocol})` : 'no URL'}.`,
    );
  const password = url.password === '' ? environment[passwordVariable] : decode(url.password);
  const access = {
    ...(url.username === '' ? {} : { username: decode(url.username) }),
    ...(password === undefined || password === '' ? {} : { password }),
  };
  if (!remote)
    return { driver: { path: decode(url.pathname), db: 0, ...access }, shown: `unix://${url.pathname}` };
  const [db, port] = [Number(database?.[1] ?? 0), Number(url.port || 6379)];
  return {
    driver: {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port,
      db,
      ...access,
      ...(url.protocol === 'rediss:' ? { tls: {} } : {}),
    },
    shown: `${url.protocol}//${url.hostname}:${port}${db === 0 ? '' : `/${db}`}`,
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new FsynError('INVALID_ARGUMENT', 'Expected an address of a queue whose %-escapes are right.');
  }
}
