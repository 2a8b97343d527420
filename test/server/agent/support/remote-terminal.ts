import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Client, Code, ConnectError } from '@connectrpc/connect';
import { ErrorDetailSchema, ErrorReason } from '../../../../gen/computesdk/v1/error_pb.ts';
import type {
  AttachTerminalRequestSchema,
  AttachTerminalResponse,
  CreateTerminalRequestSchema,
  TerminalService,
} from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import { until } from '../../../support/until.ts';

type Terminals = Client<typeof TerminalService>;
type Event = AttachTerminalResponse['event'];
type EventValue<C> = Extract<Event, { case: C }>['value'];

/** A terminal as its creator holds it. */
export class RemoteTerminal {
  readonly client: Terminals;
  readonly id: string;
  readonly writerId: string;
  readonly readerId: string;
  #sequence = 0n;

  constructor(client: Terminals, ids: { id: string; writerId: string; readerId: string }) {
    this.client = client;
    this.id = ids.id;
    this.writerId = ids.writerId;
    this.readerId = ids.readerId;
  }

  /** Creates a terminal whose output is kept for the first reader; bash without start files unless told otherwise. */
  static async create(
    client: Terminals,
    options: MessageInitShape<typeof CreateTerminalRequestSchema> = {},
  ): Promise<RemoteTerminal> {
    const request: MessageInitShape<typeof CreateTerminalRequestSchema> = {
      shell: '/bin/bash',
      args: ['--norc', '--noprofile'],
      readerLease: { seconds: 30n },
    };
    const response = await client.createTerminal(Object.assign(request, options));
    const { writerId, readerId } = response;
    return new RemoteTerminal(client, { id: response.terminal?.id ?? '', writerId, readerId });
  }

  /** Runs a script of bash in a terminal of its own. */
  static run(
    client: Terminals,
    script: string,
    options: MessageInitShape<typeof CreateTerminalRequestSchema> = {},
  ): Promise<RemoteTerminal> {
    return RemoteTerminal.create(client, { args: ['--norc', '-c', script], ...options });
  }

  async type(text: string): Promise<void> {
    const { id, writerId } = this;
    this.#sequence += 1n;
    const data = Buffer.from(text);
    await this.client.writeTerminal({ terminalId: id, writerId, sequence: this.#sequence, data });
  }

  attach(options: MessageInitShape<typeof AttachTerminalRequestSchema> = {}): RemoteStream {
    const { id, readerId } = this;
    return new RemoteStream(this.client, { terminalId: id, readerId, ...options });
  }

  /** Its whole output until it exits. */
  async outputToEnd(): Promise<string> {
    const stream = this.attach();
    await stream.ended;
    return stream.text;
  }
}

/** An open stream, read as fast as it comes. */
export class RemoteStream {
  readonly events: Event[] = [];
  /** Resolves at the end of the stream, with what ended it if that was an error. */
  readonly ended: Promise<ConnectError | undefined>;
  readonly #abort = new AbortController();
  readonly #output: Uint8Array[] = [];

  constructor(client: Terminals, request: MessageInitShape<typeof AttachTerminalRequestSchema>) {
    this.ended = this.#read(client.attachTerminal(request, { signal: this.#abort.signal }));
  }

  get output(): Buffer {
    return Buffer.concat(this.#output);
  }

  get text(): string {
    return this.output.toString();
  }

  /** The values of all events of a kind. */
  all<C extends NonNullable<Event['case']>>(kind: C): EventValue<C>[] {
    return this.events.flatMap((event) =>
      event.case === kind ? [event.value as EventValue<C>] : [],
    );
  }

  /** Waits for the first event of a kind. */
  async first<C extends NonNullable<Event['case']>>(kind: C): Promise<EventValue<C>> {
    await until(() => this.all(kind).length > 0, { what: `an event ${kind}` });
    const [event] = this.all(kind);
    if (!event) throw new Error('unreachable');
    return event;
  }

  /** Waits for a text in the output. */
  async seen(text: string): Promise<void> {
    await until(() => this.output.includes(text), { what: `output ${JSON.stringify(text)}` });
  }

  /** Leaves without detaching. */
  async leave(): Promise<void> {
    this.#abort.abort();
    await this.ended;
  }

  async #read(messages: AsyncIterable<AttachTerminalResponse>): Promise<ConnectError | undefined> {
    try {
      for await (const { event } of messages) {
        this.events.push(event);
        if (event.case === 'output') this.#output.push(event.value.data);
      }
      return undefined;
    } catch (error) {
      return ConnectError.from(error);
    }
  }
}

/** What a refused call said: code, reason and field by name. */
export async function refusalOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    return describeError(ConnectError.from(error));
  }
  throw new Error('the call was not refused');
}

/** Code, reason and field of an error by name. */
export function describeError(error: ConnectError | undefined): string {
  if (!error) return 'no error';
  const [detail] = error.findDetails(ErrorDetailSchema);
  const reason = Object.entries(ErrorReason).find(([, value]) => value === detail?.reason)?.[0];
  return [Code[error.code], reason, detail?.field].filter(Boolean).join(' ');
}
