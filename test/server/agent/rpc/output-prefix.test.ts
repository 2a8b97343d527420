import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { AttachTerminalResponseSchema } from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import { outputPrefix } from '../../../../server/agent/rpc/output-prefix.ts';
import { toAttachResponse } from '../../../../server/agent/rpc/terminal-messages.ts';

it('makes of output, together with its bytes, what Connect would send', () => {
  const cursors = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));
  fc.assert(
    fc.property(cursors, fc.integer({ min: 1, max: 65_504 }), (cursor, length) => {
      const event = { type: 'output', cursor, data: Buffer.alloc(length, length) } as const;
      const message = create(AttachTerminalResponseSchema, toAttachResponse(event));
      const expected = toBinary(AttachTerminalResponseSchema, message);
      const sent = Buffer.concat([outputPrefix(event), event.data]);
      expect(sent.equals(expected)).toBe(true);
    }),
    {
      examples: [
        [0, 1],
        [127, 127],
        [128, 128],
        [2 ** 53 - 1, 65_504],
      ],
    },
  );
});
