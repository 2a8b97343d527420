import { Code, ConnectError, createClient, type Interceptor } from '@connectrpc/connect';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createSandboxTransport } from '../../client/index.ts';
import { AuthService, PrincipalKind } from '../../gen/computesdk/v1/auth_service_pb.ts';
import { ErrorDetailSchema, ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { SandboxService } from '../../gen/computesdk/v1/sandbox_service_pb.ts';
import { TerminalService } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { Health } from '../../gen/grpc/health/v1/health_pb.ts';
import { newId } from '../../server/core/id.ts';
import { newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';

let gateway: TestGateway;
let url: string;
let token: string;

beforeAll(async () => {
  gateway = await TestGateway.start();
  const created = await newSandbox(gateway);
  ({ url } = created.sandbox);
  token = created.token;
}, 60_000);
afterAll(() => gateway.stop(), 60_000);

it('generated clients work over a WebSocket unchanged', async () => {
  const called: string[] = [];
  const note: Interceptor = (next) => async (request) => {
    called.push(request.method.name);
    return await next(request);
  };
  const transport = createSandboxTransport({
    ...{ url, token, transport: 'websocket' },
    interceptors: [note],
  });
  const terminals = createClient(TerminalService, transport);
  const { terminal } = await terminals.createTerminal({ shell: '/bin/echo', args: ['hello'] });
  const terminalId = terminal?.id ?? '';
  let output = '';
  for await (const { event } of terminals.attachTerminal({ terminalId, cursor: 0n })) {
    if (event.case === 'output') output += Buffer.from(event.value.data).toString();
    if (event.case === 'exited') break;
  }
  expect(output).toBe('hello\r\n');
  const who = await createClient(AuthService, transport).whoAmI({});
  expect(who.kind).toBe(PrincipalKind.SESSION_TOKEN);
  expect(called).toEqual(['CreateTerminal', 'AttachTerminal', 'WhoAmI']);
  transport.close();
});

it('their calls fail with codes, details and deadlines as over HTTP', async () => {
  for (const kind of ['websocket', 'http'] as const) {
    const transport = createSandboxTransport({ url, token, transport: kind });
    const terminals = createClient(TerminalService, transport);
    const missing = await terminals
      .getTerminal({ terminalId: newId('trm') })
      .catch(ConnectError.from);
    expect(missing).toMatchObject({ code: Code.NotFound });
    expect(
      missing instanceof ConnectError && missing.findDetails(ErrorDetailSchema)[0]?.reason,
    ).toBe(ErrorReason.NOT_FOUND);
    const { terminal } = await terminals.createTerminal({ shell: '/bin/cat' });
    const terminalId = terminal?.id ?? '';
    const reading = async () => {
      for await (const _ of terminals.attachTerminal({ terminalId }, { timeoutMs: 300 }));
    };
    await expect(reading()).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    // The program outlives the call.
    await terminals.getTerminal({ terminalId });
    await terminals.destroyTerminal({ terminalId });
    const sandboxes = createClient(SandboxService, transport);
    await expect(sandboxes.createSandbox({})).rejects.toMatchObject({
      code: Code.PermissionDenied,
    });
    transport.close();
  }
});

it('what only HTTP serves says so on a WebSocket', async () => {
  const transport = createSandboxTransport({ url, token, transport: 'websocket' });
  const watch = async () => {
    for await (const _ of createClient(Health, transport).watch({})) return;
  };
  await expect(watch()).rejects.toMatchObject({ code: Code.Unimplemented });
  const auth = createClient(AuthService, transport);
  await expect(auth.signOut({})).rejects.toMatchObject({ code: Code.FailedPrecondition });
  transport.close();
});

it('a credential that is none fails every call', async () => {
  const transport = createSandboxTransport({ url, token: 'forged', transport: 'websocket' });
  const terminals = createClient(TerminalService, transport);
  for (let call = 0; call < 2; call += 1) {
    await expect(terminals.listTerminals({})).rejects.toMatchObject({
      code: Code.Unauthenticated,
    });
  }
  transport.close();
});
