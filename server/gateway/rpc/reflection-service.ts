import type { DescService } from '@bufbuild/protobuf';
import { Code, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import type {
  ServerReflection,
  ServerReflectionRequest,
} from '../../../gen/grpc/reflection/v1/reflection_pb.ts';
import type {
  ServerReflection as AlphaReflection,
  ServerReflectionRequest as AlphaRequest,
} from '../../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { DomainError } from '../../core/domain-error.ts';
import { Quota } from '../../core/quota.ts';
import { SchemaIndex, serializeWithImports } from './schema-index.ts';

/** The most reflection streams at a time. They need no credential. */
const MAX_STREAMS = 64;
/** How long a stream may last, in milliseconds. Clients ask at once for all they need. */
const MAX_STREAM_MS = 60_000;
/** The most questions on one stream. */
const MAX_QUESTIONS = 1_000;

/** What a question is answered with. Plain objects fit both versions of the protocol. */
type Answer =
  | {
      readonly case: 'fileDescriptorResponse';
      readonly value: { readonly fileDescriptorProto: Uint8Array<ArrayBuffer>[] };
    }
  | {
      readonly case: 'allExtensionNumbersResponse';
      readonly value: { readonly baseTypeName: string; readonly extensionNumber: number[] };
    }
  | {
      readonly case: 'listServicesResponse';
      readonly value: { readonly service: { readonly name: string }[] };
    }
  | {
      readonly case: 'errorResponse';
      readonly value: { readonly errorCode: number; readonly errorMessage: string };
    };

/** The services of `grpc.reflection`, in both versions. */
export type ReflectionServices = {
  readonly v1: ServiceImpl<typeof ServerReflection>;
  readonly v1alpha: ServiceImpl<typeof AlphaReflection>;
};

/**
 * Serves server reflection. `services` are listed; they, and all that they import, can be asked for.
 * The two versions differ in the name of their package only.
 */
export function reflectionServices(services: readonly DescService[]): ReflectionServices {
  const index = new SchemaIndex(services.map((service) => service.file));
  const streams = new Quota(MAX_STREAMS, 'reflection streams');
  const begin = (context: HandlerContext) =>
    new Conversation({ services, index, streams, context });
  return {
    v1: {
      async *serverReflectionInfo(requests, context) {
        const conversation = begin(context);
        for await (const request of conversation.questions(requests)) {
          yield {
            validHost: request.host,
            originalRequest: request,
            messageResponse: conversation.answer(request.messageRequest),
          };
        }
      },
    },
    v1alpha: {
      async *serverReflectionInfo(requests, context) {
        const conversation = begin(context);
        for await (const request of conversation.questions(requests)) {
          yield {
            validHost: request.host,
            originalRequest: request,
            messageResponse: conversation.answer(request.messageRequest),
          };
        }
      },
    },
  };
}

type ConversationOptions = {
  readonly services: readonly DescService[];
  readonly index: SchemaIndex;
  readonly streams: Quota;
  readonly context: HandlerContext;
};

/** One reflection stream. */
class Conversation {
  readonly #options: ConversationOptions;
  /** Resolves when the client has left or has had its time. */
  readonly #over: Promise<IteratorReturnResult<undefined>>;
  /** Names of the files that the client has. */
  readonly #sent = new Set<string>();

  constructor(options: ConversationOptions) {
    this.#options = options;
    const release = options.streams.acquire();
    this.#over = new Promise((resolve) => {
      const end = () => resolve({ done: true, value: undefined });
      const timer = setTimeout(end, MAX_STREAM_MS);
      // The signal aborts at every end, also where nobody asks a generator to go on.
      options.context.signal.addEventListener(
        'abort',
        () => {
          clearTimeout(timer);
          release();
          end();
        },
        { once: true },
      );
    });
  }

  /** The client's questions, until it ends the stream or a limit is reached. */
  async *questions<T>(requests: AsyncIterable<T>): AsyncGenerator<T> {
    const iterator = requests[Symbol.asyncIterator]();
    for (let count = 0; count < MAX_QUESTIONS; count += 1) {
      const next = await Promise.race([iterator.next(), this.#over]);
      if (next.done) return;
      yield next.value;
    }
    throw new DomainError('LIMIT_REACHED', `a stream takes at most ${MAX_QUESTIONS} questions`);
  }

  answer(question: (ServerReflectionRequest | AlphaRequest)['messageRequest']): Answer {
    const { index, services } = this.#options;
    switch (question.case) {
      case 'fileByFilename':
        return this.#file(index.fileByName(question.value), question.value);
      case 'fileContainingSymbol':
        return this.#file(index.fileBySymbol(question.value), question.value);
      case 'fileContainingExtension': {
        const { containingType, extensionNumber } = question.value;
        const file = index.fileByExtension(containingType, extensionNumber);
        return this.#file(file, `extension ${extensionNumber} of ${containingType}`);
      }
      case 'allExtensionNumbersOfType': {
        const extensionNumber = index.extensionNumbers(question.value);
        if (!extensionNumber) return notFound(question.value);
        const value = { baseTypeName: question.value, extensionNumber };
        return { case: 'allExtensionNumbersResponse', value };
      }
      case 'listServices': {
        const service = services.map(({ typeName }) => ({ name: typeName }));
        return { case: 'listServicesResponse', value: { service } };
      }
      case undefined:
        return failure(Code.InvalidArgument, 'messageRequest: nothing is asked');
    }
  }

  #file(file: Parameters<typeof serializeWithImports>[0] | undefined, asked: string): Answer {
    if (!file) return notFound(asked);
    const value = { fileDescriptorProto: serializeWithImports(file, this.#sent) };
    return { case: 'fileDescriptorResponse', value };
  }
}

function notFound(name: string): Answer {
  return failure(Code.NotFound, `${name.slice(0, 200)} is not known here`);
}

function failure(errorCode: Code, errorMessage: string): Answer {
  return { case: 'errorResponse', value: { errorCode, errorMessage } };
}
