// The same edit from a stock gRPC client: `@grpc/grpc-js` with the contracts loaded by `@grpc/proto-loader`.
// Reads {protos, address, token, method, request} as JSON from standard input; writes the answer, or
// {code, details} of the error, as JSON to standard output.
'use strict';
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

async function main() {
  const pieces = [];
  for await (const piece of process.stdin) pieces.push(piece);
  const { protos, address, token, method, request } = JSON.parse(Buffer.concat(pieces).toString('utf8'));
  const definition = protoLoader.loadSync('shotline/studio/v1/studio_service.proto', {
    includeDirs: [protos],
    keepCase: true,
    defaults: true,
    enums: String,
  });
  const { StudioService } = grpc.loadPackageDefinition(definition).shotline.studio.v1;
  const studio = new StudioService(address, grpc.credentials.createInsecure());
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const deadline = Date.now() + 10_000;
  studio[method](request, metadata, { deadline }, (error, answer) => {
    process.stdout.write(JSON.stringify(error ? { code: error.code, details: error.details } : answer));
    studio.close();
  });
}

main();
