// How long it takes until a client that watches hears of a change.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const now = () => Number(process.hrtime.bigint()) / 1e6;
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const fileOf = (project) => path.join(project, 'sequences', 'sequence_001.json');

// A promise that is kept by its own `heard`.
function news() {
  let heard;
  const arrival = new Promise((resolve) => (heard = () => resolve(now())));
  return { arrival, heard };
}

// Changes by a client of ours: when the event is there at another one (ours), and when the answer is (theirs).
async function latencies(work, _, shotline) {
  const [[project]] = work.projects;
  const waiting = new Map(); // mark of a change -> its news
  const stop = await shotline.watch(project, ({ files }) => {
    const { prompt } = JSON.parse(files[0].shots[0].documentJson).generation;
    waiting.get(prompt)?.heard();
  });
  const times = { ours: [], theirs: [] };
  for (let round = 0; round <= work.rounds; round++) {
    const events = [];
    const answers = [];
    for (let i = 0; i < work.count; i++) {
      const prompt = `round ${round}, take ${i}`;
      const event = news();
      waiting.set(prompt, event);
      const began = now();
      const answered = shotline
        .call('sequence:update-shot', project, '001', work.shot, { generation: { prompt } })
        .then(now);
      const [answer, arrival] = await Promise.all([answered, event.arrival]);
      answers.push(answer - began);
      events.push(arrival - began);
      waiting.delete(prompt);
    }
    if (round > 0) {
      times.ours.push(events);
      times.theirs.push(answers);
    }
  }
  stop();
  return times;
}

// Which shots are other than before, as an editor that watches for itself finds out.
function changed(before, text) {
  const after = JSON.parse(text).shots;
  const known = new Map(before.map((shot) => [shot.id, JSON.stringify(shot)]));
  const shots = after.filter((shot) => known.get(shot.id) !== JSON.stringify(shot));
  return { after, shots };
}

// Another program replaces a file: from its rename until the changed shot is there. Ours tells it by a stream;
// theirs is `fs.watch` in the process that renames, which reads, parses and compares.
async function outside(work, _, shotline) {
  const [[mine, others]] = work.projects;
  const index = Number(work.shot.slice('shot-'.length));
  let mark = '';
  let event = news();
  const isIt = (shots) => shots.length === 1 && shots[0].generation.prompt === mark && event.heard();
  const stop = await shotline.watch(mine, ({ files }) =>
    isIt(files[0].shots.map((shot) => JSON.parse(shot.documentJson))),
  );
  let known = JSON.parse(fs.readFileSync(fileOf(others), 'utf8')).shots;
  const watcher = fs.watch(path.dirname(fileOf(others)), (_event, name) => {
    if (name !== path.basename(fileOf(others))) return;
    const { after, shots } = changed(known, fs.readFileSync(fileOf(others), 'utf8'));
    known = after;
    isIt(shots);
  });

  async function edit(project, count) {
    const times = [];
    for (let i = 0; i < count; i++) {
      await pause(60 + 40 * Math.random()); // nobody saves by hand in a rhythm
      const sequence = JSON.parse(fs.readFileSync(fileOf(project), 'utf8'));
      mark = sequence.shots[index].generation.prompt = `by hand ${now()}`;
      fs.writeFileSync(`${fileOf(project)}.new`, JSON.stringify(sequence, null, 2));
      event = news();
      const began = now();
      fs.renameSync(`${fileOf(project)}.new`, fileOf(project));
      times.push((await event.arrival) - began);
    }
    return times;
  }

  const times = { ours: [], theirs: [] };
  for (let round = 0; round <= work.rounds; round++) {
    const a = await edit(others, work.count);
    const b = await edit(mine, work.count);
    if (round > 0) {
      times.theirs.push(a);
      times.ours.push(b);
    }
  }
  watcher.close();
  stop();
  return times;
}

module.exports = { latencies, outside };
