// A page that edits and follows a project by gRPC-Web, with stock clients. What it does is on `window.shotline`;
// the changes that it hears of stand in its list, as a user would see them.
import { createClient, ConnectError } from '@connectrpc/connect';
import { createGrpcWebTransport } from '@connectrpc/connect-web';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

const list = document.getElementById('changes');

async function client({ url, token }) {
  const contracts = new Uint8Array(await (await fetch('contracts')).arrayBuffer());
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, contracts));
  const authorize = (next) => (request) => {
    request.header.set('authorization', `Bearer ${token}`);
    request.header.set('x-client', 'a page');
    return next(request);
  };
  const transport = createGrpcWebTransport({ baseUrl: url, interceptors: [authorize] });
  return createClient(registry.getService('shotline.studio.v1.StudioService'), transport);
}

function show(change) {
  const line = document.createElement('li');
  line.textContent = `${change.revision} ${change.origin.client} ${change.summary}`;
  list.append(line);
}

window.shotline = {
  // The shot as it is after the edit, or the words of the error.
  async update(where, target, updates) {
    const studio = await client(where);
    try {
      const answer = await studio.updateShot({ target, updatesJson: JSON.stringify(updates) });
      return { shot: JSON.parse(answer.documentJson) };
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      return { error: { code, message: rawMessage } };
    }
  },

  // Follows the project from now on; resolves when the server has said where the watch is.
  async watch(where, projectPath) {
    const studio = await client(where);
    const sources = [{ source: { case: 'project', value: { projectPath } } }];
    const messages = studio.watch({ sources })[Symbol.asyncIterator]();
    const first = (await messages.next()).value;
    (async () => {
      for (let next = await messages.next(); !next.done; next = await messages.next()) {
        if (next.value.message.case === 'projectChange') show(next.value.message.value);
      }
    })().catch((error) => (document.title = `the watch ended: ${error.message}`));
    return { revision: Number(first.message.value.revision) };
  },

  // The lines of the list once it has `count` of them.
  async changes(count) {
    while (list.children.length < count) await new Promise((resolve) => setTimeout(resolve, 10));
    return [...list.children].map((line) => line.textContent);
  },
};
