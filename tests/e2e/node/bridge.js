// The calls of an Electron editor over a stand-in of its preload bridge, made on a running Shotline.
// Reads {url, token, calls: [[method, ...arguments], ...]} as JSON from standard input and writes
// [{value} or {error}, ...] to standard output.
'use strict';
const http = require('node:http');

// What ipcMain.handle does: forward the channel and its positional arguments, answer with the envelope.
function ipcMain({ url, token }) {
  const agent = new http.Agent({ keepAlive: true });
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  const handle = (channel, args) =>
    new Promise((resolve, reject) => {
      const request = http.request(`${url}/ipc/${channel}`, { method: 'POST', agent, headers }, (response) => {
        const pieces = [];
        response.on('data', (piece) => pieces.push(piece));
        response.on('end', () => resolve(JSON.parse(Buffer.concat(pieces).toString('utf8'))));
      });
      request.on('error', reject);
      request.end(JSON.stringify(args));
    });
  return { handle, close: () => agent.destroy() };
}

// What crosses from one Electron process to another is cloned: functions, prototypes and error codes stay behind.
const ipcRenderer = (main) => ({
  invoke: async (channel, ...args) => structuredClone(await main.handle(channel, structuredClone(args))),
});

// What the preload script exposes: values or rejections, no envelopes.
function electronAPI(renderer) {
  const call = async (member, channel, ...args) => {
    const envelope = await renderer.invoke(channel, ...args);
    if (!envelope.success) throw Object.assign(new Error(envelope.error), { reason: envelope.reason });
    return envelope[member];
  };
  return {
    sequence: {
      updateShot: (projectPath, sequenceId, shotId, updates) =>
        call('shot', 'sequence:update-shot', projectPath, sequenceId, shotId, updates),
      getShots: (projectPath, sequenceId) => call('shots', 'sequence:get-shots', projectPath, sequenceId),
      getAll: (projectPath) => call('sequences', 'sequence:get-all', projectPath),
    },
  };
}

async function main() {
  const pieces = [];
  for await (const piece of process.stdin) pieces.push(piece);
  const job = JSON.parse(Buffer.concat(pieces).toString('utf8'));
  const electron = ipcMain(job);
  const { sequence } = electronAPI(ipcRenderer(electron));
  const results = [];
  for (const [method, ...args] of job.calls) {
    try {
      results.push({ value: await sequence[method](...args) });
    } catch (error) {
      results.push({ error: { reason: error.reason, message: error.message } });
    }
  }
  electron.close();
  process.stdout.write(JSON.stringify(results));
}

main();
