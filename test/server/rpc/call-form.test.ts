import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { callForm } from '../../../server/rpc/call-form.ts';

const formOf = (method: string, url: string, type?: string) =>
  callForm({ method, url, headers: { 'content-type': type } } as IncomingMessage);

describe('callForm', () => {
  it.each([
    ['application/json', 'connect-unary', 'application/json'],
    ['application/json; charset=utf-8', 'connect-unary', 'application/json'],
    ['application/JSON;charset=utf8', 'connect-unary', 'application/json'],
    ['application/proto', 'connect-unary', 'application/proto'],
    ['application/connect+json', 'connect-stream', 'application/connect+json'],
    ['application/connect+proto', 'connect-stream', 'application/connect+proto'],
    ['application/grpc', 'grpc', 'application/grpc+proto'],
    ['application/grpc+json', 'grpc', 'application/grpc+json'],
    ['application/grpc-web', 'grpc-web', 'application/grpc-web+proto'],
    ['application/grpc-web+json; charset=utf-8', 'grpc-web', 'application/grpc-web+json'],
  ])('knows %s', (type, protocol, contentType) => {
    expect(formOf('POST', '/a.B/C', type)).toMatchObject({ protocol, contentType });
  });

  it.each([
    undefined,
    '',
    'text/html',
    'application/jsonp',
    'application/json, text/html',
    'application/grpc-web-text',
    'application/grpc+thrift',
    '__proto__',
  ])('does not know %s', (type) => {
    expect(formOf('POST', '/a.B/C', type)).toBeUndefined();
  });

  it('reads the form of a call by GET from its query', () => {
    expect(formOf('GET', '/a.B/C?connect=v1&encoding=proto')?.binary).toBe(true);
    expect(formOf('GET', '/a.B/C?encoding=json&message=x')?.protocol).toBe('connect-unary');
    expect(formOf('GET', '/a.B/C?encoding=xml')).toBeUndefined();
    expect(formOf('GET', '/a.B/C', 'application/json')).toBeUndefined();
  });

  it('knows no other HTTP method', () => {
    expect(formOf('PUT', '/a.B/C', 'application/json')).toBeUndefined();
  });
});
