import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { OpenSchema } from '../../gen/computesdk/v1/frame_pb.ts';
import {
  StreamTerminalInputRequestSchema,
  TerminalService,
  WriteTerminalRequestSchema,
} from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { FramedCall } from './framed-call.ts';

const WRITE = `/${TerminalService.typeName}/${TerminalService.method.writeTerminal.name}`;

/** The inputs of one stream, each as the call that would carry it alone. */
export class StreamedInputs {
  readonly #unanswered: FramedCall[] = [];
  /** From the stream's first message. */
  #names: { readonly terminalId: string; readonly writerId: string } | undefined;

  get unanswered(): readonly FramedCall[] {
    return this.#unanswered;
  }

  add(message: Uint8Array): FramedCall {
    const request = fromBinary(StreamTerminalInputRequestSchema, message);
    this.#names ??= { terminalId: request.terminalId, writerId: request.writerId };
    const { sequence, data } = request;
    const write = create(WriteTerminalRequestSchema, { ...this.#names, sequence, data });
    const written = toBinary(WriteTerminalRequestSchema, write);
    const input = new FramedCall(create(OpenSchema, { method: WRITE, message: written }));
    this.#unanswered.push(input);
    return input;
  }

  /** Inputs are answered in their order. */
  takeAnswered(): FramedCall | undefined {
    return this.#unanswered.shift();
  }
}
