import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import type { WireError, WireErrorSchema } from '../gen/computesdk/v1/frame_pb.ts';

/** An error of a call, as a frame holds it. */
export function toWireError(error: ConnectError): MessageInitShape<typeof WireErrorSchema> {
  const details = error.details.map((detail) =>
    'desc' in detail
      ? anyPack(detail.desc, create(detail.desc, detail.value))
      : { typeUrl: `type.googleapis.com/${detail.type}`, value: detail.value },
  );
  return { code: error.code, message: error.rawMessage, details };
}

/** The error that a frame holds. `metadata` are the trailers that came with it. */
export function fromWireError(wire: WireError, metadata?: Headers): ConnectError {
  const code = Code[wire.code] === undefined ? Code.Unknown : wire.code;
  const error = new ConnectError(wire.message, code, metadata);
  error.details = wire.details.map(({ typeUrl, value }) => ({
    type: typeUrl.slice(typeUrl.lastIndexOf('/') + 1),
    value,
  }));
  error.isWireError = true;
  return error;
}
