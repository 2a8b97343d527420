import { create, createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { type Client, Code, createClient, createRouterTransport } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { SandboxService } from '../../../../gen/computesdk/v1/sandbox_service_pb.ts';
import { TerminalService } from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from '../../../../gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as AlphaReflection } from '../../../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { reflectionServices } from '../../../../server/gateway/rpc/reflection-service.ts';

type Question = ServerReflectionRequest['messageRequest'];

const SERVICES = [SandboxService, TerminalService, ServerReflection];

describe.each(['v1', 'v1alpha'] as const)('reflection %s', (version) => {
  const ask = (...questions: Question[]) => askWith(clientOf(version), questions);

  it('lists the services', async () => {
    const [answer] = await ask({ case: 'listServices', value: '' });
    expect(answer?.messageResponse).toMatchObject({
      case: 'listServicesResponse',
      value: { service: SERVICES.map(({ typeName }) => ({ name: typeName })) },
    });
  });

  it.each([
    ['a service', 'computesdk.v1.TerminalService', 'computesdk/v1/terminal_service.proto'],
    [
      'a method',
      'computesdk.v1.TerminalService.AttachTerminal',
      'computesdk/v1/terminal_service.proto',
    ],
    ['a message', 'computesdk.v1.Terminal', 'computesdk/v1/terminal.proto'],
    ['a field', 'computesdk.v1.CreateTerminalRequest.cols', 'computesdk/v1/terminal_service.proto'],
    [
      'an oneof',
      'computesdk.v1.AttachTerminalResponse.event',
      'computesdk/v1/terminal_service.proto',
    ],
    ['an enum', 'computesdk.v1.GapReason', 'computesdk/v1/stream.proto'],
    ['a value', 'computesdk.v1.GAP_REASON_UNSPECIFIED', 'computesdk/v1/stream.proto'],
    ['an extension', 'computesdk.v1.access', 'computesdk/v1/access.proto'],
    ['an imported message', 'google.protobuf.Duration', 'google/protobuf/duration.proto'],
  ])('finds the file of %s', async (_what, value, file) => {
    const [answer] = await ask({ case: 'fileContainingSymbol', value });
    expect(namesIn(answer).at(-1)).toBe(file);
  });

  it('sends a file with all its imports, in an order that can be read, and each once', async () => {
    const [first, second, third] = await ask(
      { case: 'fileContainingSymbol', value: 'computesdk.v1.TerminalService' },
      { case: 'fileContainingSymbol', value: 'computesdk.v1.SandboxService' },
      { case: 'fileByFilename', value: 'google/protobuf/duration.proto' },
    );
    const file = filesIn(first);
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file }));
    expect(registry.getService('computesdk.v1.TerminalService')?.methods).toHaveLength(11);
    expect(namesIn(first)).toContain('google/protobuf/descriptor.proto');
    const again = namesIn(second).filter((name) => namesIn(first).includes(name));
    expect([again, namesIn(second).at(-1)]).toEqual([[], 'computesdk/v1/sandbox_service.proto']);
    expect(namesIn(third)).toEqual([]);
  });

  it('finds extensions', async () => {
    const containingType = 'google.protobuf.MethodOptions';
    const [file, numbers, none] = await ask(
      {
        case: 'fileContainingExtension',
        value: {
          $typeName: 'grpc.reflection.v1.ExtensionRequest',
          containingType,
          extensionNumber: 50200,
        },
      },
      { case: 'allExtensionNumbersOfType', value: containingType },
      { case: 'allExtensionNumbersOfType', value: 'google.protobuf.Duration' },
    );
    expect(namesIn(file).at(-1)).toBe('computesdk/v1/access.proto');
    expect(numbers?.messageResponse.value).toMatchObject({ extensionNumber: [50200] });
    expect(none?.messageResponse.value).toMatchObject({ extensionNumber: [] });
  });

  it.each<Question>([
    { case: 'fileContainingSymbol', value: 'computesdk.v1.Nothing' },
    { case: 'fileContainingSymbol', value: 'computesdk.agent.v1.AgentService' },
    { case: 'fileContainingSymbol', value: '__proto__' },
    { case: 'fileByFilename', value: 'computesdk/agent/v1/agent_service.proto' },
    { case: 'fileByFilename', value: '../../etc/passwd' },
    { case: 'allExtensionNumbersOfType', value: 'x' },
  ])('knows nothing of $value', async (question) => {
    const [answer, after] = await ask(question, { case: 'listServices', value: '' });
    expect(answer?.messageResponse).toMatchObject({
      case: 'errorResponse',
      value: { errorCode: Code.NotFound },
    });
    expect(answer?.originalRequest?.messageRequest).toMatchObject(question);
    expect(after?.messageResponse.case).toBe('listServicesResponse');
  });
});

/** Both versions have the same messages, but for their package. */
function clientOf(version: 'v1' | 'v1alpha'): Client<typeof ServerReflection> {
  const services = reflectionServices(SERVICES);
  const transport = createRouterTransport((router) => {
    router.service(ServerReflection, services.v1);
    router.service(AlphaReflection, services.v1alpha);
  });
  if (version === 'v1') return createClient(ServerReflection, transport);
  return createClient(AlphaReflection, transport) as unknown as Client<typeof ServerReflection>;
}

async function askWith(
  client: Client<typeof ServerReflection>,
  questions: readonly Question[],
): Promise<ServerReflectionResponse[]> {
  async function* requests() {
    for (const messageRequest of questions)
      yield { host: 'h', messageRequest: plain(messageRequest) };
  }
  const answers: ServerReflectionResponse[] = [];
  for await (const answer of client.serverReflectionInfo(requests())) answers.push(answer);
  return answers;
}

/** Without the type's name, so that it fits both versions. */
function plain(question: Question): Question {
  if (question.case !== 'fileContainingExtension') return question;
  const { containingType, extensionNumber } = question.value;
  return {
    case: question.case,
    value: { containingType, extensionNumber } as typeof question.value,
  };
}

function filesIn(answer: ServerReflectionResponse | undefined) {
  if (answer?.messageResponse.case !== 'fileDescriptorResponse') throw new Error('no files');
  const { fileDescriptorProto } = answer.messageResponse.value;
  return fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
}

function namesIn(answer: ServerReflectionResponse | undefined): string[] {
  return filesIn(answer).map(({ name }) => name);
}
